// Waiting: deadlines really end the work, limits really cap, cancellation frees a place.
#include "runtime/core/async.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/detached.hpp>
#include <thread>

#include "tests/support/await.h"

namespace proctor {
namespace {

Async<Result<int>> slow(Milliseconds time, std::shared_ptr<bool> ended) {
  struct Mark {
    std::shared_ptr<bool> flag;
    ~Mark() { *flag = true; }
  } mark{ended};
  co_await sleep_for(time);
  co_return 7;
}

Async<Result<int>> limited(Milliseconds limit, std::shared_ptr<bool> ended) {
  auto work = slow(50ms, ended);
  auto result = co_await with_deadline(std::move(work), limit, "slow");
  EXPECT_TRUE(*ended);
  co_return result;
}

TEST(Deadline, EndsTheWorkBeforeItAnswers) {
  auto late = await(limited(5ms, std::make_shared<bool>(false)));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().kind, ErrorKind::timeout);
  EXPECT_EQ(late.error().message, "slow: no answer in 5 ms");
  auto in_time = await(limited(5000ms, std::make_shared<bool>(false)));
  ASSERT_TRUE(in_time);
  EXPECT_EQ(*in_time, 7);
}

Async<int> value_after(Milliseconds time, int value) {
  co_await sleep_for(time);
  co_return value;
}

Async<std::vector<int>> three() {
  std::vector<Async<int>> works;
  works.push_back(value_after(6ms, 1));
  works.push_back(value_after(1ms, 2));
  works.push_back(value_after(3ms, 3));
  co_return co_await gather(std::move(works));
}

TEST(Gather, KeepsTheOrderAndRunsSideBySide) { EXPECT_EQ(await(three()), (std::vector{1, 2, 3})); }

Async<void> hold(Limiter* limiter, std::atomic<int>* inside, std::atomic<int>* most) {
  auto lease = co_await limiter->acquire();
  EXPECT_TRUE(lease);
  const int now = ++*inside;
  int seen = most->load();
  while (now > seen && !most->compare_exchange_weak(seen, now)) {
  }
  co_await sleep_for(200us);
  --*inside;
}

TEST(Limiter, CapsAcrossThreads) {
  asio::io_context context;
  Limiter limiter(5);
  std::atomic<int> inside = 0, most = 0;
  for (int i = 0; i < 400; ++i)
    asio::co_spawn(asio::make_strand(context), hold(&limiter, &inside, &most), asio::detached);
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back([&] { context.run(); });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(most, 5);
  EXPECT_EQ(limiter.usage().highest, 5u);
  EXPECT_EQ(limiter.usage().in_use, 0u);
  EXPECT_EQ(limiter.usage().acquired, 400u);
}

Async<Result<int>> acquire_then(Limiter* limiter) {
  auto lease = co_await limiter->acquire();
  if (!lease) co_return lease.error();
  co_return 1;
}

Async<void> give_up_waiting(Limiter* limiter) {
  auto held = co_await limiter->acquire();
  auto waiting = acquire_then(limiter);
  auto result = co_await with_deadline(std::move(waiting), 5ms, "place");
  EXPECT_FALSE(result);
  EXPECT_EQ(limiter->usage().waiting, 0u);
}

TEST(Limiter, AWaiterThatGivesUpLeavesTheQueue) {
  Limiter limiter(1);
  await(give_up_waiting(&limiter));
  EXPECT_EQ(limiter.usage().in_use, 0u);
  EXPECT_EQ(limiter.usage().acquired, 1u) << "only those that got a place are counted";
}

Async<void> overflow(Limiter* limiter) {
  auto held = co_await limiter->acquire();
  auto refused = co_await limiter->acquire();
  EXPECT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::unavailable);
}

TEST(Limiter, ABoundedQueueRefusesInsteadOfGrowing) {
  Limiter limiter(1, 0);
  await(overflow(&limiter));
  EXPECT_EQ(limiter.usage().acquired, 1u);
}

}  // namespace
}  // namespace proctor
