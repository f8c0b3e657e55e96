// JSON reading with paths in every complaint. Blind spot: line numbers inside one JSON text are not
// known, only the byte; records are one line each, so FILE:LINE comes from read_jsonl.
#include "runtime/core/json.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>
#include <utility>

namespace proctor {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

const char* kind_name(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return "a boolean";
    case json::kind::int64:
    case json::kind::uint64:
    case json::kind::double_:
      return "a number";
    case json::kind::string:
      return "a string";
    case json::kind::array:
      return "a list";
    case json::kind::object:
      break;
  }
  return "an object";
}

std::optional<std::int64_t> as_integer(const json::value& value) {
  if (value.is_int64()) return value.get_int64();
  if (value.is_double()) {
    const double number = value.get_double();
    if (std::nearbyint(number) == number && std::abs(number) < 9e15)
      return static_cast<std::int64_t>(number);
  }
  return std::nullopt;
}

void write_canonical(const json::value& value, std::string& out) {
  if (const auto* object = value.if_object()) {
    std::vector<const json::key_value_pair*> sorted;
    sorted.reserve(object->size());
    for (const auto& pair : *object) sorted.push_back(&pair);
    std::sort(sorted.begin(), sorted.end(),
              [](const auto* a, const auto* b) { return a->key() < b->key(); });
    out += '{';
    for (const auto* pair : sorted) {
      if (out.back() != '{') out += ',';
      out += json::serialize(json::value(pair->key()));
      out += ':';
      write_canonical(pair->value(), out);
    }
    out += '}';
  } else if (const auto* array = value.if_array()) {
    out += '[';
    for (std::size_t i = 0; i < array->size(); ++i) {
      if (i > 0) out += ',';
      write_canonical((*array)[i], out);
    }
    out += ']';
  } else {
    out += json::serialize(value);
  }
}

Error longer_than(std::size_t most) {
  return bad_input("is longer than " + std::to_string(most >> 20) + " MiB");
}

// A file that cannot be opened is a name that does not fit, unless we ran out of something.
Error cannot_open(const std::string& path, int code) {
  const bool ours = code == EMFILE || code == ENFILE || code == ENOMEM;
  return {ours ? ErrorKind::internal : ErrorKind::bad_input, path + ": " + std::strerror(code)};
}

// Hands out the bytes of a plain or zstd-compressed file, or of stdin.
class Bytes {
 public:
  static Result<std::unique_ptr<Bytes>> open(const std::string& path) {
    auto bytes = std::make_unique<Bytes>();
    bytes->fd_ = path == "-" ? ::dup(0) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (bytes->fd_ < 0) return cannot_open(path, errno);
    if (std::filesystem::is_directory(path)) return bad_input(path + ": is a directory");
    if (path.ends_with(".zst")) bytes->zstd_ = ZSTD_createDStream();
    return bytes;
  }
  ~Bytes() {
    if (fd_ >= 0) ::close(fd_);
    ZSTD_freeDStream(zstd_);
  }

  // Appends more to `out`; false at the end.
  Result<bool> more(std::string& out) {
    constexpr std::size_t kChunk = 1 << 18;
    if (!zstd_) {
      const std::size_t before = out.size();
      auto filled = fill(out, kChunk);
      if (!filled || std::exchange(begun_, true)) return filled;
      // A pipe may bring less than the magic at once.
      while (*filled && out.size() - before < kZstdMagic.size() &&
             kZstdMagic.starts_with(std::string_view(out).substr(before))) {
        auto more = fill(out, kChunk);
        if (!more) return more;
        if (!*more) break;
      }
      if (!std::string_view(out).substr(before).starts_with(kZstdMagic)) return filled;
      // Compressed under another name, or through a pipe, which has none.
      zstd_ = ZSTD_createDStream();
      raw_ = out.substr(before);
      out.resize(before);
    }
    for (;;) {
      if (position_ == raw_.size()) {
        raw_.clear();
        position_ = 0;
        auto filled = fill(raw_, kChunk);
        if (!filled) return filled;
        if (!*filled) {
          if (mid_frame_) return bad_input("ends in the middle of a zstd frame");
          return false;
        }
      }
      const std::size_t before = out.size();
      out.resize(before + kChunk);
      ZSTD_inBuffer input{raw_.data(), raw_.size(), position_};
      ZSTD_outBuffer output{out.data(), out.size(), before};
      const std::size_t left = ZSTD_decompressStream(zstd_, &output, &input);
      if (ZSTD_isError(left)) return bad_input("is no zstd file");
      mid_frame_ = left != 0;
      position_ = input.pos;
      out.resize(output.pos);
      if (out.size() > before) return true;
    }
  }

 private:
  Result<bool> fill(std::string& out, std::size_t most) {
    const std::size_t before = out.size();
    out.resize(before + most);
    ssize_t got = 0;
    do {
      got = ::read(fd_, out.data() + before, most);
    } while (got < 0 && errno == EINTR);
    out.resize(before + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (got < 0) return internal_error(std::strerror(errno));
    return got > 0;
  }

  int fd_ = -1;
  ZSTD_DStream* zstd_ = nullptr;
  std::string raw_;
  std::size_t position_ = 0;
  bool mid_frame_ = false;
  bool begun_ = false;
};

}  // namespace

std::string readable_json(const json::value& value) {
  return value.is_double() ? fmt::format("{}", value.get_double()) : json::serialize(value);
}

const json::object& SharedObject::none() {
  static const json::object none;
  return none;
}

json::value number_or_null(double value) {
  if (!std::isfinite(value)) return nullptr;
  return value;
}

std::string canonical_json(const json::value& value) {
  std::string out;
  write_canonical(value, out);
  return out;
}

std::string Fields::path_of(std::string_view name) const {
  return path_.empty() ? std::string(name) : path_ + "." + std::string(name);
}

void Fields::complain(std::string_view name, std::string what) {
  if (status_) status_ = bad_input(path_of(name) + ": " + std::move(what));
}

void Fields::fail(Error whole_complaint) {
  if (status_) status_ = std::move(whole_complaint);
}

const json::value* Fields::find(std::string_view name) {
  asked_.emplace_back(name);
  const auto* value = object_.if_contains(name);
  return value && !value->is_null() ? value : nullptr;
}

bool Fields::has(std::string_view name) const {
  const auto* value = object_.if_contains(name);
  return value && !value->is_null();
}

json::object Fields::rest() const {
  json::object rest;
  for (const auto& pair : object_)
    if (std::find(asked_.begin(), asked_.end(), pair.key()) == asked_.end())
      rest.emplace(pair.key(), pair.value());
  return rest;
}

std::optional<std::string> Fields::optional_text(std::string_view name) {
  const auto* value = find(name);
  if (!value) return std::nullopt;
  if (const auto* text = value->if_string()) return std::string(*text);
  complain(name, std::string("expected a string, got ") + kind_name(*value));
  return std::nullopt;
}

std::string Fields::text(std::string_view name) {
  const bool there = has(name);
  auto value = optional_text(name);
  if (!there) complain(name, "is missing; expected a string");
  return value.value_or("");
}

std::string Fields::text_or(std::string_view name, std::string fallback) {
  return optional_text(name).value_or(std::move(fallback));
}

std::optional<std::int64_t> Fields::optional_integer(std::string_view name) {
  const auto* value = find(name);
  if (!value) return std::nullopt;
  if (auto number = as_integer(*value)) return number;
  complain(name, std::string("expected an integer, got ") + kind_name(*value));
  return std::nullopt;
}

std::optional<int> Fields::optional_small(std::string_view name) {
  const auto number = optional_integer(name);
  if (!number) return std::nullopt;
  if (std::in_range<int>(*number)) return static_cast<int>(*number);
  using Int = std::numeric_limits<int>;
  complain(name, std::to_string(*number) +
                     (*number < 0 ? " is too small; at least " + std::to_string(Int::min())
                                  : " is too large; at most " + std::to_string(Int::max())));
  return std::nullopt;
}

int Fields::small_or(std::string_view name, int fallback) {
  return optional_small(name).value_or(fallback);
}

std::int64_t Fields::integer(std::string_view name) {
  const bool there = has(name);
  auto value = optional_integer(name);
  if (!there) complain(name, "is missing; expected an integer");
  return value.value_or(0);
}

std::int64_t Fields::integer_or(std::string_view name, std::int64_t fallback) {
  return optional_integer(name).value_or(fallback);
}

std::optional<double> Fields::optional_number(std::string_view name) {
  const auto* value = find(name);
  if (!value) return std::nullopt;
  if (value->is_number()) return value->to_number<double>();
  complain(name, std::string("expected a number, got ") + kind_name(*value));
  return std::nullopt;
}

double Fields::number_or(std::string_view name, double fallback) {
  return optional_number(name).value_or(fallback);
}

std::optional<bool> Fields::optional_boolean(std::string_view name) {
  const auto* value = find(name);
  if (!value) return std::nullopt;
  if (value->is_bool()) return value->get_bool();
  complain(name, std::string("expected true or false, got ") + kind_name(*value));
  return std::nullopt;
}

bool Fields::boolean_or(std::string_view name, bool fallback) {
  return optional_boolean(name).value_or(fallback);
}

const json::object* Fields::optional_object(std::string_view name) {
  const auto* value = find(name);
  if (!value) return nullptr;
  if (const auto* object = value->if_object()) return object;
  complain(name, std::string("expected an object, got ") + kind_name(*value));
  return nullptr;
}

json::object Fields::object_or_empty(std::string_view name) {
  const auto* object = optional_object(name);
  return object ? *object : json::object{};
}

const json::array* Fields::optional_array(std::string_view name) {
  const auto* value = find(name);
  if (!value) return nullptr;
  if (const auto* array = value->if_array()) return array;
  complain(name, std::string("expected a list, got ") + kind_name(*value));
  return nullptr;
}

std::vector<std::string> Fields::texts_or_empty(std::string_view name) {
  std::vector<std::string> texts;
  const auto* array = optional_array(name);
  if (!array) return texts;
  for (const auto& value : *array) {
    if (const auto* text = value.if_string()) {
      texts.emplace_back(*text);
    } else {
      complain(name, std::string("expected a list of strings, found ") + kind_name(value));
    }
  }
  return texts;
}

json::value Fields::any(std::string_view name) {
  const auto* value = find(name);
  return value ? *value : json::value(nullptr);
}

Status read_jsonl(const std::string& path,
                  const std::function<Status(json::value value, std::size_t line)>& each,
                  std::size_t most_levels) {
  return read_lines(path, [&](std::string_view text, std::size_t line) -> Status {
    auto value = parse_exact_json(text, most_levels);
    if (!value) return std::move(value).error();
    return each(std::move(*value), line);
  });
}

Status read_lines(const std::string& path,
                  const std::function<Status(std::string_view text, std::size_t line)>& each) {
  auto bytes = Bytes::open(path);
  if (!bytes) return std::move(bytes).error();
  const std::string shown = path == "-" ? "stdin" : path;
  std::string buffer;
  std::size_t line = 0;
  const auto take = [&](std::string_view text) -> Status {
    ++line;
    if (line == 1 && text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
    if (text.find_first_not_of(" \t\r") == std::string_view::npos) return {};
    auto status = each(text, line);
    if (!status) return std::move(status).error().in(shown + ":" + std::to_string(line));
    return {};
  };
  for (std::size_t scanned = 0;;) {
    auto more = (*bytes)->more(buffer);
    if (!more) return std::move(more).error().in(shown);
    std::size_t start = 0;
    for (std::size_t end = buffer.find('\n', scanned); end != std::string::npos;
         end = buffer.find('\n', start)) {
      if (auto status = take(std::string_view(buffer).substr(start, end - start)); !status)
        return status;
      start = end + 1;
    }
    buffer.erase(0, start);
    scanned = buffer.size();
    if (scanned > kMostText)
      return longer_than(kMostText).in(shown + ":" + std::to_string(line + 1));
    if (!*more) break;
  }
  return buffer.empty() ? Status{} : take(buffer);
}

Result<std::string> read_file(const std::string& path, std::size_t most) {
  const int fd = path == "-" ? ::dup(0) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return cannot_open(path, errno);
  std::string content;
  char block[1 << 16];
  for (;;) {
    const ssize_t got = ::read(fd, block, sizeof block);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int code = errno;
      ::close(fd);
      return code == EISDIR ? cannot_open(path, code)
                            : internal_error(path + ": " + std::strerror(code));
    }
    if (got == 0) break;
    content.append(block, static_cast<std::size_t>(got));
    if (content.size() > most) {
      ::close(fd);
      return longer_than(most).in(path == "-" ? "stdin" : path);
    }
  }
  ::close(fd);
  return content;
}

Status write_file(const std::string& path, std::string_view content) {
  const std::string temporary = path + ".tmp" + std::to_string(::getpid());
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return internal_error(path + ": " + std::strerror(errno));
  int code = 0;
  for (std::size_t written = 0; written < content.size() && code == 0;) {
    const ssize_t put = ::write(fd, content.data() + written, content.size() - written);
    if (put >= 0) {
      written += static_cast<std::size_t>(put);
    } else if (errno != EINTR) {
      code = errno;
    }
  }
  if (code == 0 && ::fsync(fd) != 0 && errno != EINVAL) code = errno;
  if (::close(fd) != 0 && code == 0) code = errno;
  if (code == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) code = errno;
  if (code != 0) {
    ::unlink(temporary.c_str());
    return internal_error(path + ": " + std::strerror(code));
  }
  return {};
}

}  // namespace proctor
