// Text to tokens.
//
// A sign is one of five operators in the ways people write them, words and LaTeX included. Blind
// spot: what is not known becomes a spoiler or a boundary, and is nobody's operator.
#include "runtime/core/text.h"
#include "runtime/core/unicode.h"
#include "supervisors/arithmetic_parts.h"

namespace proctor::arithmetic {
namespace {

constexpr std::size_t kMostDigits = 1000;  // of one number

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_letter_beyond_ascii(char32_t point) {
  const CharacterKind kind = kind_of(point);
  return kind == CharacterKind::letter || kind == CharacterKind::katakana ||
         kind == CharacterKind::single || kind == CharacterKind::extend;
}

std::string lower_word(std::string_view text, const Token& token) {
  return lower_ascii(text.substr(token.begin, token.end - token.begin));
}

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  std::vector<Token> tokens() {
    while (at_ < text_.size()) step();
    settle_words();
    settle_bullets();
    return std::move(tokens_);
  }

 private:
  char peek(std::size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  bool starts(std::string_view what) const { return text_.substr(at_).starts_with(what); }

  void add(Kind kind, std::size_t length, char sign = 0) {
    Token token{.kind = kind, .sign = sign, .begin = at_, .end = at_ + length};
    token.blank_before = std::exchange(blank_, false);
    token.line_before = std::exchange(line_, false) || tokens_.empty();
    tokens_.push_back(std::move(token));
    at_ += length;
  }

  void blank(std::size_t length, bool line) {
    blank_ = true;
    line_ = line_ || line;
    at_ += length;
  }

  void step() {
    const char c = peek();
    if (c == '\n') return blank(1, true);
    if (c == ' ' || c == '\t' || c == '\r') return blank(1, false);
    if (c == '$' || c == '&') {
      ++at_;
      return;
    }
    if (c == '\\') return command();
    if (is_digit(c) || (c == '.' && is_digit(peek(1)))) return number();
    if (is_letter(c)) return word();
    if (static_cast<unsigned char>(c) >= 0x80) return wide();
    if (std::string_view("=<>!:~").find(c) != std::string_view::npos) return relation();
    if (c == '*' && peek(1) == '*') return stars();
    if (std::string_view("+-*/^").find(c) != std::string_view::npos) return add(Kind::sign, 1, c);
    if (c == '(') return add(Kind::open, 1);
    if (c == ')') return add(Kind::close, 1);
    if (c == '%') return percent(1);
    add(Kind::boundary, 1);
  }

  void command() {
    for (const std::string_view skipped : {"\\(", "\\)", "\\[", "\\]", "\\$"})
      if (starts(skipped)) {
        at_ += 2;
        return;
      }
    if (starts("\\\\")) return blank(2, true);
    if (starts("\\%")) return percent(2);
    std::size_t length = 1;
    while (is_letter(peek(length)) && peek(length) != '_') ++length;
    const std::string_view name = text_.substr(at_ + 1, length - 1);
    if (name == "times" || name == "cdot") return add(Kind::sign, length, '*');
    if (name == "div") return add(Kind::sign, length, '/');
    add(Kind::spoiler, std::max<std::size_t>(length, std::min<std::size_t>(2, text_.size() - at_)));
  }

  void percent(std::size_t length) {
    const bool behind_number = !tokens_.empty() && tokens_.back().kind == Kind::number;
    add(behind_number ? Kind::percent : Kind::spoiler, length);
  }

  void number() {
    std::size_t length = 0;
    std::string digits;
    while (is_digit(peek(length))) digits += peek(length++);
    const auto group_follows = [&] {
      return peek(length) == ',' && is_digit(peek(length + 1)) && is_digit(peek(length + 2)) &&
             is_digit(peek(length + 3)) && !is_digit(peek(length + 4));
    };
    if (!digits.empty() && digits.size() <= 3)
      while (group_follows()) {
        digits.append(text_.substr(at_ + length + 1, 3));
        length += 4;
      }
    std::size_t decimals = 0;
    if (peek(length) == '.' && is_digit(peek(length + 1))) {
      ++length;
      for (; is_digit(peek(length)); ++length, ++decimals) digits += peek(length);
    }
    if (digits.size() > kMostDigits) return add(Kind::spoiler, length);
    add(Kind::number, length);
    // A leading zero would make it octal.
    digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size()));
    const Integer whole(digits.empty() ? "0" : digits);
    tokens_.back().value =
        Fraction(whole, boost::multiprecision::pow(Integer(10), static_cast<unsigned>(decimals)));
  }

  void word() {
    std::size_t length = 0;
    while (is_letter(peek(length)) || is_digit(peek(length))) ++length;
    const bool behind_number = !tokens_.empty() && tokens_.back().kind == Kind::number;
    const bool percent = behind_number && lower_ascii(text_.substr(at_, length)) == "percent";
    add(percent ? Kind::percent : Kind::word, length);
  }

  // A run of comparison signs: only a lone `=` is one of ours.
  void relation() {
    std::size_t length = 0;
    while (peek(length) != '\0' &&
           std::string_view("=<>!:~").find(peek(length)) != std::string_view::npos)
      ++length;
    if (length == 1 && peek() == '=') return add(Kind::equals, 1);
    const bool factorial =
        peek() == '!' && !blank_ && !tokens_.empty() && tokens_.back().is_operand_end();
    add(factorial ? Kind::spoiler : Kind::boundary, length);
  }

  // `**` is a power between two operands, and bold print elsewhere.
  void stars() {
    std::size_t next = 2;
    while (peek(next) == ' ') ++next;
    const bool operand = is_digit(peek(next)) || peek(next) == '(' || peek(next) == '.';
    if (operand && !tokens_.empty() && tokens_.back().is_operand_end())
      return add(Kind::sign, 2, '^');
    add(Kind::boundary, 2);
  }

  // Beyond ASCII: operators and blanks that print as such; letters; punctuation and pictures, which
  // stand beside an expression; anything else (roots, exponents, degrees) spoils what it touches.
  void wide() {
    const auto [code, length] = decode(text_, at_);
    switch (code) {
      case 0xD7:    // ×
      case 0xB7:    // ·
      case 0x22C5:  // dot operator
      case 0x2217:  // asterisk operator
        return add(Kind::sign, length, '*');
      case 0xF7:  // ÷
        return add(Kind::sign, length, '/');
      case 0x2212:  // minus
        return add(Kind::sign, length, '-');
      case 0xA0:
      case 0x2009:
      case 0x202F:
        return blank(length, false);
      default:
        break;
    }
    if (is_letter_beyond_ascii(code)) return add(Kind::word, length);
    const bool beside = (code >= 0x2010 && code <= 0x2043 && code != 0x2030) ||
                        (code >= 0x2190 && code <= 0x21FF) || (code >= 0x2234 && code <= 0x2235) ||
                        (code >= 0x2248 && code <= 0x2265) || (code >= 0x2500 && code <= 0x27BF) ||
                        (code >= 0x3000 && code <= 0x303F) || code >= 0x1F000 || code == 0xAB ||
                        code == 0xBB;
    add(beside ? Kind::boundary : Kind::spoiler, length);
  }

  std::string word_at(std::size_t i) const { return lower_word(text_, tokens_[i]); }

  // The sign that the word at `i` is between two expressions; 0: none.
  char sign_of_word(std::size_t i) const {
    const std::string word = word_at(i);
    if (word == "plus") return '+';
    if (word == "minus") return '-';
    if (word == "times" || word == "multiplied by") return '*';
    if (word == "divided by") return '/';
    if (word == "mod" || word == "modulo") return 'm';
    return word == "of" && is_share(i) ? '*' : '\0';
  }

  // "20% of 50", "1/2 of 50"; but "2 of 8" is no product.
  bool is_share(std::size_t of) const {
    return tokens_[of - 1].kind != Kind::number || (of > 1 && tokens_[of - 2].is_sign('/'));
  }

  void join_by() {
    for (std::size_t i = 0; i + 1 < tokens_.size(); ++i) {
      if (tokens_[i].kind != Kind::word || word_at(i + 1) != "by") continue;
      if (word_at(i) != "divided" && word_at(i) != "multiplied") continue;
      if (text_.substr(tokens_[i].end, tokens_[i + 1].begin - tokens_[i].end) != " ") continue;
      tokens_[i].end = tokens_[i + 1].end;
      tokens_.erase(tokens_.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    }
  }

  // A lone x between two expressions is most likely meant as a times sign, which is not ours to
  // decide.
  void settle_words() {
    join_by();
    for (std::size_t i = 1; i + 1 < tokens_.size(); ++i) {
      if (tokens_[i].kind != Kind::word) continue;
      if (!tokens_[i - 1].is_operand_end() || !tokens_[i + 1].is_operand_start()) continue;
      const char sign = sign_of_word(i);
      if (sign != '\0' && tokens_[i].blank_before && tokens_[i + 1].blank_before) {
        tokens_[i].kind = Kind::sign;
        tokens_[i].sign = sign;
        tokens_[i].in_words = true;
      } else if (const std::string word = word_at(i); word == "x" || word == "of") {
        tokens_[i].kind = Kind::spoiler;
      }
    }
  }

  // "- 3 + 4 = 7": an item of a list, not minus three.
  void settle_bullets() {
    std::string seen;
    for (std::size_t i = 0; i + 1 < tokens_.size(); ++i) {
      Token& token = tokens_[i];
      if (token.kind != Kind::sign || !token.line_before || !tokens_[i + 1].blank_before) continue;
      if (token.sign == '/' || token.sign == '^' || token.sign == 'm') continue;
      const bool behind_operand = i > 0 && tokens_[i - 1].is_operand_end();
      const bool inside =
          i > 0 && (tokens_[i - 1].kind == Kind::sign || tokens_[i - 1].kind == Kind::equals);
      if (inside) continue;
      // Behind a number it may as well go on from the line before.
      if (behind_operand && seen.find(token.sign) == std::string::npos) {
        token.kind = Kind::spoiler;
      } else {
        token.kind = Kind::boundary;
        seen += token.sign;
      }
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool blank_ = false, line_ = false;
  std::vector<Token> tokens_;
};

}  // namespace

Tokens::Tokens(std::string_view text) : text_(text), list_(Lexer(text).tokens()) {}

std::string_view Tokens::text(std::size_t first, std::size_t past) const {
  const std::size_t begin = list_[first].begin;
  return text_.substr(begin, list_[past - 1].end - begin);
}

std::string Tokens::word(std::size_t i) const { return lower_word(text_, list_[i]); }

char32_t Tokens::character(std::size_t i) const { return decode(text_, list_[i].begin).point; }

std::size_t Tokens::line_start(std::size_t i) const {
  while (i > 0 && !list_[i].line_before) --i;
  return i;
}

bool Tokens::is_variable(std::size_t i) const {
  return i < size() && (list_[i].kind == Kind::spoiler ||
                        (list_[i].kind == Kind::word && list_[i].end - list_[i].begin == 1));
}

bool Tokens::is_unary(std::size_t i) const {
  return (list_[i].is_sign('-') || list_[i].is_sign('+')) && i + 1 < size() &&
         list_[i + 1].is_operand_start() && !list_[i + 1].blank_before;
}

bool Tokens::is_behind_equals(std::size_t last) const {
  while (last > 0 && list_[last].is_expression()) --last;
  return list_[last].kind == Kind::equals;
}

bool is_lone_number(const Tokens& tokens, const Side& side) {
  std::size_t i = side.first;
  if (tokens[i].kind == Kind::sign) ++i;
  if (i >= side.past || tokens[i].kind != Kind::number) return false;
  ++i;
  if (i < side.past && tokens[i].kind == Kind::percent) ++i;
  return i == side.past;
}

}  // namespace proctor::arithmetic
