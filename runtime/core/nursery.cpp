// Children are counted under a mutex; the last one out wakes the joiner on the owner's executor.
#include "runtime/core/nursery.h"

namespace proctor {

Async<void> Event::wait() {
  while (!set_) {
    boost::system::error_code woken;
    auto token = asio::redirect_error(asio::use_awaitable, woken);
    co_await timer_.async_wait(token);
    if (set_) break;
    // Not set but woken: the waiter itself was called off.
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none)
      throw boost::system::system_error(asio::error::operation_aborted);
  }
}

struct Nursery::State {
  explicit State(asio::any_io_executor executor)
      : owner(std::move(executor)), bell(owner, asio::steady_timer::time_point::max()) {}

  struct Child {
    asio::any_io_executor where;
    asio::cancellation_signal signal;
  };

  asio::any_io_executor owner;
  asio::steady_timer bell;  // only touched on the owner's executor
  std::mutex mutex;
  std::map<std::uint64_t, std::shared_ptr<Child>> children;
  std::uint64_t next = 0;
  bool cancelled = false;
  std::exception_ptr failure;
};

Nursery::Nursery(asio::any_io_executor owner) : state_(std::make_shared<State>(std::move(owner))) {}

Nursery::~Nursery() {
  if (size() > 0) std::terminate();
}

std::size_t Nursery::size() const {
  std::lock_guard lock(state_->mutex);
  return state_->children.size();
}

void Nursery::spawn(const asio::any_io_executor& where, Async<void> child) {
  auto entry = std::make_shared<State::Child>();
  entry->where = where;
  std::uint64_t id = 0;
  bool cancelled = false;
  {
    std::lock_guard lock(state_->mutex);
    id = state_->next++;
    state_->children.emplace(id, entry);
    cancelled = state_->cancelled;
  }
  auto done = [state = state_, id, entry](const std::exception_ptr& thrown) {
    std::lock_guard lock(state->mutex);
    state->children.erase(id);
    if (thrown && !state->failure && !is_cancellation(thrown)) state->failure = thrown;
    if (state->children.empty()) asio::post(state->owner, [state] { state->bell.cancel(); });
  };
  // The signal is only ever touched on `where`: `cancel` may be called while this goes on.
  asio::dispatch(
      where, [where, entry, cancelled, child = std::move(child), done = std::move(done)]() mutable {
        asio::co_spawn(where, std::move(child),
                       asio::bind_cancellation_slot(entry->signal.slot(), std::move(done)));
        if (cancelled)
          asio::post(where, [entry] { entry->signal.emit(asio::cancellation_type::terminal); });
      });
}

void Nursery::cancel() {
  std::vector<std::shared_ptr<State::Child>> children;
  {
    std::lock_guard lock(state_->mutex);
    state_->cancelled = true;
    for (const auto& [id, child] : state_->children) children.push_back(child);
  }
  for (const auto& child : children)
    asio::post(child->where, [child] { child->signal.emit(asio::cancellation_type::terminal); });
}

Async<void> Nursery::join() {
  bool called_off = false;
  while (size() > 0) {
    boost::system::error_code woken;
    auto token = asio::redirect_error(asio::use_awaitable, woken);
    co_await state_->bell.async_wait(token);
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    if (!called_off && cancellation.cancelled() != asio::cancellation_type::none) {
      called_off = true;
      cancel();
      co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    }
  }
  if (called_off) {
    throw boost::system::system_error(asio::error::operation_aborted);
  }
  std::lock_guard lock(state_->mutex);
  if (state_->failure) std::rethrow_exception(std::exchange(state_->failure, nullptr));
}

}  // namespace proctor
