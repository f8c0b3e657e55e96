// One sentence each for what yaml-cpp says where people slip; the rest is quoted.
#include "runtime/core/yaml_fault.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "runtime/core/text.h"
#include "runtime/core/unicode.h"

namespace proctor {
namespace {

namespace Said = YAML::ErrorMsg;

constexpr const char* kTab = "a tab indents this line; YAML takes blanks only";

const std::pair<const char*, const char*> kWords[] = {
    {Said::MAP_VALUE,
     "this ':' follows no key: quote a text that holds ': ', else look for a ': ' that is missing "
     "above, or a wrong indentation"},
    {Said::END_OF_MAP, "this belongs to no key above: look at its indentation"},
    {Said::END_OF_SEQ, "this belongs to no list above: look at its indentation"},
    {Said::END_OF_MAP_FLOW, "a '{' before this is not closed by '}'"},
    {Said::END_OF_SEQ_FLOW, "a '[' before this is not closed by ']'"},
    {Said::FLOW_END, "this closes nothing; quote a text that begins with it"},
    {Said::BLOCK_ENTRY, "no list can begin here; quote a text that begins with '- '"},
    {Said::UNKNOWN_TOKEN, "no text can begin with this character; quote it"},
    {Said::TAB_IN_INDENTATION, kTab},
    {Said::UNKNOWN_ANCHOR, "'*' asks for an anchor (&NAME) that is not there; quote the text"},
    {Said::ALIAS_NOT_FOUND, "'*' asks for an anchor and names none; quote the text"},
    {Said::ANCHOR_NOT_FOUND, "'&' makes an anchor and names none; quote the text"},
    {Said::CHAR_IN_BLOCK, "behind '|' or '>' the line ends; the text begins on the next one"},
    {Said::EOF_IN_SCALAR, "a quoted text before this is not closed"},
    {Said::INVALID_HEX, "the escape needs more hexadecimal digits, as \\u00e9 has"},
    {Said::INVALID_UNICODE,
     "the escape stands for no character; what JSON writes as a pair is one \\U0001F600 in YAML"},
    {Said::INVALID_ESCAPE, "there is no such escape; in double quotes \\\\ is a backslash"},
    {Said::BAD_CONVERSION, "a list or a mapping cannot be a key"},
    {Said::BAD_FILE, "lists and mappings lie too deep in each other"}};

std::string place_of(std::size_t line, std::size_t column) {
  return fmt::format("{}:{}", line + 1, column + 1);
}

// With its mark yaml-cpp reads it by itself.
bool is_utf16(std::string_view text) {
  return text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF");
}

// 0x7F is no such: YAML takes it in quotes.
bool is_control(unsigned char byte) {
  return byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r';
}

bool is_indented_by_tab(std::string_view text, std::size_t line) {
  const auto lines = lines_of(text);
  if (line >= lines.size()) return false;
  return lines[line].substr(0, lines[line].find_first_not_of(" \t")).find('\t') !=
         std::string_view::npos;
}

}  // namespace

std::optional<YamlFault> fault_of_bytes(std::string_view text) {
  if (is_utf16(text)) return std::nullopt;
  const auto control = std::find_if(text.begin(), text.end(), is_control) - text.begin();
  const std::size_t at = std::min(static_cast<std::size_t>(control), utf8_prefix(text));
  if (at == text.size()) return std::nullopt;
  const std::string_view before = text.substr(0, at);
  const auto line = static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n'));
  const std::size_t line_begin = before.rfind('\n') + 1;  // 0 on the first line
  const auto byte = static_cast<unsigned char>(text[at]);
  return YamlFault{place_of(line, at - line_begin),
                   byte < 0x80
                       ? fmt::format("the control character 0x{:02X} cannot stand in YAML", byte)
                       : why_no_utf8(text)};
}

std::string closed_yaml(std::string text) {
  if (text.ends_with('\n') && !is_utf16(text)) text += '#';
  return text;
}

YamlFault fault_of(const YAML::Exception& error, std::string_view text) {
  const auto line = static_cast<std::size_t>(std::max(0, error.mark.line));
  const auto column = static_cast<std::size_t>(std::max(0, error.mark.column));
  const auto known =
      std::find_if(std::begin(kWords), std::end(kWords),
                   [&error](const auto& words) { return error.msg.starts_with(words.first); });
  std::string what = known == std::end(kWords) ? "no YAML: " + error.msg : known->second;
  if (is_indented_by_tab(text, line)) what = kTab;
  return {place_of(line, column), std::move(what)};
}

}  // namespace proctor
