// prlcoder — labels each line of a program by changing it and running the tests (PRLCoder).
//
// A program that passes: its executed lines are right. One that fails like the reference with one
// line changed: that line is labelled as a variant of the reference. Else a line is wrong when some
// variant of it repairs the program. Cost: no model call without teacher or scorer; two executions
// a program, and one for every eight variants of it (64 in Python), some run once more on probes.
// Blind spot: a mistake that takes two changed lines is never found.
//
// The deriver `mutants` writes the labelled lines and variants of reference programs.
#include <algorithm>
#include <cmath>
#include <set>

#include "runtime/core/text.h"
#include "supervisors/grading.h"
#include "supervisors/line_study.h"
#include "supervisors/scorer.h"

namespace proctor {
namespace {

const char* verdict_of(const std::optional<int>& value) {
  if (!value) return "neutral";
  return *value == 1 ? "correct" : "incorrect";
}

json::value input_or_null(const std::optional<ProgramInput>& input) {
  return input ? json::value(to_json(*input)) : json::value();
}

json::array evidence_of(const std::vector<LineTrial>& trials) {
  json::array list;
  for (const LineTrial& trial : trials) {
    json::object one;
    if (trial.operator_.empty())
      one["teacher"] = true;
    else
      one["operator"] = trial.operator_;
    one["code"] = trial.code;
    one["label"] = trial.outcome.label ? json::value(*trial.outcome.label) : json::value();
    one["kind"] = trial.outcome.kind;
    list.push_back(std::move(one));
  }
  return list;
}

// Where a program stands in a trajectory.
struct Place {
  int turn = 0;
  std::optional<int> tool_call;
};

Label label_at(const Place& place, int line, const std::string& name, std::optional<double> value) {
  Label label;
  label.name = name;
  label.level = LabelLevel::line;
  label.turn = place.turn;
  label.tool_call = place.tool_call;
  label.line = line;
  label.value = value;
  return label;
}

void add_line_labels(const Findings& findings, const Place& place, std::vector<Label>& labels) {
  for (const LineFinding& finding : findings.lines) {
    Label label = label_at(place, finding.line, "line", finding.value);
    label.verdict = verdict_of(finding.value);
    label.evidence = {{"kind", finding.kind},
                      {"variants", evidence_of(finding.trials)},
                      {"failing_input", input_or_null(finding.failing_input)},
                      {"fix", finding.fix ? json::value(*finding.fix) : json::value()}};
    labels.push_back(std::move(label));
    if (finding.mutation_score)
      labels.push_back(label_at(place, finding.line, "mutation_score", finding.mutation_score));
  }
}

// The turn's reward and negative_share over all its programs; none without a labelled line.
void add_turn_labels(const std::vector<FindingsRef>& programs, int turn,
                     std::vector<Label>& labels) {
  int correct = 0, incorrect = 0;
  for (const FindingsRef& findings : programs)
    for (const LineFinding& finding : findings->lines) {
      correct += finding.value == 1;
      incorrect += finding.value == 0;
    }
  if (correct + incorrect == 0) return;
  Label reward{.name = "reward", .level = LabelLevel::turn, .turn = turn};
  reward.value = incorrect > 0 ? 0 : 1;
  Label share{.name = "negative_share", .level = LabelLevel::turn, .turn = turn};
  share.value = static_cast<double>(incorrect) / (correct + incorrect);
  labels.push_back(std::move(reward));
  labels.push_back(std::move(share));
}

Label pass_label(const Findings& findings) {
  Label label{.name = "pass", .level = LabelLevel::trajectory};
  label.value = findings.pass;
  label.verdict = findings.verdict;
  if (!findings.kind.empty()) label.evidence["kind"] = findings.kind;
  if (findings.failing_input) label.evidence["failing_input"] = to_json(*findings.failing_input);
  return label;
}

// True for tasks about a program, in the form that is read here; others, and tests in the form of
// another tool (a list of texts, say), get no label.
bool asks_for_program(const json::object& gold) {
  const auto is_text = [&](const char* key) {
    const json::value* value = gold.if_contains(key);
    return value && value->is_string();
  };
  if (const json::value* tests = gold.if_contains("tests"); tests && !tests->is_null()) {
    if (!tests->is_array()) return false;
    const json::array& list = tests->get_array();
    return std::all_of(list.begin(), list.end(), [](const auto& test) { return test.is_object(); });
  }
  return is_text("entry_point") && is_text("solution");
}

class PrlCoder final : public Supervisor {
 public:
  PrlCoder(const Options& options, VariantSource source, const SupervisorServices& services)
      : from_calls_(options.text("source") == "tool_calls"),
        wants_prm_(options.text("prm") == "scorer"),
        sandbox_(services.sandbox),
        scorer_(services.models ? services.models->get("scorer") : nullptr),
        study_(std::move(source), options.text("probes"), services) {}

  bool has_on_turn() const override { return from_calls_; }
  bool has_on_finished() const override { return true; }
  int patience() const override { return 20; }

  Async<Result<void>> prepare() override {
    if (!sandbox_) co_return missing("prlcoder: needs a sandbox to run programs in");
    if (!wants_prm_) co_return Result<void>{};
    auto able = co_await scorer_.check();
    co_return able;
  }

  Status accepts(const Trajectory& trajectory) const override {
    if (!trajectory.task || !asks_for_program(trajectory.task->gold)) return {};
    auto read = read_program_task(trajectory.task->gold);
    if (!read) return std::move(read).error();
    return {};
  }

  Async<Result<Opinion>> on_turn(TrajectoryRef so_far) override {
    Opinion opinion;
    if (!asks_for_program(so_far->task->gold)) co_return opinion;
    const Turn& turn = *so_far->turns.back();
    const int index = static_cast<int>(so_far->turns.size()) - 1;
    std::vector<FindingsRef> all;
    Cost cost;
    for (std::size_t i = 0; i < turn.assistant.tool_calls.size(); ++i) {
      const auto program = program_of(turn.assistant.tool_calls[i]);
      if (!program) continue;
      const Place place{index, static_cast<int>(i)};
      auto findings = co_await findings_of(so_far, program->second, program->first);
      if (!findings) co_return std::move(findings).error();
      auto labelled = co_await labels_of(so_far, *findings, program->second, program->first, place);
      if (!labelled) co_return std::move(labelled).error();
      std::move(labelled->begin(), labelled->end(), std::back_inserter(opinion.labels));
      cost += (*findings)->cost;
      all.push_back(*findings);
    }
    add_turn_labels(all, index, opinion.labels);
    if (!opinion.labels.empty()) opinion.labels.front().cost += cost;
    co_return opinion;
  }

  Async<Result<Opinion>> on_finished(TrajectoryRef whole) override {
    Opinion opinion;
    if (whole->turns.empty() || !asks_for_program(whole->task->gold)) co_return opinion;
    if (!ended_by_policy(whole->outcome)) {  // its last program is not its answer
      opinion.labels.push_back(not_judged("pass", whole->outcome));
      co_return opinion;
    }
    if (from_calls_) {
      // The lines were labelled turn by turn; the last program's tests are remembered.
      const auto last = last_called(*whole);
      if (!last) co_return opinion;
      auto findings = co_await findings_of(whole, last->second, last->first);
      if (!findings) co_return std::move(findings).error();
      opinion.labels.push_back(pass_label(**findings));
      co_return opinion;
    }
    auto tests = read_program_task(whole->task->gold);
    if (!tests) co_return std::move(tests).error();
    const auto program = answered(*whole);
    if (!program) co_return opinion;
    const Place place{static_cast<int>(whole->turns.size()) - 1, std::nullopt};
    auto findings = co_await findings_of(whole, *program, tests->language);
    if (!findings) co_return std::move(findings).error();
    auto labelled = co_await labels_of(whole, *findings, *program, tests->language, place);
    if (!labelled) co_return std::move(labelled).error();
    opinion.labels = std::move(*labelled);
    std::vector<FindingsRef> all(1, *findings);
    add_turn_labels(all, place.turn, opinion.labels);
    opinion.labels.push_back(pass_label(**findings));
    opinion.labels.front().cost += (*findings)->cost;
    co_return opinion;
  }

 private:
  static std::optional<std::pair<Language, std::string>> program_of(const ToolCall& call) {
    const auto language = parse_language(call.name);
    const bool runs =
        language == Language::python || language == Language::c || language == Language::cpp;
    const json::value* code = call.arguments.if_contains("code");
    if (!runs || !code || !code->is_string()) return std::nullopt;
    return std::pair(*language, std::string(code->as_string()));
  }

  static std::optional<std::pair<Language, std::string>> last_called(const Trajectory& whole) {
    for (auto turn = whole.turns.rbegin(); turn != whole.turns.rend(); ++turn) {
      const auto& calls = (*turn)->assistant.tool_calls;
      for (auto call = calls.rbegin(); call != calls.rend(); ++call)
        if (auto program = program_of(*call)) return program;
    }
    return std::nullopt;
  }

  static std::optional<std::string> answered(const Trajectory& whole) {
    std::string program =
        program_of_answer(whole.turns.back()->assistant.content, whole.outcome.answer.value_or(""));
    if (program.find_first_not_of(" \t\r\n") == std::string::npos) return std::nullopt;
    return program;
  }

  Async<Result<FindingsRef>> findings_of(TrajectoryRef trajectory, std::string program,
                                         Language language) {
    auto tests = read_program_task(trajectory->task->gold);
    if (!tests) co_return std::move(tests).error();
    if (tests->language != language) {  // its tests are for programs in another language
      tests->language = language;
      tests->tests.clear();
      tests->probes.clear();
      tests->solution.reset();
    }
    Asker asker{.task_id = trajectory->task_id,
                .sample = trajectory->sample,
                .turn = static_cast<int>(trajectory->turns.size()) - 1,
                .purpose = "teacher"};
    co_return co_await study_.of_program(trajectory->task, std::move(*tests), std::move(program),
                                         std::move(asker));
  }

  Async<Result<std::vector<Label>>> labels_of(TrajectoryRef trajectory, FindingsRef findings,
                                              std::string program, Language language, Place place) {
    std::vector<Label> labels;
    add_line_labels(*findings, place, labels);
    if (!wants_prm_ || findings->verdict == "bad_task") co_return labels;
    const std::vector<CodeLine> lines = code_lines(language, program);
    const auto physical = lines_of(program);
    std::vector<Async<Result<Scorer::Confidence>>> works;
    std::string so_far;
    int done = 0;
    for (const CodeLine& line : lines) {
      for (; done <= line.last; ++done)
        so_far.append(physical[static_cast<std::size_t>(done)]).append("\n");
      works.push_back(chance(trajectory, so_far, "+"));
      works.push_back(chance(trajectory, so_far, "-"));
    }
    auto chances = co_await gather(std::move(works));
    for (std::size_t i = 0; i < lines.size(); ++i) {
      auto &better = chances[2 * i], &worse = chances[2 * i + 1];
      if (!better) co_return std::move(better).error();
      if (!worse) co_return std::move(worse).error();
      Label label = label_at(place, lines[i].last, "prm_score", std::nullopt);
      label.value = 1 / (1 + std::exp(worse->logprob - better->logprob));
      label.cost = better->cost;
      label.cost += worse->cost;
      labels.push_back(std::move(label));
    }
    co_return labels;
  }

  Async<Result<Scorer::Confidence>> chance(TrajectoryRef trajectory, std::string lines,
                                           std::string sign) {
    ScoreRequest request;
    request.messages.push_back(
        {.role = "user", .content = json::value(trajectory->task->question())});
    request.assistant_prefix = std::move(lines);
    request.continuation = std::move(sign);
    request.asker = {.task_id = trajectory->task_id,
                     .sample = trajectory->sample,
                     .turn = static_cast<int>(trajectory->turns.size()) - 1,
                     .purpose = "scorer"};
    auto chance = co_await scorer_.confidence(std::move(request));
    co_return chance;
  }

  bool from_calls_;
  bool wants_prm_;
  SandboxPool* sandbox_;
  Scorer scorer_;
  LineStudy study_;
};

// --- the deriver ---

class Mutants final : public Deriver {
 public:
  Mutants(const Options& options, VariantSource source, const SupervisorServices& services)
      : max_negatives_(options.integer("max_negatives")),
        keep_dropped_(options.boolean("keep_dropped")),
        seed_(services.seed),
        study_(std::move(source), options.text("probes"), services) {}

  Async<Result<std::vector<json::object>>> derive(json::value record) override {
    auto read = read_task(record);
    if (!read) co_return std::move(read).error();
    const auto task = std::make_shared<const Task>(std::move(*read));
    auto tests = read_program_task(task->gold);
    if (!tests) co_return std::move(tests).error().in("task " + task->id);
    if (!tests->solution)
      co_return bad_input("task " + task->id + ": gold.solution: missing; its lines are changed");
    const std::string key = json::serialize(task->gold);
    auto reference = co_await study_.reference(*tests, key);
    if (!reference) co_return std::move(reference).error().in("task " + task->id);
    const Baseline& baseline = (*reference)->baseline;
    if (!baseline.passes)
      co_return bad_input("task " + task->id + ": rejected: gold.solution fails its own tests (" +
                          baseline.kind + ")");
    std::shared_ptr<const Baseline> shared(*reference, &baseline);
    auto cost = std::make_shared<Cost>();
    Asker asker{.task_id = task->id, .sample = 0, .turn = 0, .purpose = "teacher"};
    auto trials = co_await study_.variants_of(task, *tests, shared, std::move(asker), cost);
    if (!trials) co_return std::move(trials).error().in("task " + task->id);
    co_return records_of(*task, *tests, *trials);
  }

 private:
  std::vector<json::object> records_of(const Task& task, const ProgramTask& tests,
                                       const std::vector<LineTrial>& trials) const {
    const auto lines = code_lines(tests.language, *tests.solution);
    const auto physical = lines_of(*tests.solution);
    std::vector<json::object> records;
    std::size_t next = 0;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      json::array prefix(physical.begin(), physical.begin() + lines[i].first);
      json::object common = {{"schema", "proctor.mutant/1"},
                             {"task_id", task.id},
                             {"language", to_string(tests.language)},
                             {"line", lines[i].last},
                             {"prefix", std::move(prefix)},
                             {"code", lines[i].text},
                             {"original", lines[i].text},
                             {"label", 1},
                             {"kind", "original"},
                             {"source", "original"},
                             {"operator", nullptr},
                             {"failing_input", nullptr},
                             {"seed", seed_}};
      records.push_back(common);
      std::int64_t negatives = 0;
      for (; next < trials.size() && trials[next].line == i; ++next) {
        const LineTrial& trial = trials[next];
        if (!trial.outcome.label && !keep_dropped_) continue;
        const bool negative = trial.outcome.label == 0;
        if (negative && max_negatives_ > 0 && negatives == max_negatives_) continue;
        negatives += negative;
        json::object one = common;
        one["code"] = trial.code;
        one["label"] = trial.outcome.label ? json::value(*trial.outcome.label) : json::value();
        one["kind"] = trial.outcome.kind;
        one["source"] = trial.source();
        if (!trial.operator_.empty()) one["operator"] = trial.operator_;
        one["failing_input"] = input_or_null(trial.outcome.failing_input);
        records.push_back(std::move(one));
      }
    }
    return records;
  }

  std::int64_t max_negatives_;
  bool keep_dropped_;
  std::uint64_t seed_;
  LineStudy study_;
};

std::vector<OptionInfo> with(std::vector<OptionInfo> options, std::vector<OptionInfo> more) {
  options.insert(options.end(), more.begin(), more.end());
  return options;
}

REGISTER_SUPERVISOR(
    PluginInfo{.name = "prlcoder",
               .summary = "labels lines of code by changing one at a time and running the tests",
               .options = with({{.name = "source",
                                 .type = OptionType::choice,
                                 .fallback = "answer",
                                 .meaning = "where the program is",
                                 .choices = {"answer", "tool_calls"}},
                                {.name = "prm",
                                 .type = OptionType::choice,
                                 .fallback = "none",
                                 .meaning = "prm_score of each line by the scorer's + against -",
                                 .choices = {"none", "scorer"}}},
                               variant_options()),
               .labels = {"line (line)", "mutation_score (line)", "prm_score (line)",
                          "reward (turn)", "negative_share (turn)", "pass (trajectory)"},
               .roles = {"teacher", "scorer"}},
    [](const Options& options, const SupervisorServices& services) -> Result<SupervisorRef> {
      auto source = VariantSource::make(options, services);
      if (!source) return std::move(source).error();
      return SupervisorRef(std::make_shared<PrlCoder>(options, std::move(*source), services));
    })

REGISTER_DERIVER(
    PluginInfo{
        .name = "mutants",
        .summary = "labelled lines and variants of the tasks' reference programs",
        .options = with(variant_options(), {{.name = "max_negatives",
                                             .type = OptionType::integer,
                                             .fallback = 3,
                                             .meaning = "negatives kept per line; 0 = no cap",
                                             .least = 0.0},
                                            {.name = "keep_dropped",
                                             .type = OptionType::boolean,
                                             .fallback = false,
                                             .meaning = "also write records with label null"}}),
        .roles = {"teacher"}},
    [](const Options& options,
       const SupervisorServices& services) -> Result<std::shared_ptr<Deriver>> {
      if (!services.sandbox) return missing("mutants: needs a sandbox to run programs in");
      auto source = VariantSource::make(options, services);
      if (!source) return std::move(source).error();
      return std::shared_ptr<Deriver>(
          std::make_shared<Mutants>(options, std::move(*source), services));
    })

}  // namespace
}  // namespace proctor
