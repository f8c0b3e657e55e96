// Each event is one write, so that lines of several processes do not mix.
#include "runtime/core/telemetry.h"

#include <fcntl.h>
#include <unistd.h>

#include "runtime/core/determinism.h"

namespace proctor {

EventLog::EventLog(const std::string& path) {
  if (!path.empty()) fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

EventLog::~EventLog() {
  if (fd_ >= 0) ::close(fd_);
}

void EventLog::event(const char* name, json::object fields) {
  if (fd_ < 0) return;
  json::object line{{"time", iso8601(Clock().now())}, {"event", name}};
  for (auto& pair : fields) line[pair.key()] = std::move(pair.value());
  const std::string text = json::serialize(line) + "\n";
  std::lock_guard lock(mutex_);
  (void)!::write(fd_, text.data(), text.size());
}

}  // namespace proctor
