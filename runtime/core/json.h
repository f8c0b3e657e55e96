// Strict field readers over boost::json: every complaint names the path of the bad field.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/core/result.h"

namespace proctor {

namespace json = boost::json;

// How deep lists and objects may lie in each other. What others wrote (a model, a task, a server)
// becomes a part of a record, so a record is allowed more: whatever was taken in can be read again.
inline constexpr std::size_t kForeignLevels = 48;
inline constexpr std::size_t kRecordLevels = 256;

// Parses one JSON text; duplicate keys keep the last value, a number beyond all doubles is refused.
// The message says what is wrong and at which byte: "invalid JSON at byte 17: syntax error".
// An integer beyond 64 bits becomes the nearest double, as models and servers write what they like.
Result<json::value> parse_json(std::string_view text, std::size_t most_levels = kForeignLevels);
// The same for what a person gives us (tasks, records): such an integer is refused.
Result<json::value> parse_exact_json(std::string_view text,
                                     std::size_t most_levels = kForeignLevels);
// The complaint about one.
std::string beyond_64_bits(std::string_view integer);

// As people write it: 1.5, where JSON's writer has 1.5E0.
std::string readable_json(const json::value& value);

// An object that its copies share: what every snapshot of a record carries along unchanged.
class SharedObject {
 public:
  SharedObject() = default;
  SharedObject(json::object object)
      : object_(std::make_shared<const json::object>(std::move(object))) {}
  const json::object& operator*() const { return object_ ? *object_ : none(); }
  const json::object* operator->() const { return &**this; }

 private:
  static const json::object& none();
  std::shared_ptr<const json::object> object_;  // null: empty
};

// A finite double, or null: NaN and infinities are not JSON.
json::value number_or_null(double value);

// A copy with object keys in sorted order at every level; equal values serialise equally.
std::string canonical_json(const json::value& value);

// Reads fields of one object. The first complaint is kept; the getters give back defaults after it,
// so a record is read straight through and `status()` is looked at once. Fields that were not asked
// for are unknown: `rest()` gives them, so that a writer need not drop them.
class Fields {
 public:
  Fields(const json::object& object, std::string path) : object_(object), path_(std::move(path)) {}

  // Required: a complaint when missing or null. Optional ones treat null as absent.
  std::string text(std::string_view name);
  std::string text_or(std::string_view name, std::string fallback);
  std::optional<std::string> optional_text(std::string_view name);
  std::int64_t integer(std::string_view name);
  std::int64_t integer_or(std::string_view name, std::int64_t fallback);
  std::optional<std::int64_t> optional_integer(std::string_view name);
  // The same where only an int fits.
  int small_or(std::string_view name, int fallback);
  std::optional<int> optional_small(std::string_view name);
  double number_or(std::string_view name, double fallback);
  std::optional<double> optional_number(std::string_view name);
  bool boolean_or(std::string_view name, bool fallback);
  std::optional<bool> optional_boolean(std::string_view name);
  json::object object_or_empty(std::string_view name);
  const json::object* optional_object(std::string_view name);
  const json::array* optional_array(std::string_view name);
  std::vector<std::string> texts_or_empty(std::string_view name);
  // Any value, null when absent.
  json::value any(std::string_view name);

  bool has(std::string_view name) const;  // present and not null
  json::object rest() const;
  const std::string& path() const { return path_; }
  std::string path_of(std::string_view name) const;
  void complain(std::string_view name, std::string what);
  void fail(Error whole_complaint);
  const Status& status() const { return status_; }

 private:
  const json::value* find(std::string_view name);

  const json::object& object_;
  std::string path_;
  std::vector<std::string> asked_;
  Status status_;
};

// A longer line, or file that is read whole, is refused: nothing of ours comes near, and an endless
// one would take all memory.
inline constexpr std::size_t kMostText = std::size_t{256} << 20;

// What compressed bytes begin with, and no JSON text does.
inline constexpr std::string_view kZstdMagic = "\x28\xB5\x2F\xFD";

// Calls `each` for every line of JSON text (parse_exact_json) in the file ("-" is stdin; compressed
// ones are unpacked); blank lines and a byte order mark are skipped. The first error ends it and
// reads "FILE:LINE: what is wrong".
Status read_jsonl(const std::string& path,
                  const std::function<Status(json::value value, std::size_t line)>& each,
                  std::size_t most_levels = kForeignLevels);
// The same for lines as they are.
Status read_lines(const std::string& path,
                  const std::function<Status(std::string_view text, std::size_t line)>& each);

// The whole file; the message names the file and why it could not be read.
Result<std::string> read_file(const std::string& path, std::size_t most = kMostText);
// Writes to a temporary neighbour and renames, so that readers never see half a file.
Status write_file(const std::string& path, std::string_view content);

}  // namespace proctor
