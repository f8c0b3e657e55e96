// `proctor label`: scores trajectories that exist already.
//
// Two passes: the first checks every record, so that bad input is refused before any model is asked
// and nothing is written; the second labels. Memory holds the groups in flight, not the file, where
// the groups stand together; output keeps the order of the input.
#include <unistd.h>

#include <algorithm>
#include <boost/asio/signal_set.hpp>
#include <condition_variable>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>
#include <iostream>
#include <set>
#include <thread>
#include <unordered_map>
#include <unordered_set>

#include "runtime/app/commands.h"
#include "runtime/app/summary_text.h"
#include "runtime/core/event_loop.h"
#include "runtime/core/harmless.h"
#include "runtime/core/nursery.h"
#include "runtime/core/record_writer.h"
#include "runtime/core/text_table.h"
#include "runtime/core/threads.h"
#include "runtime/core/unicode.h"
#include "runtime/core/worker_pool.h"
#include "runtime/judges.h"
#include "runtime/labelling.h"
#include "runtime/line_writer.h"
#include "runtime/record_source.h"
#include "runtime/run_config.h"
#include "sandbox/sandbox.h"

namespace proctor {
namespace {

struct LabelArguments {
  std::string input;
  std::vector<std::string> supervise;
  std::vector<std::string> models;
  std::string out = "-";
  std::string from = "proctor";
  std::int64_t seed = 1;
  int jobs = 16;
  std::int64_t deadline_ms = 60000;
};

Result<Trajectory> conversation_of(const SourceRecord& record, const std::string& fallback_id) {
  auto value = parse_exact_json(record.text, kForeignLevels);
  if (!value) return std::move(value).error().in(record.where);
  auto trajectory = read_conversation(*value, fallback_id);
  if (!trajectory) return std::move(trajectory).error().in(record.where);
  if (trajectory->turns.empty())
    return bad_input(record.where +
                     ": messages: no message of the assistant's, so nothing to label");
  return trajectory;
}

// A file that can be read twice: stdin is copied to one without a name, which is gone with the
// process however that ends.
class Input {
 public:
  static Result<std::unique_ptr<Input>> open(const std::string& path, std::string from) {
    auto input = std::unique_ptr<Input>(new Input(path, std::move(from)));
    if (path != "-") return input;
    std::string name = std::filesystem::temp_directory_path().string() + "/proctor-stdin-XXXXXX";
    input->copy_ = ::mkstemp(name.data());
    if (input->copy_ < 0) return internal_error(name + ": " + std::strerror(errno));
    ::unlink(name.c_str());
    input->path_ = "/proc/self/fd/" + std::to_string(input->copy_);
    std::ofstream copy(input->path_, std::ios::binary);
    if (std::cin.peek() != std::char_traits<char>::eof()) copy << std::cin.rdbuf();
    copy.close();
    if (!copy) return internal_error(name + ": stdin could not be kept there");
    return input;
  }
  ~Input() {
    if (copy_ >= 0) ::close(copy_);
  }
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;

  const std::string& name() const { return shown_; }
  // Calls `each` with every record; the message of the first error names the place.
  Status read(const std::function<Status(Trajectory record)>& each) const {
    const std::string stem =
        shown_ == "stdin" ? "stdin" : std::filesystem::path(shown_).stem().string();
    if (from_ == "openai-messages" && !is_utf8(stem))  // ids begin with it
      return bad_input(shown_ + ": " + why_no_utf8(stem));
    auto status = for_each_record(path_, [&](const SourceRecord& record) -> Status {
      auto read = from_ == "openai-messages"
                      ? conversation_of(record, stem + "-" + std::to_string(record.number))
                      : trajectory_of(record);
      if (!read) return std::move(read).error();
      auto done = each(std::move(*read));
      return done || done.error().kind == ErrorKind::cancelled
                 ? done
                 : Status(std::move(done).error().in(record.where));
    });
    if (!status && copy_ >= 0 && status.error().message.starts_with(path_))
      status.error().message.replace(0, path_.size(), shown_);
    return status;
  }

 private:
  Input(const std::string& path, std::string from)
      : path_(path), shown_(path == "-" ? "stdin" : path), from_(std::move(from)) {}

  std::string path_, shown_, from_;
  int copy_ = -1;  // of stdin
};

// Records that a supervisor passes by, because they lack what it needs.
struct PassedBy {
  std::size_t meant = 0;  // for it, by their suites
  std::size_t count = 0;
  std::string first, lacks;  // id of the first, and what it lacks
};

// What the first pass learns: how many members each group has, and who passes what by.
struct Plan {
  std::unordered_map<std::string, std::size_t> members;
  std::size_t records = 0;
  std::map<std::string, PassedBy> passed_by;  // by alias
};

void note_lacks(const Trajectory& record, const Labeller& labeller, Plan& plan) {
  for (const auto& instance : labeller.supervisors()) {
    if (!instance.is_meant_for(record)) continue;
    PassedBy& passed = plan.passed_by[instance.alias];
    ++passed.meant;
    auto lacks = instance.supervisor->lacks(record);
    if (!lacks || passed.count++ > 0) continue;
    passed.first = record.id;
    passed.lacks = std::move(*lacks);
  }
}

// One that would pass everything by was meant for other records.
Status someone_to_label(const Plan& plan) {
  for (const auto& [alias, passed] : plan.passed_by)
    if (passed.count > 0 && passed.count == passed.meant)
      return bad_input(alias + " needs " + passed.lacks + ", which none of its trajectories has");
  return {};
}

std::string passed_by_text(const Plan& plan) {
  std::string text;
  for (const auto& [alias, passed] : plan.passed_by)
    if (passed.count > 0)
      text += "proctor: " + alias + " passed by " +
              plural(static_cast<std::int64_t>(passed.count), "trajectory", "trajectories") +
              " without " + passed.lacks + ", the first is '" + passed.first + "'\n";
  return text;
}

Result<Plan> check_all(const Input& input, const Labeller& labeller) {
  Plan plan;
  std::set<std::string> suites;
  std::unordered_set<std::string> ids;
  std::unordered_map<std::string, std::string> task_of_group;
  auto status = input.read([&](const Trajectory& record) -> Status {
    if (auto accepted = labeller.accepts(record); !accepted) return accepted;
    note_lacks(record, labeller, plan);
    ++plan.records;
    if (!ids.insert(record.id).second)
      return bad_input("the id '" + record.id + "' is that of an earlier record already");
    if (record.task) suites.insert(shown_suite(record.task->suite));
    if (!labeller.has_group_hooks()) return {};
    ++plan.members[record.group()];
    const auto [task, first] = task_of_group.emplace(record.group(), record.task_id);
    if (!first && task->second != record.task_id)
      return bad_input("group '" + record.group() + "' mixes the tasks '" + task->second +
                       "' and '" + record.task_id + "'; all samples of a group are of one task");
    return {};
  });
  if (status && plan.records > 0) status = labeller.know_suites(suites);
  if (!status) return std::move(status).error();
  if (auto some = someone_to_label(plan); !some) return std::move(some).error().in(input.name());
  return plan;
}

// Whether a judge was asked for it, and answered none of the questions in time.
bool is_unanswered(const Label& label) {
  const auto* came = label.evidence.if_contains("votes_came");
  return came && *came == 0;
}

// Labels units (a group, or one record) side by side and writes records in the order of the input.
class Pipeline {
 public:
  Pipeline(asio::io_context& loop, const Labeller& labeller, LineWriter& out, std::size_t jobs)
      : loop_(loop),
        labeller_(labeller),
        out_(out),
        jobs_(jobs),
        strand_(asio::make_strand(loop_)),
        nursery_(strand_) {}

  struct Report {
    std::size_t records = 0;  // that a supervisor looked at
    std::size_t labels = 0, failures = 0;
    std::size_t unanswered = 0;   // labels for which no question was answered
    std::set<std::string> asked;  // supervisors that had a turn to look at
    std::set<std::string> heard;  // those that labelled something, or failed
    bool interrupted = false;
    Status status;
  };
  Report run(const Input& input, Plan plan);

 private:
  struct Unit {
    std::vector<Trajectory> members;
    std::vector<std::size_t> places;  // in the input
  };
  Async<void> one(Unit unit);
  // False when no more is to be started.
  bool start(Unit unit, bool ordered);
  void finished(const Unit& unit, const Labeller::Labelled& labelled);
  void flush(bool all);
  void stop(Status status);

  asio::io_context& loop_;
  const Labeller& labeller_;
  LineWriter& out_;
  const std::size_t jobs_;
  const asio::any_io_executor strand_;
  Nursery nursery_;
  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::map<std::size_t, std::string> waiting_;  // finished lines that are not their turn yet
  std::size_t next_line_ = 0, in_flight_ = 0, answered_ = 0;
  bool stopped_ = false;
  Report report_;
};

Async<void> Pipeline::one(Unit unit) {
  std::vector<Trajectory> members = std::move(unit.members);
  const std::size_t size = unit.places.size();
  std::exception_ptr thrown;
  Labeller::Labelled labelled;
  try {
    labelled = co_await labeller_.label(std::move(members));
  } catch (...) {
    thrown = std::current_exception();
  }
  if (!thrown) {
    finished(unit, labelled);
  } else if (!is_cancellation(thrown)) {
    try {
      std::rethrow_exception(thrown);
    } catch (const std::exception& bug) {
      stop(internal_error(bug.what()));
    }
  }
  std::lock_guard lock(mutex_);
  in_flight_ -= size;
  changed_.notify_all();
}

void Pipeline::finished(const Unit& unit, const Labeller::Labelled& labelled) {
  std::vector<std::string> lines;
  std::size_t records = 0, labels = 0, unanswered = 0;
  std::set<std::string> asked, heard;
  for (const Trajectory& member : labelled.members) {
    std::set<std::string> lookers;  // whose labels are new; the record may carry others
    for (const auto& instance : labeller_.supervisors())
      if (instance.looks_at(member)) lookers.insert(instance.alias);
    records += lookers.empty() ? 0 : 1;
    for (const Label& label : member.labels) {
      if (lookers.contains(label.supervisor)) {
        ++labels;
        unanswered += is_unanswered(label) ? 1 : 0;
      }
      if (const std::string speaker = speaker_of(label); lookers.contains(speaker))
        heard.insert(speaker);
    }
    if (!member.turns.empty()) asked.merge(lookers);
    append_json(lines.emplace_back(), member);
  }
  std::unique_lock lock(mutex_);
  answered_ += labelled.answered;
  for (const auto& failure : labelled.failures) {
    // Something needed is not there, and it shows before any work is done.
    if (failure.error.kind == ErrorKind::missing && answered_ == 0 && !stopped_) {
      lock.unlock();
      stop(failure.error);
      return;
    }
    if (++report_.failures <= 20)
      std::cerr << "proctor: "
                << harmless(failure.trajectory_id + ": " + failure.error.message, true) << "\n";
    else if (report_.failures == 21)
      std::cerr << "proctor: more failures are in the records (label failed_supervision)\n";
  }
  report_.records += records;
  report_.labels += labels;
  report_.unanswered += unanswered;
  report_.asked.merge(asked);
  report_.heard.merge(heard);
  for (std::size_t i = 0; i < lines.size(); ++i) waiting_[unit.places[i]] = std::move(lines[i]);
  flush(false);
}

// With the mutex held. `all`: also what stands behind a gap.
void Pipeline::flush(bool all) {
  while (!waiting_.empty() && (all || waiting_.begin()->first == next_line_)) {
    if (auto written = out_.write(waiting_.begin()->second); !written && report_.status) {
      report_.status = written;
      stopped_ = true;
    }
    next_line_ = waiting_.begin()->first + 1;
    waiting_.erase(waiting_.begin());
  }
}

void Pipeline::stop(Status status) {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    if (report_.status) report_.status = std::move(status);
    changed_.notify_all();
  }
  nursery_.cancel();
}

bool Pipeline::start(Unit unit, bool ordered) {
  std::unique_lock lock(mutex_);
  // Finished lines that wait for a slow one in front are bounded too, unless that one cannot be
  // complete before more is read.
  changed_.wait(lock, [&] {
    const bool room = in_flight_ == 0 || in_flight_ + unit.places.size() <= jobs_;
    return stopped_ || (room && (!ordered || in_flight_ == 0 || waiting_.size() < 64 * jobs_));
  });
  if (stopped_) return false;
  in_flight_ += unit.places.size();
  lock.unlock();
  nursery_.spawn(asio::make_strand(loop_), one(std::move(unit)));
  return true;
}

Pipeline::Report Pipeline::run(const Input& input, Plan plan) {
  loop_.restart();
  auto guard = asio::make_work_guard(loop_);
  asio::signal_set signals(loop_, SIGINT, SIGTERM, SIGHUP);
  signals.async_wait([this](const boost::system::error_code& error, int) {
    if (error) return;
    {
      std::lock_guard lock(mutex_);
      report_.interrupted = true;
    }
    stop({});
  });
  Threads threads;
  const auto count = std::clamp(std::thread::hardware_concurrency(), 1U, 4U);
  auto started = threads.start(count, [this] { loop_.run(); }, [this] { loop_.stop(); });
  if (!started) {
    report_.status = std::move(started);
    return std::move(report_);
  }

  std::unordered_map<std::string, Unit> open;
  std::size_t place = 0;
  bool going = true;
  auto read = input.read([&](Trajectory record) -> Status {
    if (!going) return Error{ErrorKind::cancelled, ""};
    Unit unit;
    if (labeller_.has_group_hooks()) {
      const std::string group = record.group();
      Unit& gathering = open[group];
      gathering.places.push_back(place++);
      gathering.members.push_back(std::move(record));
      if (gathering.members.size() < plan.members[group]) return {};
      unit = std::move(gathering);
      open.erase(group);
    } else {
      unit.places.push_back(place++);
      unit.members.push_back(std::move(record));
    }
    going = start(std::move(unit), open.empty());
    return {};
  });
  std::promise<void> joined;
  auto join = nursery_.join();
  asio::co_spawn(strand_, std::move(join), [&](const std::exception_ptr&) { joined.set_value(); });
  joined.get_future().wait();
  asio::post(loop_, [&] { signals.cancel(); });
  guard.reset();
  threads.join();

  std::lock_guard lock(mutex_);
  flush(true);
  // The file changed between the passes, or the disk failed.
  if (!read && read.error().kind != ErrorKind::cancelled && report_.status) report_.status = read;
  return std::move(report_);
}

class Labelling {
 public:
  explicit Labelling(LabelArguments arguments) : arguments_(std::move(arguments)) {}
  ~Labelling() {
    for (const auto& [role, model] : models_.all()) model->shut_down();
    workers_.join();
  }
  Labelling(const Labelling&) = delete;
  Labelling& operator=(const Labelling&) = delete;

  Result<int> run();

 private:
  Status make_models();
  Result<Labeller> make_labeller();

  const LabelArguments arguments_;
  asio::io_context loop_;
  WorkerPool workers_;
  std::unique_ptr<SandboxPool> sandbox_;
  Models models_;
  Judges judges_{models_};
};

Status Labelling::make_models() {
  std::map<std::string, ModelRef> by_uri;  // roles with the same URI share one model
  for (const auto& text : arguments_.models) {
    auto role = parse_model_option(text);
    if (!role) return std::move(role).error();
    if (models_.all().contains(role->first))
      return bad_input("--model " + role->first + " is given twice");
    ModelRef& model = by_uri[role->second.uri];
    if (!model) {
      auto made = make_model(role->second);
      if (!made) return std::move(made).error().in("--model " + role->first);
      model = std::move(*made);
    }
    models_.set(role->first, model);
  }
  return {};
}

Result<Labeller> Labelling::make_labeller() {
  // A supervisor that needs the sandbox says so where there is none.
  if (auto sandbox = make_sandbox_pool({}))
    sandbox_ = std::move(*sandbox);
  else
    std::cerr << "proctor: no sandbox: " << sandbox.error().message << "\n";
  const SupervisorServices services{
      .sandbox = sandbox_.get(),
      .models = &models_,
      .judge = [this](const std::string& role) { return judges_.of(role); },
      .seed = static_cast<std::uint64_t>(arguments_.seed),
      .deadline = Milliseconds(arguments_.deadline_ms)};
  std::vector<SupervisorInstance> instances;
  for (const auto& text : arguments_.supervise) {
    auto use = parse_plugin_use(text);
    if (!use) return std::move(use).error().in("--supervise");
    auto instance = make_supervisor(*use, services);
    if (!instance) return std::move(instance).error().in("--supervise");
    instances.push_back(std::move(*instance));
  }
  return Labeller::make(std::move(instances), Milliseconds(arguments_.deadline_ms));
}

// Refused before any model is asked.
Status check_out(const std::string& out) {
  if (auto status = keep_off_run(out); !status) return status;
  if (!is_lines_name(out))
    return bad_input("--out " + out +
                     ": labelled trajectories are written as .jsonl, .jsonl.zst or - (stdout)");
  return {};
}

Result<int> Labelling::run() {
  if (auto status = check_out(arguments_.out); !status) return std::move(status).error();
  if (auto working = workers_.start(); !working) return std::move(working).error();
  if (auto made = make_models(); !made) return std::move(made).error();
  auto labeller = make_labeller();
  if (!labeller) return std::move(labeller).error();
  auto input = Input::open(arguments_.input, arguments_.from);
  if (!input) return std::move(input).error();
  auto plan = check_all(**input, *labeller);
  if (!plan) return std::move(plan).error();
  if (auto ready = run_to_end(loop_, labeller->prepare()); !ready) return std::move(ready).error();
  auto out = LineWriter::open(arguments_.out);
  if (!out) return std::move(out).error();

  const std::size_t records = plan->records;
  const std::string passed_by = passed_by_text(*plan);
  Pipeline pipeline(loop_, *labeller, *out, static_cast<std::size_t>(arguments_.jobs));
  Pipeline::Report report = pipeline.run(**input, std::move(*plan));
  if (!report.status) return std::move(report.status).error();
  // Half a file must not take the place of a whole one, which may be the input itself.
  std::string place = arguments_.out;
  if (report.interrupted) {
    auto kept = out->close_as_partial();
    if (!kept) return std::move(kept).error();
    place = std::move(*kept);
  } else if (auto closed = out->close(); !closed) {
    return std::move(closed).error();
  } else if (report.failures == 0) {
    out->remove_partials();
  }
  const auto count = [](std::size_t n, const char* thing, const char* things = "") {
    return plural(static_cast<std::int64_t>(n), thing, things);
  };
  std::cerr << "labelled " << report.records << " of "
            << count(records, "trajectory", "trajectories") << ": "
            << count(report.labels, "label");
  if (report.unanswered > 0)
    std::cerr << " (" << report.unanswered << " without an answer of the judge in time)";
  std::cerr << ", " << count(report.failures, "failed supervision");
  if (arguments_.out != "-" && !place.empty()) std::cerr << " -> " << place;
  if (report.interrupted) {
    std::cerr << " (interrupted";
    if (std::error_code error; place != arguments_.out)
      std::cerr << "; " << arguments_.out
                << (std::filesystem::exists(arguments_.out, error) ? " is as it was"
                                                                   : " was not written");
    std::cerr << ")";
  }
  std::cerr << "\n" << harmless(passed_by, true) << unfinished_text(arguments_.input);
  if (report.interrupted) return 130;
  for (const auto& instance : labeller->supervisors())
    if (report.asked.contains(instance.alias) && !report.heard.contains(instance.alias))
      std::cerr << labelled_nothing(instance.alias, instance.name);
  return report.failures > 0 ? 1 : 0;
}

}  // namespace

std::function<Result<int>()> set_up_label(CLI::App& command) {
  auto arguments = std::make_shared<LabelArguments>();
  command.add_option("IN", arguments->input, kTrajectoriesMeaning)->required();
  command
      .add_option(
          "--supervise", arguments->supervise,
          "NAME[:key=value,...] (\\, is a comma within a value) or @FILE.yaml; may be given "
          "again")
      ->required()
      ->allow_extra_args(false)
      ->take_all();
  command
      .add_option("--model", arguments->models,
                  "ROLE=URI or ROLE={uri: URI, ...}: a model by role; may be given again")
      ->allow_extra_args(false)
      ->take_all();
  command.add_option("--out", arguments->out, "labelled trajectories; - is stdout")
      ->check(not_empty())
      ->capture_default_str();
  command
      .add_option("--from", arguments->from,
                  "what IN holds: proctor's records, or chats (one {messages} a line)")
      ->check(CLI::IsMember({"proctor", "openai-messages"}))
      ->capture_default_str();
  command.add_option("--seed", arguments->seed, "seed of everything that is drawn")
      ->check(CLI::Range(std::int64_t{0}, kMostSeed))
      ->capture_default_str();
  command.add_option("--jobs", arguments->jobs, "trajectories in flight at a time")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  command.add_option("--deadline-ms", arguments->deadline_ms, "deadline of one hook call")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{365} * 24 * 3600 * 1000))
      ->capture_default_str();
  return [arguments]() -> Result<int> {
    Labelling labelling(*arguments);
    return labelling.run();
  };
}

}  // namespace proctor
