// A wait that a supervisor's stop may end before its time: the alarm that runs beside the work.
// Blind spot: a stop between two waits rings nothing; whoever waits next looks at it first.
#pragma once

#include "runtime/core/async.h"

namespace proctor {

// At most one wait at a time; all calls on one executor (a rollout's strand).
class StopAlarm {
 public:
  // Lives as long as the wait does: race(work, wait.timer()).
  class Wait {
   public:
    Wait(StopAlarm& alarm, const asio::any_io_executor& strand,
         asio::steady_timer::time_point end = asio::steady_timer::time_point::max())
        : alarm_(alarm), timer_(strand, end) {
      alarm_.timer_ = &timer_;
    }
    ~Wait() { alarm_.timer_ = nullptr; }
    Wait(const Wait&) = delete;
    Wait& operator=(const Wait&) = delete;
    asio::steady_timer* timer() { return &timer_; }

   private:
    StopAlarm& alarm_;
    asio::steady_timer timer_;
  };

  // Ends the wait under way, if there is one.
  void ring() {
    if (timer_) timer_->cancel();
  }

 private:
  asio::steady_timer* timer_ = nullptr;
};

}  // namespace proctor
