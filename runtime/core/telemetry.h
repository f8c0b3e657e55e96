// Logs for operators: one JSON line an event, with a fixed dotted name and fields. Never prompts,
// keys or file contents. The trajectory is for everyone else.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "runtime/core/json.h"

namespace proctor {

class EventLog {
 public:
  // Appends to the file; "" logs nowhere. A log that cannot be written is no reason to fail.
  explicit EventLog(const std::string& path);
  ~EventLog();
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;

  // event("rollout.finished", {{"turns", 7}, {"reason", "answered"}}); thread-safe.
  void event(const char* name, json::object fields);

 private:
  std::mutex mutex_;
  int fd_ = -1;
};

}  // namespace proctor
