// Rollouts are started in the order of tasks and samples, at most `concurrency` at a time, each on
// a strand of its own.
#include "runtime/run.h"

#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <map>

#include "runtime/core/nursery.h"
#include "runtime/core/text_table.h"
#include "runtime/core/threads.h"
#include "runtime/opinions.h"
#include "runtime/outcome.h"
#include "runtime/rollout.h"
#include "supervisors/grading.h"

namespace proctor {
namespace {

json::value json_of(const std::optional<std::string>& text) {
  return text ? json::value(json::string(*text)) : json::value(nullptr);
}

class Run {
 public:
  Run(Assembly& assembly, Start start, std::function<void(const RunProgress&)> show)
      : assembly_(assembly), start_(start), show_(std::move(show)) {}

  Result<RunResult> execute();

 private:
  Async<Status> play();
  Status open_store();
  Async<Status> begin_anew();
  Status say_what_is_planned_no_more();
  Async<void> spawn_all(Nursery* work);
  bool is_stopping();
  Async<void> grade(std::string id, TaskRef task, Limiter::Lease place);
  Async<void> one(RolloutPlan plan, Limiter::Lease place);
  void broken(const std::string& id, const std::exception_ptr& thrown);
  void tell(const std::string& id, const Trajectory& trajectory);
  std::vector<std::string> members_if_complete(const std::string& group);
  Async<void> label_group(std::string id, std::vector<std::string> members, Limiter::Lease place);
  Async<Status> ask_of_group(std::string id, std::vector<std::string> members);
  Async<void> progress();
  Async<void> listen_for_interrupt(Nursery* rollouts);
  void fail(Status status);
  json::object speed(double seconds) const;

  Assembly& assembly_;
  const Start start_;
  std::function<void(const RunProgress&)> show_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<EventLog> log_;
  RunPlan plan_;
  Limiter places_{assembly_.config().concurrency};     // rollouts
  Limiter labelling_{assembly_.config().concurrency};  // groups
  std::mutex mutex_;  // guards the groups of the plan, and all below but the last two
  Status failure_;
  Nursery* work_ = nullptr;  // while it goes on
  std::int64_t graded_ = 0;
  std::atomic<bool> interrupted_{false};
  std::chrono::steady_clock::time_point began_;
};

Status Run::open_store() {
  const auto& out = assembly_.config().out;
  const bool create = start_ == Start::create;
  const std::string tasks_file = out + "/tasks.jsonl";
  const bool piped = create && assembly_.config().tasks_file == "-";
  if (std::error_code error; piped && std::filesystem::exists(tasks_file, error))
    return bad_input(tasks_file + ": is there, and the tasks of the pipe would overwrite it");
  auto store = create ? Store::create(out, assembly_.config().source)
                      : Store::open(out, Store::Access::write);
  if (!store) return std::move(store).error();
  store_ = std::move(*store);
  assembly_.services().store = store_.get();
  log_ = std::make_unique<EventLog>(out + "/log.jsonl");
  if (piped) {
    std::string tasks;
    for (const auto& task : assembly_.tasks()) tasks += json::serialize(to_json(*task)) + "\n";
    return write_file(tasks_file, tasks);
  }
  return {};
}

// Ends the run: what is still under way could not be kept, and is not waited for.
void Run::fail(Status status) {
  std::lock_guard lock(mutex_);
  if (!failure_) return;
  failure_ = std::move(status);
  if (work_) work_->cancel();
}

// Of a finished record whose checker failed: the checker again, and nothing else. Its labels stay.
Async<void> Run::grade(std::string id, TaskRef task, Limiter::Lease place) {
  auto record = store_->read(id);
  // One that is damaged is named when the records are written as lines.
  if (!record || !*record) co_return;
  auto whole = std::make_shared<Trajectory>(std::move(**record));
  whole->task = std::move(task);
  Outcome outcome;
  std::exception_ptr thrown;
  try {
    auto work = graded(&assembly_.services(), whole);
    outcome = co_await std::move(work);
  } catch (...) {
    thrown = std::current_exception();
  }
  place.give_back();
  if (thrown) {
    if (is_cancellation(thrown)) std::rethrow_exception(thrown);
    broken(id, thrown);
  } else if (why_ungraded(outcome)) {
    ++assembly_.counters().errors;
  } else {
    whole->outcome = std::move(outcome);
    auto status = co_await store_->finish(whole);
    if (!status) co_return fail(std::move(status));
    log_->event("rollout.graded", {{"id", id}});
    std::lock_guard lock(mutex_);
    ++graded_;
  }
}

Async<void> Run::one(RolloutPlan plan, Limiter::Lease place) {
  RunCounters& counters = assembly_.counters();
  const std::int64_t now = ++counters.in_flight;
  std::int64_t highest = counters.highest_in_flight;
  while (now > highest && !counters.highest_in_flight.compare_exchange_weak(highest, now)) {
  }
  const std::string id = trajectory_id(assembly_.config().name, plan.task->id, plan.sample);
  Result<TrajectoryRef> played = internal_error("");
  std::exception_ptr thrown;
  try {
    played = co_await roll_out(&assembly_.services(), std::move(plan));
  } catch (...) {
    thrown = std::current_exception();
  }
  --counters.in_flight;
  if (thrown) {
    if (is_cancellation(thrown)) std::rethrow_exception(thrown);
    co_return broken(id, thrown);
  }
  if (!played) co_return fail(std::move(played).error());
  tell(id, **played);
  std::string group = (*played)->group();
  auto members = members_if_complete(group);
  if (members.empty()) co_return;
  played = internal_error("");  // its group is read from the store
  // It keeps its place until there is one for its group, so that groups cannot pile up.
  auto labelling = co_await labelling_.acquire();
  place.give_back();
  auto work = label_group(std::move(group), std::move(members), std::move(*labelling));
  co_await std::move(work);
}

// A bug ends that one rollout (or the labelling of that group): `resume` does it again.
void Run::broken(const std::string& id, const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& bug) {
    ++assembly_.counters().errors;
    log_->event("rollout.broken", {{"id", id}, {"why", bug.what()}});
  }
}

void Run::tell(const std::string& id, const Trajectory& trajectory) {
  log_->event("rollout.finished", {{"id", id},
                                   {"turns", trajectory.turns.size()},
                                   {"reason", to_string(trajectory.outcome.status)},
                                   {"error", json_of(trajectory.outcome.error)}});
}

// The members of a group whose last one has just finished; else none.
std::vector<std::string> Run::members_if_complete(const std::string& group) {
  std::lock_guard lock(mutex_);
  auto found = plan_.groups.find(group);
  if (found == plan_.groups.end() || ++found->second.finished < found->second.expected) return {};
  return found->second.members;
}

Async<void> Run::label_group(std::string id, std::vector<std::string> members,
                             Limiter::Lease /*held to the end*/) {
  std::exception_ptr thrown;
  try {
    auto work = ask_of_group(id, std::move(members));
    if (auto status = co_await std::move(work); !status) fail(std::move(status));
  } catch (...) {
    thrown = std::current_exception();
  }
  if (!thrown) co_return;
  if (is_cancellation(thrown)) std::rethrow_exception(thrown);
  broken(id, thrown);
}

// Every group hook in the configuration's order, over the members as they lie in the store.
Async<Status> Run::ask_of_group(std::string id, std::vector<std::string> members) {
  std::vector<Trajectory> records;
  for (const auto& member : members) {
    auto record = store_->read(member);
    if (!record) co_return std::move(record).error();
    if (*record) records.push_back(std::move(**record));
  }
  for (const auto& instance : assembly_.services().supervisors) {
    if (!instance.supervisor->has_on_group()) continue;
    // A failure is a label of its own in each member's record.
    co_await label_group_with(instance, &records, assembly_.config().limits.supervisor);
  }
  std::vector<TrajectoryRef> labelled;
  labelled.reserve(records.size());
  for (auto& record : records)
    labelled.push_back(std::make_shared<const Trajectory>(std::move(record)));
  co_return co_await store_->finish_group(std::move(id), std::move(labelled));
}

Async<void> Run::progress() {
  for (;;) {
    co_await sleep_for(200ms);
    const auto seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
    show_({.done = static_cast<std::int64_t>(plan_.finished) + assembly_.counters().finished,
           .total = static_cast<std::int64_t>(plan_.total),
           .errors = plan_.errors + assembly_.counters().errors,
           .counters = &assembly_.counters(),
           .seconds = seconds});
  }
}

Async<void> Run::listen_for_interrupt(Nursery* rollouts) {
  asio::signal_set signals(co_await asio::this_coro::executor, SIGINT, SIGTERM, SIGHUP);
  co_await signals.async_wait(asio::use_awaitable);
  interrupted_ = true;
  rollouts->cancel();
  // A second one does not wait for the tidy end; what is journalled is safe all the same.
  co_await signals.async_wait(asio::use_awaitable);
  std::_Exit(130);
}

bool Run::is_stopping() {
  std::lock_guard lock(mutex_);
  return interrupted_ || !failure_;
}

Async<Status> Run::play() {
  began_ = std::chrono::steady_clock::now();
  if (auto ready = co_await assembly_.prepare(); !ready) co_return ready;
  if (auto opened = open_store(); !opened) co_return opened;
  auto plan = plan_run(assembly_, *store_, *log_, start_);
  if (!plan) co_return std::move(plan).error();
  plan_ = std::move(*plan);
  if (auto marked = co_await begin_anew(); !marked) co_return marked;
  if (auto said = say_what_is_planned_no_more(); !said) co_return said;
  if (auto set = store_->set_planned(static_cast<std::int64_t>(plan_.total)); !set) co_return set;
  log_->event("run.started",
              {{"rollouts", plan_.rollouts.size()}, {"done_before", plan_.finished}});
  began_ = std::chrono::steady_clock::now();

  auto executor = co_await asio::this_coro::executor;
  Nursery work(executor), watchers(executor);
  {
    std::lock_guard lock(mutex_);
    work_ = &work;
  }
  watchers.spawn(executor, progress());
  watchers.spawn(executor, listen_for_interrupt(&work));
  std::exception_ptr thrown;
  try {
    co_await spawn_all(&work);
  } catch (...) {
    thrown = std::current_exception();
    work.cancel();
  }
  try {
    co_await work.join();
  } catch (...) {
    if (!thrown) thrown = std::current_exception();
  }
  watchers.cancel();
  co_await watchers.join();
  std::lock_guard lock(mutex_);
  work_ = nullptr;
  if (thrown) std::rethrow_exception(thrown);
  co_return std::move(failure_);
}

Status Run::say_what_is_planned_no_more() {
  auto before = store_->planned();
  if (!before) return std::move(before).error();
  const auto now = static_cast<std::int64_t>(plan_.total);
  if (before->value_or(0) > now)
    std::cerr << "proctor: " << plural(**before, "rollout")
              << " were planned, and the configuration "
              << "now has " << now << "; what is finished of the others stays\n";
  return {};
}

// What is to be played again counts as begun from here on, so that any `resume` goes on with it.
Async<Status> Run::begin_anew() {
  constexpr std::size_t kAtOnce = 256;  // as many as one transaction takes
  for (std::size_t from = 0; from < plan_.again.size(); from += kAtOnce) {
    std::vector<Async<Status>> writes;
    for (std::size_t i = from; i < std::min(from + kAtOnce, plan_.again.size()); ++i)
      writes.push_back(store_->begin(std::move(plan_.again[i])));
    auto begun = gather(std::move(writes));
    for (auto& status : co_await std::move(begun))
      if (!status) co_return std::move(status);
  }
  co_return Status();
}

// Starts all that is to be done; what was started last may still be under way when this returns.
Async<void> Run::spawn_all(Nursery* work) {
  // One thread is a strand by itself, and the cheaper one.
  const auto next_strand = [this]() -> asio::any_io_executor {
    if (assembly_.config().io_threads > 1) return asio::make_strand(assembly_.loop());
    return assembly_.loop().get_executor();
  };
  // Grades first, and to their end: what is said of groups is said of members with their grades.
  for (auto& [id, task] : plan_.to_grade) {
    auto place = co_await places_.acquire();
    if (!place || is_stopping()) break;
    work->spawn(next_strand(), grade(std::move(id), std::move(task), std::move(*place)));
  }
  co_await work->join();
  // Groups that were complete before but not labelled yet.
  std::vector<std::pair<std::string, std::vector<std::string>>> complete;
  for (const auto& [id, group] : plan_.groups)
    if (group.finished == group.expected) complete.emplace_back(id, group.members);
  for (auto& [id, members] : complete) {
    auto place = co_await labelling_.acquire();
    if (!place || is_stopping()) break;
    work->spawn(next_strand(), label_group(id, std::move(members), std::move(*place)));
  }
  for (auto& plan : plan_.rollouts) {
    auto place = co_await places_.acquire();
    if (!place || is_stopping()) break;
    work->spawn(next_strand(), one(std::move(plan), std::move(*place)));
  }
}

// How fast it went. Of a resumed run in which nothing was left to do, what stands there already.
json::object Run::speed(double seconds) const {
  json::object speed;
  if (start_ != Start::create && plan_.rollouts.empty()) {
    auto text = read_file(assembly_.config().out + "/summary.json");
    auto before = text ? parse_json(*text) : Result<json::value>(std::move(text).error());
    if (before && before->is_object())
      for (const char* key : {"wall_s", "turns_per_s", "in_flight", "store"})
        if (const auto* value = before->get_object().if_contains(key)) speed[key] = *value;
    if (!speed.empty()) return speed;
  }
  speed["wall_s"] = seconds;
  speed["turns_per_s"] = static_cast<double>(assembly_.counters().turns) / std::max(seconds, 1e-9);
  speed["in_flight"] = assembly_.in_flight();
  const Limiter::Usage labelling = labelling_.usage();
  speed["in_flight"].as_object()["groups"] = {{"highest", labelling.highest},
                                              {"capacity", labelling.capacity}};
  const StoreUsage usage = store_->usage();
  speed["store"] = {{"commits", usage.commits},
                    {"rows", usage.rows},
                    {"highest_queued", usage.highest_queued},
                    {"busy_ms", to_ms(usage.busy)}};
  return speed;
}

Result<RunResult> Run::execute() {
  Status status;
  std::exception_ptr thrown;
  asio::io_context& loop = assembly_.loop();
  loop.restart();
  Threads threads;
  auto guard = asio::make_work_guard(loop);  // gone before the threads are waited for
  const auto others = static_cast<std::size_t>(assembly_.config().io_threads - 1);
  auto working = threads.start(others, [&loop] { loop.run(); }, [&loop] { loop.stop(); });
  if (!working) return std::move(working).error();
  auto body = play();
  // On a strand like the rollouts: with several threads, what it waits for must not be touched by
  // two of them at once.
  asio::co_spawn(asio::make_strand(loop), std::move(body),
                 [&](const std::exception_ptr& failure, Status result) {
                   thrown = failure;
                   status = std::move(result);
                   guard.reset();
                 });
  loop.run();
  threads.join();
  if (thrown) std::rethrow_exception(thrown);
  if (!store_) return std::move(status).error();

  RunCounters& counters = assembly_.counters();
  auto summary = summary_of(*store_);
  if (status && !summary) status = summary.error();
  RunResult result{.summary = summary ? std::move(*summary) : Summary(),
                   .missing = static_cast<std::int64_t>(plan_.rollouts.size()) - counters.finished,
                   .graded = graded_,
                   .interrupted = interrupted_};
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
  json::object written = to_json(result.summary);
  for (auto& pair : speed(seconds)) written[pair.key()] = std::move(pair.value());
  if (status) status = store_->write_jsonl(&result.damaged);
  if (status) status = store_->write_summary(written);
  log_->event("run.finished",
              {{"trajectories", result.summary.rollouts()}, {"missing", result.missing}});
  const Status closed = store_->close();
  if (status && !closed) status = closed;
  if (!status) return std::move(status).error();
  show_({.done = static_cast<std::int64_t>(plan_.total) - result.missing,
         .total = static_cast<std::int64_t>(plan_.total),
         .errors = result.summary.errors(),
         .counters = &counters,
         .seconds = seconds,
         .over = true});
  return result;
}

}  // namespace

Result<RunResult> run_all(Assembly& assembly, Start start,
                          std::function<void(const RunProgress&)> show) {
  Run run(assembly, start, std::move(show));
  return run.execute();
}

}  // namespace proctor
