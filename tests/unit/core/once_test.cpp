// Equal questions are asked once; nothing of a question that was called off stays behind.
#include "runtime/core/once.h"

#include <gtest/gtest.h>

#include "tests/support/await.h"

namespace proctor {
namespace {

struct Asked {
  Once<int> once;
  int times = 0;
  Milliseconds takes{5};

  Async<Result<int>> answer() {
    ++times;
    co_await sleep_for(takes);
    co_return times;
  }
  Async<Result<int>> ask(std::string question) {
    std::function<Async<Result<int>>()> how = [this] { return answer(); };
    auto got = co_await once.get(std::move(question), std::move(how));
    co_return got;
  }
  Async<Result<int>> ask_for(Milliseconds limit, std::string question) {
    auto work = ask(std::move(question));
    auto got = co_await with_deadline(std::move(work), limit, "ask");
    co_return got;
  }
};

TEST(Once, AsksEqualQuestionsOnce) {
  Asked asked;
  std::vector<Async<Result<int>>> works;
  for (int i = 0; i < 5; ++i) works.push_back(asked.ask("one"));
  works.push_back(asked.ask("another"));
  const auto answers = await(gather(std::move(works)));
  for (int i = 1; i < 5; ++i) EXPECT_EQ(*answers[static_cast<std::size_t>(i)], *answers[0]);
  EXPECT_EQ(*await(asked.ask("one")), *answers[0]);
  EXPECT_EQ(asked.times, 2);
  EXPECT_EQ(asked.once.under_way(), 0u);
}

TEST(Once, LeavesNothingBehindWhenAllWhoAskedAreCalledOff) {
  Asked asked;
  asked.takes = 10s;
  std::vector<Async<Result<int>>> works;
  works.push_back(asked.ask_for(5ms, "one"));
  works.push_back(asked.ask_for(250ms, "one"));  // takes over from the first
  for (const auto& answer : await(gather(std::move(works))))
    EXPECT_EQ(answer.error().kind, ErrorKind::timeout);
  EXPECT_EQ(asked.times, 2);
  EXPECT_EQ(asked.once.under_way(), 0u);
}

}  // namespace
}  // namespace proctor
