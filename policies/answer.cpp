// Looks for marks, from the end of the text. Blind spot: what they mark is not understood: "Answer:
// see above" is an answer.
#include "policies/answer.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "policies/markup.h"
#include "runtime/core/code_fence.h"
#include "runtime/core/text.h"

namespace proctor {
namespace {

constexpr std::string_view kBlank = " \t\r\n\v\f";
constexpr std::string_view kEmphasis = "*_";

std::optional<std::string> last_answer_block(std::string_view text) {
  constexpr std::string_view open = "<answer>", close = "</answer>";
  const auto end = text.rfind(close);
  if (end == std::string_view::npos) return std::nullopt;
  const auto start = text.substr(0, end).rfind(open);
  if (start == std::string_view::npos) return std::nullopt;
  return std::string(
      markup::inside_of_block(text.substr(start + open.size(), end - start - open.size())));
}

// Past "Answer:" or "**Final answer:**" at the start of a line; nothing: the line is another.
struct AnswerWord {
  std::size_t past = 0;  // where what follows it begins
  std::string_view
      open;  // the emphasis (** and the like) that began before the answer and ends in it
};

std::optional<AnswerWord> find_answer_word(std::string_view line) {
  std::size_t at = 0;
  const auto skip = [&](std::string_view characters) {
    const std::size_t from = at;
    while (at < line.size() && characters.find(line[at]) != std::string_view::npos) ++at;
    return line.substr(from, at - from);
  };
  const auto word = [&](std::string_view expected) {
    if (line.size() - at < expected.size()) return false;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      if (std::tolower(static_cast<unsigned char>(line[at + i])) != expected[i]) return false;
    }
    at += expected.size();
    return true;
  };
  skip(" \t#");
  std::string_view open = skip(kEmphasis);
  if (!skip(" \t*#_").empty()) open = {};  // a list's mark
  word("final ");
  if (!word("answer")) return std::nullopt;
  if (!skip(kEmphasis).empty()) open = {};
  if (!word(":")) return std::nullopt;
  if (const auto run = skip(kEmphasis); !run.empty())
    open = at == line.size() || kBlank.find(line[at]) != std::string_view::npos ? "" : run;
  skip(" \t");
  if (const auto run = skip("*"); !run.empty()) open = run;  // __init__ may be the answer itself
  skip(" \t");
  return AnswerWord{at, open};
}

// An answer alone in backticks, or behind emphasis that ends in it, is what they mark.
std::string without_marks(std::string_view answer, std::string_view open) {
  std::string plain(answer);
  if (const auto closed = plain.find(open); !open.empty() && closed != std::string::npos)
    plain.erase(closed, open.size());
  if (plain.size() > 2 && plain.front() == '`' && plain.find('`', 1) == plain.size() - 1)
    plain = plain.substr(1, plain.size() - 2);
  return std::string(trimmed(std::string_view(plain)));
}

}  // namespace

std::optional<std::string> boxed_answer(std::string_view text) {
  constexpr std::string_view open = "\\boxed{";
  for (auto start = text.rfind(open); start != std::string_view::npos;) {
    int depth = 1;
    for (auto at = start + open.size(); at < text.size(); ++at) {
      if (text[at] == '{') ++depth;
      if (text[at] == '}' && --depth == 0)
        return std::string(trimmed(text.substr(start + open.size(), at - start - open.size())));
    }
    if (start == 0) break;
    start = text.rfind(open, start - 1);
  }
  return std::nullopt;
}

std::optional<StatedAnswer> stated_answer(std::string_view text) {
  std::optional<StatedAnswer> found;
  for (std::size_t start = 0; start < text.size();) {
    const auto end = std::min(text.find('\n', start), text.size());
    if (const auto word = find_answer_word(text.substr(start, end - start))) {
      std::string_view rest = text.substr(start + word->past);
      rest = rest.substr(std::min(rest.find_first_not_of(kBlank), rest.size()));
      const std::string_view answer = trimmed(rest.substr(0, rest.find("\n\n")));
      if (!answer.empty()) {
        auto fenced = markup::inside_of_fence(answer);
        found = {static_cast<std::size_t>(answer.data() - text.data()),
                 fenced ? std::move(*fenced) : without_marks(answer, word->open)};
      }
    }
    start = end + 1;
  }
  return found;
}

std::optional<std::string> fenced_answer(std::string_view text) {
  auto blocks = code_blocks(text);
  if (!blocks.empty() && !blocks.back().closed) blocks.pop_back();
  if (blocks.empty()) return std::nullopt;
  std::string inside = std::move(blocks.back().code);
  if (!inside.empty()) inside.pop_back();  // the end of its last line
  return inside;
}

std::optional<std::string> marked_answer(std::string_view text) {
  if (auto answer = last_answer_block(text)) return answer;
  if (auto answer = boxed_answer(text)) return answer;
  if (auto answer = stated_answer(text)) return std::move(answer->text);
  return fenced_answer(text);
}

std::string write_marked_answer(const std::string& answer) {
  std::string line = "Answer: " + answer;
  if (marked_answer(line) == answer) return line;
  std::string fence = "```\n" + answer + "\n```";
  if (marked_answer(fence) == answer) return fence;
  return "<answer>\n" + answer + "\n</answer>";
}

}  // namespace proctor
