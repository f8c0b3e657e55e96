// Lines of an event stream end in LF, CR or CRLF; an empty line ends an event.
#include "runtime/core/sse.h"

#include <utility>

namespace proctor {

Status SseParser::line(std::string_view text, const Event& event) {
  if (text.empty()) {
    const std::string name = std::exchange(name_, {});
    if (!has_data_) return {};
    has_data_ = false;
    const std::string data = std::exchange(data_, {});
    return event(name, data);
  }
  const std::string_view field = text.substr(0, text.find(':'));
  text.remove_prefix(std::min(field.size() + 1, text.size()));
  if (text.starts_with(' ')) text.remove_prefix(1);
  if (field == "event") name_ = text;
  if (field == "error") return event(field, text);
  if (field != "data") return {};
  if (data_.size() + text.size() > most_bytes_)
    return unavailable("an event of the stream is larger than allowed");
  if (has_data_) data_ += '\n';
  data_ += text;
  has_data_ = true;
  return {};
}

Status SseParser::take(std::string_view piece, const Event& event) {
  while (!piece.empty()) {
    if (after_cr_) {
      after_cr_ = false;
      if (piece[0] == '\n') {
        piece.remove_prefix(1);
        continue;
      }
    }
    const std::size_t end = piece.find_first_of("\r\n");
    if (end == std::string_view::npos) {
      if (half_line_.size() + piece.size() > most_bytes_)
        return unavailable("a line of the event stream is longer than allowed");
      half_line_ += piece;
      return {};
    }
    after_cr_ = piece[end] == '\r';
    Status status;
    if (half_line_.empty()) {
      status = line(piece.substr(0, end), event);
    } else {
      half_line_ += piece.substr(0, end);
      std::string whole;
      whole.swap(half_line_);
      status = line(whole, event);
    }
    if (!status) return status;
    piece.remove_prefix(end + 1);
  }
  return {};
}

}  // namespace proctor
