// Result<T>: either a value or one sentence about our own failure.
//
// An outcome of untrusted work (a program crashed, an answer is wrong) is data and never an
// Error; a bug is a failed CHECK. Context is added on the way up, outermost first:
// "tasks.jsonl: line 3: expected an object".
#pragma once

#include <cstdlib>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

namespace proctor {

// What kind of failure it is decides the exit code and whether it may be tried again.
enum class ErrorKind {
  bad_input,    // the user gave something wrong: exit 2
  missing,      // something needed is not there (server, model, isolation layer): exit 3
  unavailable,  // a server failed or refused for now: may be tried again
  timeout,      // a deadline passed
  cancelled,    // somebody called the work off
  internal,     // our own failure, disk full included
};

// The exit code that the contract gives to a failure of this kind when it ends a command.
int exit_code(ErrorKind kind);
const char* to_string(ErrorKind kind);

struct Error {
  ErrorKind kind = ErrorKind::internal;
  std::string message;

  // The same error seen from one level further out.
  Error in(const std::string& context) && {
    message.insert(0, context + ": ");
    return std::move(*this);
  }
};

inline Error bad_input(std::string message) { return {ErrorKind::bad_input, std::move(message)}; }
inline Error missing(std::string message) { return {ErrorKind::missing, std::move(message)}; }
inline Error unavailable(std::string message) {
  return {ErrorKind::unavailable, std::move(message)};
}
inline Error internal_error(std::string message) {
  return {ErrorKind::internal, std::move(message)};
}

// A bug: stops a test at once; in a rollout it is caught at the rollout's edge (throws Bug).
[[noreturn]] void check_failed(const char* expression, std::source_location where);
#define PROCTOR_CHECK(expression) \
  (static_cast<bool>(expression)  \
       ? void()                   \
       : ::proctor::check_failed(#expression, std::source_location::current()))

// A value that is copied and moved as it would be itself, but takes the room of a pointer. One that
// was made of nothing, or moved from, is T() for whoever looks.
template <class T>
class OnHeap {
 public:
  OnHeap() = default;
  explicit OnHeap(T value) : value_(std::make_unique<T>(std::move(value))) {}
  OnHeap(OnHeap&&) noexcept = default;
  OnHeap& operator=(OnHeap&&) noexcept = default;
  OnHeap(const OnHeap& other)
    requires std::is_copy_constructible_v<T>
      : value_(other.value_ ? std::make_unique<T>(*other.value_) : nullptr) {}
  OnHeap& operator=(const OnHeap& other)
    requires std::is_copy_constructible_v<T>
  {
    return *this = OnHeap(other);
  }

  T& get() const {
    if constexpr (std::is_default_constructible_v<T>)
      if (!value_) value_ = std::make_unique<T>();
    PROCTOR_CHECK(value_ != nullptr);
    return *value_;
  }

 private:
  mutable std::unique_ptr<T> value_;
};

template <class T>
class [[nodiscard]] Result {
  // A Result stands in the frames of all coroutines on its way, several times in each: a big value
  // would be what a waiting rollout is made of.
  static constexpr bool kOnHeap = sizeof(T) > 64;
  using Held = std::conditional_t<kOnHeap, OnHeap<T>, T>;

 public:
  using value_type = T;

  Result()
    requires std::is_default_constructible_v<T>
      : state_(std::in_place_index<0>) {}
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  template <class U>
    requires(std::is_convertible_v<U &&, T> && !std::is_same_v<std::decay_t<U>, Result> &&
             !std::is_same_v<std::decay_t<U>, Error> && !std::is_same_v<std::decay_t<U>, T>)
  Result(U&& value) : Result(T(std::forward<U>(value))) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  explicit operator bool() const { return state_.index() == 0; }
  bool ok() const { return state_.index() == 0; }

  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(value()); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  T& value() {
    PROCTOR_CHECK(ok());
    if constexpr (kOnHeap)
      return std::get<0>(state_).get();
    else
      return std::get<0>(state_);
  }
  const T& value() const {
    PROCTOR_CHECK(ok());
    if constexpr (kOnHeap)
      return std::get<0>(state_).get();
    else
      return std::get<0>(state_);
  }
  Error& error() & {
    PROCTOR_CHECK(!ok());
    return std::get<1>(state_);
  }
  const Error& error() const& {
    PROCTOR_CHECK(!ok());
    return std::get<1>(state_);
  }
  Error&& error() && {
    PROCTOR_CHECK(!ok());
    return std::move(std::get<1>(state_));
  }

 private:
  std::variant<Held, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;

  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  explicit operator bool() const { return !error_; }
  bool ok() const { return !error_; }
  Error& error() & { return *error_; }
  const Error& error() const& { return *error_; }
  Error&& error() && { return std::move(*error_); }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

}  // namespace proctor
