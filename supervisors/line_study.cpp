// The rules, in the order in which they are tried; see prlcoder.cpp for the idea.
#include "supervisors/line_study.h"

#include <algorithm>

#include "supervisors/probes.h"

namespace proctor {
namespace {

constexpr std::size_t kProbesInPython = 400;
constexpr std::size_t kProbesElsewhere = 60;  // each is a process

std::vector<ProgramInput> probes_for(const ProgramTask& task, const std::string& program,
                                     const std::string& mode, std::uint64_t seed) {
  if (mode == "none") return {};
  std::vector<ProgramInput> probes = task.probes;
  if (mode == "given") return probes;
  const std::size_t most = task.language == Language::python ? kProbesInPython : kProbesElsewhere;
  for (ProgramInput& probe : make_probes(task, program, seed, most))
    probes.push_back(std::move(probe));
  return probes;
}

// The header of an else or a finally leaves no trace of its own: it counts with what it opens.
bool is_bare_header(const CodeLine& line) {
  static const std::set<std::string> kHeaders = {"else", "finally", "try"};
  return std::any_of(line.tokens.begin(), line.tokens.end(),
                     [](const CodeToken& token) { return kHeaders.contains(token.word); }) &&
         line.tokens.size() <= 3;
}

bool executed(const std::set<int>& seen, const std::vector<CodeLine>& lines, std::size_t index) {
  const CodeLine& line = lines[index];
  const auto hit = seen.lower_bound(line.first);
  if (hit != seen.end() && *hit <= line.last) return true;
  return is_bare_header(line) && index + 1 < lines.size() && executed(seen, lines, index + 1);
}

std::vector<LineFinding> neutral_lines(const std::vector<CodeLine>& lines,
                                       const std::string& kind) {
  std::vector<LineFinding> findings;
  for (const CodeLine& line : lines) findings.push_back({.line = line.last, .kind = kind});
  return findings;
}

std::vector<LineFinding> covered_lines(const std::vector<CodeLine>& lines,
                                       const std::set<int>& seen) {
  std::vector<LineFinding> findings = neutral_lines(lines, "uncovered");
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (!executed(seen, lines, i)) continue;
    findings[i].value = 1;
    findings[i].kind = "executed";
  }
  return findings;
}

// The one line in which two programs differ, comments and white space left out.
std::optional<int> single_difference(Language language, const std::string& a,
                                     const std::string& b) {
  const auto mine = bare_lines(language, a), theirs = bare_lines(language, b);
  if (mine.size() != theirs.size()) return std::nullopt;
  std::optional<int> only;
  for (std::size_t i = 0; i < mine.size(); ++i) {
    if (mine[i] == theirs[i]) continue;
    if (only) return std::nullopt;
    only = static_cast<int>(i);
  }
  return only;
}

std::vector<Variant> programs_of(const std::string& program, const std::vector<CodeLine>& lines,
                                 const std::vector<LineTrial>& trials) {
  std::vector<Variant> variants;
  for (const LineTrial& trial : trials) {
    const CodeLine& line = lines[trial.line];
    variants.push_back({with_line(program, line, trial.code), line.first, line.last});
  }
  return variants;
}

void add_scores(std::vector<LineFinding>& findings, std::vector<LineTrial> trials) {
  for (LineTrial& trial : trials) findings[trial.line].trials.push_back(std::move(trial));
  for (LineFinding& finding : findings) {
    int negative = 0, labelled = 0;
    for (const LineTrial& trial : finding.trials) {
      if (trial.outcome.kind == "equivalent") continue;  // no test can tell it from the line
      labelled += trial.outcome.label.has_value();
      negative += trial.outcome.label == 0;
    }
    if (labelled > 0) finding.mutation_score = static_cast<double>(negative) / labelled;
  }
}

// A line that some variant repairs keeps all its variants; of a program that fails there is nothing
// else to say of them.
void add_repairs(std::vector<LineFinding>& findings, std::vector<LineTrial> trials,
                 const std::optional<ProgramInput>& failing_input) {
  for (LineTrial& trial : trials) {
    if (!trial.outcome.passes_tests) continue;
    trial.outcome = {.label = 1, .kind = "repair", .failing_input = {}, .passes_tests = true};
    LineFinding& finding = findings[trial.line];
    if (finding.fix) continue;
    finding.value = 0;
    finding.kind = "repair";
    finding.fix = trial.code;
    finding.failing_input = failing_input;
  }
  for (LineTrial& trial : trials)
    if (LineFinding& finding = findings[trial.line]; finding.fix)
      finding.trials.push_back(std::move(trial));
}

}  // namespace

LineStudy::LineStudy(VariantSource source, std::string probes, const SupervisorServices& services)
    : source_(std::move(source)),
      probes_(std::move(probes)),
      sandbox_(services.sandbox),
      seed_(services.seed) {}

Async<Result<FindingsRef>> LineStudy::of_program(TaskRef task, ProgramTask tests,
                                                 std::string program, Asker asker) {
  std::string key = json::serialize(task->gold) + to_string(tests.language) + source_.name() +
                    (tests.tests.empty() ? "-" : "+") + program;
  std::function<Async<Result<FindingsRef>>()> study = [this, task, tests, program, asker] {
    return findings_of(task, tests, program, asker);
  };
  auto findings = co_await known_.get(std::move(key), std::move(study));
  co_return findings;
}

Async<Result<std::vector<LineTrial>>> LineStudy::variants_of(
    TaskRef task, ProgramTask tests, std::shared_ptr<const Baseline> baseline, Asker asker,
    std::shared_ptr<Cost> cost) {
  const std::string program = baseline->program;
  const auto lines = code_lines(tests.language, program);
  const VariantAim aim = baseline->passes ? VariantAim::change : VariantAim::repair;
  auto trials = co_await source_.variants(tests.language, program, task->question(), aim,
                                          std::move(asker), cost);
  if (!trials) co_return std::move(trials).error();
  std::vector<Variant> variants = programs_of(program, lines, *trials);
  auto labels = co_await label_variants(sandbox_, std::move(tests), baseline, std::move(variants),
                                        &cost->executions);
  if (!labels) co_return std::move(labels).error();
  for (std::size_t i = 0; i < trials->size(); ++i) (*trials)[i].outcome = std::move((*labels)[i]);
  co_return std::move(*trials);
}

Async<Result<ReferenceRef>> LineStudy::reference(ProgramTask tests, std::string key) {
  std::function<Async<Result<ReferenceRef>>()> run = [this, tests] { return run_reference(tests); };
  auto reference = co_await references_.get(std::move(key), std::move(run));
  co_return reference;
}

Async<Result<ReferenceRef>> LineStudy::run_reference(ProgramTask tests) {
  Reference made;
  std::vector<ProgramInput> probes = probes_for(tests, *tests.solution, probes_, seed_);
  const std::string program = *tests.solution;
  auto baseline = co_await run_baseline(sandbox_, tests, program, std::move(probes),
                                        std::vector<Milliseconds>(), &made.executions);
  if (!baseline) co_return std::move(baseline).error();
  made.baseline = std::move(*baseline);
  co_return std::make_shared<const Reference>(std::move(made));
}

Async<Result<FindingsRef>> LineStudy::findings_of(TaskRef task, ProgramTask tests,
                                                  std::string program, Asker asker) {
  const auto lines = code_lines(tests.language, program);
  auto cost = std::make_shared<Cost>();
  Findings findings;
  ReferenceRef reference_run;
  if (tests.solution && !tests.tests.empty()) {
    const std::string key = json::serialize(task->gold);
    auto ran = co_await reference(tests, key);
    if (!ran) co_return std::move(ran).error();
    reference_run = *ran;
    cost->executions += reference_run->executions;
  }
  if (tests.tests.empty()) {
    findings.lines = neutral_lines(lines, "no_tests");
    findings.verdict = "no_tests";
    co_return std::make_shared<const Findings>(std::move(findings));
  }
  if (reference_run && !reference_run->baseline.passes) {
    findings.verdict = "bad_task";
    findings.kind = reference_run->baseline.kind;
    findings.failing_input = reference_run->baseline.failing_input;
    findings.cost = *cost;
    co_return std::make_shared<const Findings>(std::move(findings));
  }

  std::shared_ptr<const Baseline> baseline;
  if (reference_run && program == *tests.solution) {
    baseline = {reference_run, &reference_run->baseline};
  } else {
    std::vector<ProgramInput> probes = probes_for(tests, program, probes_, seed_);
    std::vector<Milliseconds> limits(tests.tests.size(), Milliseconds(2000));
    if (reference_run) limits = reference_run->baseline.limits;
    auto ran = co_await run_baseline(sandbox_, tests, program, std::move(probes), std::move(limits),
                                     &cost->executions);
    if (!ran) co_return std::move(ran).error();
    baseline = std::make_shared<const Baseline>(std::move(*ran));
  }
  findings.pass = baseline->passes ? 1 : 0;
  findings.verdict = baseline->passes ? "passed" : "failed";
  findings.kind = baseline->kind;
  findings.failing_input = baseline->failing_input;

  const bool near = reference_run && !baseline->passes &&
                    single_difference(tests.language, program, *tests.solution).has_value();
  if (baseline->passes) {
    auto trials = co_await variants_of(task, tests, baseline, std::move(asker), cost);
    if (!trials) co_return std::move(trials).error();
    // A probe tells what is right of the task's own program alone.
    const bool own = reference_run && program == *tests.solution;
    findings.lines = covered_lines(lines, own ? baseline->reached : baseline->tested);
    add_scores(findings.lines, std::move(*trials));
  } else if (near) {
    auto labelled = co_await beside_reference(tests, reference_run, program, cost);
    if (!labelled) co_return std::move(labelled).error();
    findings.lines = std::move(*labelled);
  } else if (baseline->compiled) {
    // Which single change makes it pass? Probes have nothing to say of that.
    auto trials = co_await variants_of(task, tests, baseline, std::move(asker), cost);
    if (!trials) co_return std::move(trials).error();
    findings.lines = neutral_lines(lines, "unknown");
    add_repairs(findings.lines, std::move(*trials), baseline->failing_input);
  } else {
    findings.lines = neutral_lines(lines, "compile");
  }
  findings.cost = *cost;
  co_return std::make_shared<const Findings>(std::move(findings));
}

// The program is the reference but for one line: that line is a variant of the reference's.
Async<Result<std::vector<LineFinding>>> LineStudy::beside_reference(ProgramTask tests,
                                                                    ReferenceRef reference_run,
                                                                    std::string program,
                                                                    std::shared_ptr<Cost> cost) {
  const int changed = *single_difference(tests.language, program, *tests.solution);
  const auto lines = code_lines(tests.language, program);
  std::vector<LineFinding> findings = covered_lines(lines, reference_run->baseline.reached);

  Variant variant{program, changed, changed};
  std::string original;
  for (const CodeLine& line : code_lines(tests.language, *tests.solution)) {
    if (line.first > changed || line.last < changed) continue;
    variant.first = line.first;
    variant.last = line.last;
    original = line.text;
  }
  std::shared_ptr<const Baseline> baseline(reference_run, &reference_run->baseline);
  std::vector<Variant> variants(1, variant);
  auto labels = co_await label_variants(sandbox_, std::move(tests), baseline, std::move(variants),
                                        &cost->executions);
  if (!labels) co_return std::move(labels).error();
  const VariantLabel& label = labels->front();
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].first > changed || lines[i].last < changed) continue;
    findings[i].value = label.label;
    findings[i].kind = label.kind;
    findings[i].failing_input = label.failing_input;
    findings[i].fix = original;
  }
  co_return findings;
}

}  // namespace proctor
