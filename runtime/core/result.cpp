// Names and exit codes of errors, and what a failed CHECK does.
#include "runtime/core/result.h"

#include <stdexcept>

namespace proctor {

int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::bad_input:
      return 2;
    case ErrorKind::missing:
      return 3;
    case ErrorKind::cancelled:
      return 130;
    case ErrorKind::unavailable:
    case ErrorKind::timeout:
    case ErrorKind::internal:
      break;
  }
  return 1;
}

const char* to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::bad_input:
      return "bad_input";
    case ErrorKind::missing:
      return "missing";
    case ErrorKind::unavailable:
      return "unavailable";
    case ErrorKind::timeout:
      return "timeout";
    case ErrorKind::cancelled:
      return "cancelled";
    case ErrorKind::internal:
      break;
  }
  return "internal";
}

void check_failed(const char* expression, std::source_location where) {
  throw std::logic_error(std::string("bug: ") + expression + " does not hold at " +
                         where.file_name() + ":" + std::to_string(where.line()));
}

}  // namespace proctor
