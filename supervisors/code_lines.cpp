// The lexer behind logical lines.
#include "supervisors/code_lines.h"

#include <algorithm>
#include <cctype>

#include "runtime/core/text.h"

namespace proctor {
namespace {

bool starts_name(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) || c == '_' || (c & 0x80) != 0;
}
bool in_name(char c) { return starts_name(c) || std::isdigit(static_cast<unsigned char>(c)); }

// A token with its place in the whole source.
struct Placed {
  CodeToken token;
  std::size_t begin = 0, end = 0;
};

class Lexer {
 public:
  Lexer(Language language, std::string_view source)
      : python_(language == Language::python), source_(source) {}

  std::vector<Placed> tokens() {
    std::vector<Placed> found;
    while (at_ < source_.size()) {
      if (skip_space_and_comments()) continue;
      const std::size_t begin = at_;
      CodeToken::Kind kind = CodeToken::Kind::sign;
      if (const std::size_t end = text_end(); end > at_) {
        kind = CodeToken::Kind::text;
        at_ = end;
      } else if (starts_name(source_[at_])) {
        kind = CodeToken::Kind::name;
        while (at_ < source_.size() && in_name(source_[at_])) ++at_;
      } else if (std::isdigit(static_cast<unsigned char>(source_[at_])) ||
                 (source_[at_] == '.' && std::isdigit(static_cast<unsigned char>(peek(1))))) {
        kind = CodeToken::Kind::number;
        take_number();
      } else {
        take_sign();
      }
      found.push_back({{kind, std::string(source_.substr(begin, at_ - begin)), 0}, begin, at_});
    }
    return found;
  }

 private:
  char peek(std::size_t ahead) const {
    return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0';
  }

  bool skip_space_and_comments() {
    const char c = source_[at_];
    if (std::isspace(static_cast<unsigned char>(c))) return ++at_;
    if (c == '\\' && (peek(1) == '\n' || peek(1) == '\r')) return at_ += 2;
    if (python_ ? c == '#' : c == '/' && peek(1) == '/') {
      at_ = std::min(source_.find('\n', at_), source_.size());
      return true;
    }
    if (!python_ && c == '/' && peek(1) == '*') {
      const std::size_t end = source_.find("*/", at_ + 2);
      at_ = end == std::string_view::npos ? source_.size() : end + 2;
      return true;
    }
    return false;
  }

  // Where a text literal that begins here ends; here when none does.
  std::size_t text_end() const {
    std::size_t quote = at_;
    while (quote < source_.size() && quote - at_ < 3 &&
           std::isalpha(static_cast<unsigned char>(source_[quote])))
      ++quote;  // r"", f"", u8""
    if (quote >= source_.size() || (source_[quote] != '"' && source_[quote] != '\'')) return at_;
    const bool raw = source_.substr(at_, quote - at_).find_first_of("rR") != std::string_view::npos;
    if (!python_ && raw && source_[quote] == '"') {  // R"mark(...)mark"
      const std::size_t open = source_.find('(', quote);
      if (open == std::string_view::npos) return source_.size();
      const std::string close =
          ")" + std::string(source_.substr(quote + 1, open - quote - 1)) + "\"";
      const std::size_t end = source_.find(close, open);
      return end == std::string_view::npos ? source_.size() : end + close.size();
    }
    const char mark = source_[quote];
    const std::string triple(3, mark);
    const bool is_triple = python_ && source_.substr(quote, 3) == triple;
    for (std::size_t i = quote + (is_triple ? 3 : 1); i < source_.size(); ++i) {
      if (source_[i] == '\\') {
        ++i;
      } else if (is_triple) {
        if (source_.substr(i, 3) == triple) return i + 3;
      } else if (source_[i] == mark) {
        return i + 1;
      } else if (source_[i] == '\n') {
        return i;  // never closed: does not compile anyway
      }
    }
    return source_.size();
  }

  void take_number() {
    while (at_ < source_.size()) {
      const char c = source_[at_];
      const char before = at_ > 0 ? source_[at_ - 1] : ' ';
      const bool exponent_sign =
          (c == '+' || c == '-') && (before == 'e' || before == 'E') &&
          source_.substr(0, at_).find_last_of("xX") == std::string_view::npos;
      const bool separator = !python_ && c == '\'' && in_name(peek(1));
      if (!in_name(c) && c != '.' && !exponent_sign && !separator) return;
      ++at_;
    }
  }

  void take_sign() {
    static constexpr std::string_view kSigns[] = {
        "<<=", ">>=", "**=", "//=", "...", "<=>", "->*", "==", "!=", "<=", ">=",
        "+=",  "-=",  "*=",  "/=",  "%=",  "&=",  "|=",  "^=", "@=", "->", ":=",
        "**",  "//",  "<<",  ">>",  "&&",  "||",  "++",  "--", "::", "##", "<",
        ">",   "+",   "-",   "*",   "/",   "%",   "=",   "(",  ")",  "[",  "]"};
    for (const std::string_view sign : kSigns) {
      const bool not_ours = python_
                                ? sign == "&&" || sign == "||" || sign == "++" || sign == "--" ||
                                      sign == "::" || sign == "##"
                                : sign == "**" || sign == "//" || sign == "**=" || sign == "//=";
      if (not_ours || !source_.substr(at_).starts_with(sign)) continue;
      at_ += sign.size();
      return;
    }
    ++at_;
  }

  const bool python_;
  std::string_view source_;
  std::size_t at_ = 0;
};

bool all_braces(const std::vector<CodeToken>& tokens) {
  return std::all_of(tokens.begin(), tokens.end(), [](const CodeToken& token) {
    return token.is("{") || token.is("}") || token.is(";") || token.is(")");
  });
}

// Numbers of physical lines by byte.
class LineNumbers {
 public:
  explicit LineNumbers(std::string_view source) {
    for (std::size_t i = 0; i < source.size(); ++i)
      if (source[i] == '\n') ends_.push_back(i);
  }
  int of(std::size_t byte) const {
    return static_cast<int>(std::lower_bound(ends_.begin(), ends_.end(), byte) - ends_.begin());
  }
  std::size_t begin(int line) const {
    return line == 0 ? 0 : ends_[static_cast<std::size_t>(line) - 1] + 1;
  }
  std::size_t end(int line, std::size_t size) const {
    return static_cast<std::size_t>(line) < ends_.size() ? ends_[static_cast<std::size_t>(line)]
                                                         : size;
  }

 private:
  std::vector<std::size_t> ends_;
};

bool joined_by_backslash(std::string_view source, std::size_t from, std::size_t to) {
  const std::string_view between = source.substr(from, to - from);
  const std::size_t newline = between.find('\n');
  return newline != std::string_view::npos && newline > 0 &&
         (between[newline - 1] == '\\' ||
          (newline > 1 && between[newline - 1] == '\r' && between[newline - 2] == '\\'));
}

}  // namespace

std::string CodeLine::indentation() const {
  return text.substr(0, std::min(text.find_first_not_of(" \t"), text.size()));
}

std::vector<CodeLine> code_lines(Language language, std::string_view source) {
  const std::vector<Placed> tokens = Lexer(language, source).tokens();
  const LineNumbers numbers(source);
  std::vector<CodeLine> lines;
  int depth = 0;  // of ( and [; of { too in Python, where it is no block
  for (std::size_t i = 0; i < tokens.size();) {
    CodeLine line;
    line.first = numbers.of(tokens[i].begin);
    line.last = line.first;
    const std::size_t begin = numbers.begin(line.first);
    depth = 0;
    for (; i < tokens.size(); ++i) {
      const Placed& next = tokens[i];
      const bool same_line = numbers.of(next.begin) <= line.last;
      if (!same_line && depth <= 0 &&
          (line.tokens.empty() || !joined_by_backslash(source, tokens[i - 1].end, next.begin)))
        break;
      const bool opens = next.token.is("(") || next.token.is("[") ||
                         (language == Language::python && next.token.is("{"));
      const bool closes = next.token.is(")") || next.token.is("]") ||
                          (language == Language::python && next.token.is("}"));
      depth += opens - closes;
      line.tokens.push_back(next.token);
      line.tokens.back().at = next.begin - begin;
      line.last = numbers.of(next.end - 1);
    }
    line.text = std::string(source.substr(begin, numbers.end(line.last, source.size()) - begin));
    const bool doc_string =
        language == Language::python &&
        std::all_of(line.tokens.begin(), line.tokens.end(),
                    [](const CodeToken& token) { return token.kind == CodeToken::Kind::text; });
    if (!doc_string && !all_braces(line.tokens)) lines.push_back(std::move(line));
  }
  return lines;
}

std::vector<std::string> bare_lines(Language language, std::string_view source) {
  const LineNumbers numbers(source);
  std::vector<std::string> lines(lines_of(source).size());
  for (const Placed& placed : Lexer(language, source).tokens()) {
    const auto line = static_cast<std::size_t>(numbers.of(placed.begin));
    if (line < lines.size()) lines[line] += placed.token.word + " ";
  }
  return lines;
}

std::string with_line(std::string_view source, const CodeLine& line, std::string_view replacement) {
  const LineNumbers numbers(source);
  std::string out(source.substr(0, numbers.begin(line.first)));
  out += replacement;
  out += source.substr(numbers.end(line.last, source.size()));
  return out;
}

}  // namespace proctor
