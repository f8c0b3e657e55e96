// What the run directory costs: CPU a journalled turn, finished trajectories a second, and the time
// to open a big one. `store_bench [DIRECTORY]`: DIRECTORY decides which disk is measured.
//
// The CPU is the whole process's, user and system, with the rollouts' own coroutines in it.

#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <filesystem>
#include <string>

#include "runtime/store.h"
#include "tests/bench/cpu_time.h"
#include "tests/support/trajectories.h"

namespace proctor {
namespace {

using Clock = std::chrono::steady_clock;

double seconds(Clock::duration time) { return std::chrono::duration<double>(time).count(); }

// About 1.5 KB a turn, as a search turn of a small model has.
TurnRef typical_turn(int index, bool tokens) {
  Turn turn = *make_turn(index, "I need to find out who designed the B language, so I search.");
  std::string passage;
  for (int i = 0; i < 12; ++i)
    passage += "B is a language that Ken Thompson and Dennis Ritchie made at Bell Labs; ";
  turn.observations[0].content = passage;
  if (tokens) {
    TurnTokens ids;
    for (int i = 0; i < 200; ++i) ids.prompt_ids.push_back(1000 + i * 37);
    for (int i = 0; i < 60; ++i) {
      ids.ids.push_back(2000 + i * 53);
      ids.logprobs.push_back(-0.01F * static_cast<float>(i));
    }
    ids.prompt_from = index * 260;
    turn.assistant.tokens = std::move(ids);
  }
  return std::make_shared<const Turn>(std::move(turn));
}

void must(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "store_bench: %s\n", status.error().message.c_str());
  std::exit(1);
}

struct Work {
  int turns = 4;
  bool journal = true;
  bool supervision = false;
  bool tokens = false;
  bool finish = true;
  Milliseconds pause{0};  // between turns, as a model would
};

Async<void> rollouts(Store* store, int first, int count, Work work) {
  std::vector<TurnRef> turns;
  for (int i = 0; i < work.turns; ++i) turns.push_back(typical_turn(i, work.tokens));
  for (int n = 0; n < count; ++n) {
    Trajectory start = make_start("task-" + std::to_string(first + n));
    if (work.journal) {
      must(co_await store->begin(shared(start)));
      std::vector<Judgement> judgements;
      for (const auto& turn : turns) {
        if (work.pause.count() > 0) co_await sleep_for(work.pause);
        must(co_await store->append_turn(start.id, turn, std::exchange(judgements, {})));
        if (work.supervision)
          judgements.push_back({turn, {make_label("repetition", turn->index, 0.5)}});
      }
    }
    if (!work.finish) continue;
    start.turns = turns;
    start.outcome.status = OutcomeStatus::answered;
    start.outcome.answer = "Ken Thompson";
    start.outcome.reward = 1;
    start.outcome.correct = true;
    start.labels.push_back(make_label("repetition", 0, 0.5));
    must(co_await store->finish(shared(std::move(start))));
  }
}

void measure(const std::string& directory, const char* name, int in_flight, int each, Work work) {
  std::filesystem::remove_all(directory);
  asio::io_context context;
  auto store = Store::create(directory, json::object{{"suite", "bench"}});
  if (!store) return must(std::move(store).error());
  const auto started = Clock::now();
  const double cpu = cpu_seconds();
  for (int i = 0; i < in_flight; ++i)
    asio::co_spawn(context, rollouts(store->get(), i * each, each, work),
                   [](std::exception_ptr failure) {
                     if (failure) std::rethrow_exception(failure);
                   });
  context.run();
  const double wall = seconds(Clock::now() - started);
  const double used = cpu_seconds() - cpu;
  const int finished = in_flight * each;
  const int turns = finished * work.turns;
  const StoreUsage usage = (*store)->usage();
  std::printf("%-44s %7.1f us CPU a turn  %8.0f turns/s  %7.0f finished/s  %5.0f rows a commit\n",
              name, 1e6 * used / turns, turns / wall, finished / wall,
              static_cast<double>(usage.rows) / static_cast<double>(usage.commits));
  must((*store)->close());
}

// Finishes `count` trajectories straight away, then opens the directory anew.
void measure_opening(const std::string& directory, int count) {
  Work work{.journal = false, .tokens = true};
  const std::string name = std::to_string(count) + " trajectories, no journal";
  measure(directory, name.c_str(), 200, count / 200, work);
  const double size =
      static_cast<double>(std::filesystem::file_size(directory + "/trajectories.db"));
  const auto started = Clock::now();
  auto store = Store::open(directory, Store::Access::read);
  if (!store) return must(std::move(store).error());
  const double opened = seconds(Clock::now() - started);
  auto rows = (*store)->rows();
  if (!rows) return must(std::move(rows).error());
  const double listed = seconds(Clock::now() - started);
  auto totals = (*store)->label_totals();
  if (!totals) must(std::move(totals).error());
  const double totalled = seconds(Clock::now() - started);
  auto one = (*store)->read(rows->back().id);
  if (!one) must(std::move(one).error());
  std::printf(
      "opening %zu trajectories, %.0f MB: open %.3f s, all rows %.3f s, label totals %.3f s, "
      "one record %.3f s\n",
      rows->size(), size / 1e6, opened, listed, totalled, seconds(Clock::now() - started));
}

}  // namespace
}  // namespace proctor

int main(int argc, char** argv) {
  using namespace proctor;
  const std::string directory =
      (argc > 1 ? std::string(argv[1]) : std::filesystem::temp_directory_path().string()) +
      "/proctor-store-bench";
  measure(directory, "512 rollouts, 50 turns, append_turn alone", 512, 1,
          {.turns = 50, .finish = false});
  measure(directory, "64 rollouts", 64, 100, {});
  measure(directory, "512 rollouts", 512, 20, {});
  measure(directory, "512 rollouts, a label a turn", 512, 20, {.supervision = true});
  measure(directory, "512 rollouts, token ids", 512, 20, {.tokens = true});
  measure(directory, "512 rollouts, 50 ms a turn", 512, 10, {.pause = 50ms});
  measure(directory, "8 rollouts, 20 ms a turn", 8, 20, {.pause = 20ms});
  measure_opening(directory, 200'000);
  std::filesystem::remove_all(directory);
}
