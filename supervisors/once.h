// Once<T>: equal questions to something slow are asked once at a time and, while the answer is
// remembered, once a run. Safe from any thread.
//
// Keys are what was asked, hashed; errors are shared with those who wait, but not remembered.
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

// SHA-256: foreign text must not be able to choose whose answer it gets.
std::string content_key(std::string_view text);

template <class T>
class Once {
 public:
  explicit Once(std::size_t most_remembered = 1 << 16) : most_remembered_(most_remembered) {}

  // `ask` is called when nobody has asked before. Whoever is cancelled while asking leaves no
  // answer; the next in the queue asks instead.
  Async<Result<T>> get(std::string key, std::function<Async<Result<T>>()> ask) {
    std::shared_ptr<Flight> flight;
    {
      std::lock_guard lock(mutex_);
      if (auto found = answers_.find(key); found != answers_.end()) co_return found->second;
      auto& place = flights_[key];
      if (!place) place = std::make_shared<Flight>();
      flight = place;
    }
    auto lease = co_await flight->turn.acquire();
    if (!lease) co_return std::move(lease).error();
    if (!flight->answer) {
      Result<T> answer = co_await ask();
      remember(key, answer);
      flight->answer = std::move(answer);
    }
    co_return *flight->answer;
  }

 private:
  struct Flight {
    Limiter turn{1};
    std::optional<Result<T>> answer;  // written and read only by the holder of `turn`
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
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Flight>> flights_;  // while being asked
  std::map<std::string, T> answers_;
  std::deque<std::string> oldest_;  // keys of answers_, oldest first
};

}  // namespace proctor
