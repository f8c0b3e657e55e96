// Server-sent events: the parser of a stream that arrives in pieces.
//
// Blind spot: `id:` and `retry:` are read over; nothing here reconnects.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "runtime/core/result.h"

namespace proctor {

class SseParser {
 public:
  // `most_bytes` bounds one event, so that a server cannot fill the memory with a line.
  explicit SseParser(std::size_t most_bytes = 16U << 20) : most_bytes_(most_bytes) {}

  // With the name that an `event:` line gave, or none, and the data. A line `error: ...`, which is
  // no part of the format, is an event of that name: some servers write their failures so.
  using Event = std::function<Status(std::string_view name, std::string_view data)>;

  // Calls `event` with each event that became whole; its Error ends the parsing.
  // `unavailable` when an event is larger than allowed.
  Status take(std::string_view piece, const Event& event);

 private:
  Status line(std::string_view text, const Event& event);

  std::size_t most_bytes_;
  std::string half_line_;
  std::string name_, data_;
  bool has_data_ = false;
  bool after_cr_ = false;
};

}  // namespace proctor
