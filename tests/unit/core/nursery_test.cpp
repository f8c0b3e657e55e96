// A nursery loses no child and leaves none behind.
#include "runtime/core/nursery.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "tests/support/await.h"

namespace proctor {
namespace {

Async<void> child(Milliseconds time, int* ended) {
  struct Mark {
    int* ended;
    ~Mark() { ++*ended; }
  } mark{ended};
  co_await sleep_for(time);
}

Async<void> thrower() {
  co_await sleep_for(1ms);
  throw std::runtime_error("broken");
}

Async<void> join_three(int* ended) {
  auto executor = co_await asio::this_coro::executor;
  Nursery nursery(executor);
  for (int i = 0; i < 3; ++i) nursery.spawn(executor, child(Milliseconds(i), ended));
  co_await nursery.join();
  EXPECT_EQ(*ended, 3);
}

TEST(Nursery, JoinWaitsForAll) {
  int ended = 0;
  await(join_three(&ended));
  EXPECT_EQ(ended, 3);
}

Async<void> cancelled_children(int* ended) {
  auto executor = co_await asio::this_coro::executor;
  Nursery nursery(executor);
  for (int i = 0; i < 3; ++i) nursery.spawn(executor, child(1h, ended));
  co_await sleep_for(1ms);
  nursery.cancel();
  co_await nursery.join();
}

TEST(Nursery, CancelEndsTheChildren) {
  int ended = 0;
  await(cancelled_children(&ended));
  EXPECT_EQ(ended, 3);
}

Async<void> failing_child() {
  auto executor = co_await asio::this_coro::executor;
  Nursery nursery(executor);
  nursery.spawn(executor, thrower());
  co_await nursery.join();
}

TEST(Nursery, AChildsExceptionReachesTheOwner) {
  EXPECT_THROW(await(failing_child()), std::runtime_error);
}

Async<Result<int>> owner(int* ended) {
  auto executor = co_await asio::this_coro::executor;
  Nursery nursery(executor);
  for (int i = 0; i < 3; ++i) nursery.spawn(executor, child(1h, ended));
  co_await nursery.join();
  co_return 1;
}

Async<void> owner_called_off(int* ended) {
  auto work = owner(ended);
  auto result = co_await with_deadline(std::move(work), 5ms, "owner");
  EXPECT_FALSE(result);
  EXPECT_EQ(*ended, 3);
}

TEST(Nursery, AnOwnerThatIsCalledOffTakesItsChildrenAlong) {
  int ended = 0;
  await(owner_called_off(&ended));
}

Async<void> setter(std::shared_ptr<Event> event) {
  co_await sleep_for(2ms);
  event->set();
}

Async<void> waits_for_event() {
  auto executor = co_await asio::this_coro::executor;
  auto event = std::make_shared<Event>(executor);
  Nursery nursery(executor);
  nursery.spawn(executor, setter(event));
  co_await event->wait();
  EXPECT_TRUE(event->is_set());
  co_await nursery.join();
}

TEST(Event, WakesItsWaiter) { await(waits_for_event()); }

}  // namespace
}  // namespace proctor
