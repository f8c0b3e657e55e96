// parse_json: Boost.JSON's grammar, with numbers read to the last bit.
//
// Boost 1.81's own readers are up to one unit off in the last place, so that a record changed each
// time it was read and written again. Blind spot: integers beyond 64 bits cannot be kept: they are
// refused or become the nearest double.
#include <boost/json/basic_parser_impl.hpp>
#include <charconv>
#include <cmath>
#include <set>
#include <vector>

#include "runtime/core/json.h"
#include "runtime/core/json_keys.h"
#include "runtime/core/text.h"
#include "runtime/core/unicode.h"

namespace proctor {
namespace {

// What the parser wants to know of whoever takes its events.
struct Handler {
  static constexpr std::size_t max_object_size = json::object::max_size();
  static constexpr std::size_t max_array_size = json::array::max_size();
  static constexpr std::size_t max_key_size = json::string::max_size();
  static constexpr std::size_t max_string_size = json::string::max_size();
  using Text = json::string_view;
  using Code = json::error_code;
};

// Builds a value from the parser's events.
class Builder : public Handler {
 public:
  explicit Builder(bool exact) : exact_(exact) { stack_.reset(); }
  json::value release() { return stack_.release(); }

  bool on_document_begin(Code&) { return true; }
  bool on_document_end(Code&) { return true; }
  bool on_object_begin(Code&) { return true; }
  bool on_object_end(std::size_t size, Code&) {
    stack_.push_object(size);
    return true;
  }
  bool on_array_begin(Code&) { return true; }
  bool on_array_end(std::size_t size, Code&) {
    stack_.push_array(size);
    return true;
  }
  bool on_key_part(Text text, std::size_t, Code&) {
    stack_.push_chars(text);
    return true;
  }
  bool on_key(Text text, std::size_t, Code&) {
    stack_.push_key(text);
    return true;
  }
  bool on_string_part(Text text, std::size_t, Code&) {
    stack_.push_chars(text);
    return true;
  }
  bool on_string(Text text, std::size_t, Code&) {
    stack_.push_string(text);
    return true;
  }
  bool on_number_part(Text text, Code&) {
    number_.append(text.data(), text.size());
    return true;
  }
  bool on_int64(std::int64_t value, Text, Code&) {
    number_.clear();
    stack_.push_int64(value);
    return true;
  }
  bool on_uint64(std::uint64_t value, Text, Code&) {
    number_.clear();
    stack_.push_uint64(value);
    return true;
  }
  bool on_double(double value, Text text, Code& error) {
    number_.append(text.data(), text.size());
    if (exact_ && number_.find_first_of(".eE") == std::string::npos) {
      error = json::error::not_exact;
      return false;
    }
    double exact = 0;
    const char* end = number_.data() + number_.size();
    const auto [stopped, code] = std::from_chars(number_.data(), end, exact);
    // Too small for a double: 0, as Boost has it. Too large: it would be written as null.
    if (code == std::errc() && stopped == end) value = exact;
    number_.clear();
    if (!std::isfinite(value)) {
      error = json::error::exponent_overflow;
      return false;
    }
    stack_.push_double(value);
    return true;
  }
  bool on_bool(bool value, Code&) {
    stack_.push_bool(value);
    return true;
  }
  bool on_null(Code&) {
    stack_.push_null();
    return true;
  }
  bool on_comment_part(Text, Code&) { return true; }
  bool on_comment(Text, Code&) { return true; }

 private:
  bool exact_;  // no integer is rounded
  json::value_stack stack_;
  std::string number_;
};

// Follows a text's keys alone.
class KeyWatch : public Handler {
 public:
  std::optional<std::string> repeated;

  bool on_object_begin(Code&) {
    open_.emplace_back();
    return true;
  }
  bool on_object_end(std::size_t, Code&) {
    open_.pop_back();
    return true;
  }
  bool on_key_part(Text text, std::size_t, Code&) {
    key_.append(text.data(), text.size());
    return true;
  }
  bool on_key(Text text, std::size_t, Code&) {
    key_.append(text.data(), text.size());
    if (!repeated && !open_.back().insert(key_).second) repeated = key_;
    key_.clear();
    return true;
  }
  bool on_document_begin(Code&) { return true; }
  bool on_document_end(Code&) { return true; }
  bool on_array_begin(Code&) { return true; }
  bool on_array_end(std::size_t, Code&) { return true; }
  bool on_string_part(Text, std::size_t, Code&) { return true; }
  bool on_string(Text, std::size_t, Code&) { return true; }
  bool on_number_part(Text, Code&) { return true; }
  bool on_int64(std::int64_t, Text, Code&) { return true; }
  bool on_uint64(std::uint64_t, Text, Code&) { return true; }
  bool on_double(double, Text, Code&) { return true; }
  bool on_bool(bool, Code&) { return true; }
  bool on_null(Code&) { return true; }
  bool on_comment_part(Text, Code&) { return true; }
  bool on_comment(Text, Code&) { return true; }

 private:
  std::vector<std::set<std::string>> open_;  // the keys so far of every object not yet closed
  std::string key_;
};

// The text ends in the first half of a surrogate pair, or in that and a backslash.
bool ends_in_half(std::string_view text) {
  if (text.ends_with('\\')) text.remove_suffix(1);
  constexpr std::size_t kEscape = 6;  // "\ud83d"
  if (text.size() < kEscape) return false;
  const std::string escape = lower_ascii(text.substr(text.size() - kEscape));
  return escape.starts_with("\\ud") && escape.find_first_of("89ab", 3) == 3;
}

// What Boost calls a syntax error may have a plainer name.
std::string reason(std::string_view read, const json::error_code& error) {
  if (error == json::error::expected_utf16_escape ||
      error == json::error::illegal_leading_surrogate ||
      error == json::error::illegal_trailing_surrogate ||
      (error == json::error::syntax && ends_in_half(read)))
    return "half of a surrogate pair (\\uD800 to \\uDFFF) is no character";
  if (error == json::error::exponent_overflow) return "the number is too large";
  return error.message();
}

Result<json::value> parse(std::string_view text, std::size_t most_levels, bool exact) {
  json::parse_options options;
  options.max_depth = most_levels;
  json::basic_parser<Builder> parser(options, exact);
  json::error_code error;
  const std::size_t read = parser.write_some(false, text.data(), text.size(), error);
  if (!error && read < text.size() &&
      text.find_first_not_of(" \t\r\n", read) != std::string_view::npos)
    return bad_input("invalid JSON at byte " + std::to_string(read) + ": text behind the value");
  if (const std::size_t end = utf8_prefix(text); error && end < text.size())
    return bad_input("invalid JSON at byte " + std::to_string(end) + ": " + why_no_utf8(text));
  if (error == json::error::not_exact) {
    const std::size_t begin = text.find_last_not_of("-0123456789", read - 1) + 1;
    return bad_input("at byte " + std::to_string(begin) + ": " +
                     beyond_64_bits(text.substr(begin, read - begin)));
  }
  if (error)
    return bad_input("invalid JSON at byte " + std::to_string(read) + ": " +
                     reason(text.substr(0, read), error));
  return parser.handler().release();
}

}  // namespace

std::string beyond_64_bits(std::string_view integer) {
  constexpr std::size_t kShown = 40;
  return "the integer " + std::string(integer.substr(0, kShown)) +
         (integer.size() > kShown ? "..." : "") + " does not fit in 64 bits; write it as a text";
}

std::optional<std::string> repeated_key(std::string_view text) {
  json::parse_options options;
  options.max_depth = kRecordLevels;
  json::basic_parser<KeyWatch> parser(options);
  json::error_code error;
  parser.write_some(false, text.data(), text.size(), error);
  if (error) return std::nullopt;
  return std::move(parser.handler().repeated);
}

Result<json::value> parse_json(std::string_view text, std::size_t most_levels) {
  return parse(text, most_levels, false);
}

Result<json::value> parse_exact_json(std::string_view text, std::size_t most_levels) {
  return parse(text, most_levels, true);
}

}  // namespace proctor
