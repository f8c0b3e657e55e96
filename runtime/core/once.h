// Once<T>: equal questions to something slow are asked once at a time and, while the answer is
// remembered, once a run. Safe from any thread.
//
// Errors are shared with those who wait, but not remembered.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "runtime/core/async.h"

namespace proctor {

namespace once_detail {
// SHA-256: foreign text must not be able to choose whose answer it gets.
std::string key_of(std::string_view question);
}  // namespace once_detail

// Outlives those who ask.
template <class T>
class Once {
 public:
  explicit Once(std::size_t most_remembered = 1 << 16) : most_remembered_(most_remembered) {}

  // `question` is all that the answer depends on, as text; `ask` is called when nobody has asked
  // before. Whoever is cancelled while asking leaves no answer; the next in the queue asks instead.
  Async<Result<T>> get(std::string question, std::function<Async<Result<T>>()> ask) {
    question = once_detail::key_of(question);  // a prompt is long, and waits as long as its answer
    Seat seat(this, &question);
    {
      std::lock_guard lock(mutex_);
      if (auto found = answers_.find(question); found != answers_.end()) co_return found->second;
      auto& place = flights_[question];
      if (!place) place = std::make_shared<Flight>();
      seat.flight = place;
    }
    auto lease = co_await seat.flight->turn.acquire();
    if (!lease) co_return std::move(lease).error();
    if (!seat.flight->answer) {
      Result<T> answer = co_await ask();
      remember(question, answer);
      seat.flight->answer = std::move(answer);
    }
    co_return *seat.flight->answer;
  }

  // How many questions are being asked now.
  std::size_t under_way() const {
    std::lock_guard lock(mutex_);
    return flights_.size();
  }

 private:
  struct Flight {
    Limiter turn{1};
    std::optional<Result<T>> answer;  // written and read only by the holder of `turn`
  };

  // Somebody's part in a flight. The last to leave takes the flight along, so that one whose askers
  // were all cancelled is not kept for ever.
  struct Seat {
    Once* once;
    const std::string* key;
    std::shared_ptr<Flight> flight;  // handed out and given back under the mutex

    Seat(Once* whose, const std::string* of) : once(whose), key(of) {}
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;
    ~Seat() {
      if (!flight) return;
      std::lock_guard lock(once->mutex_);
      flight.reset();
      const auto left = once->flights_.find(*key);
      if (left != once->flights_.end() && left->second.use_count() == 1) once->flights_.erase(left);
    }
  };

  void remember(const std::string& key, const Result<T>& answer) {
    std::lock_guard lock(mutex_);
    flights_.erase(key);
    if (!answer || !answers_.emplace(key, *answer).second) return;
    oldest_.push_back(key);
    if (oldest_.size() <= most_remembered_) return;
    answers_.erase(oldest_.front());
    oldest_.pop_front();
  }

  const std::size_t most_remembered_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Flight>> flights_;  // while being asked
  std::map<std::string, T> answers_;
  std::deque<std::string> oldest_;  // keys of answers_, oldest first
};

}  // namespace proctor
