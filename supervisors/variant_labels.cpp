// Everything runs twice within one execution, so that what wavers shows.
#include "supervisors/variant_labels.h"

#include <algorithm>

namespace proctor {
namespace {

constexpr Milliseconds kReferenceLimit = 10s;
constexpr Milliseconds kProbeLimit = 500ms;  // of the reference; a probe it hangs on is none
constexpr int kMostHangingProbes = 4;
constexpr double kTimesSlower = 10;

bool same_outcome(const ProgramRun& a, const ProgramRun& b) {
  return a.ending == b.ending && a.value == b.value && a.error == b.error;
}

std::vector<ProgramInput> inputs_of(const ProgramTask& task) {
  std::vector<ProgramInput> inputs;
  for (const ProgramTest& test : task.tests) inputs.push_back(test.given);
  return inputs;
}

// Each of them two times in a row.
template <class T>
std::vector<T> twice(const std::vector<T>& once) {
  std::vector<T> doubled;
  for (const T& each : once) doubled.insert(doubled.end(), 2, each);
  return doubled;
}

ProgramJob job_for(const ProgramTask& task, std::vector<std::string> programs,
                   const std::vector<ProgramInput>& inputs) {
  ProgramJob job;
  job.language = task.language;
  job.entry_point = task.entry_point;
  job.programs = std::move(programs);
  job.inputs = twice(inputs);
  job.longest = longest_expected(task);
  return job;
}

// How the program did on input `index`; nothing: its runs ended before.
const ProgramRun* run_on(const ProgramReport& report, std::size_t index) {
  return 2 * index < report.runs.size() ? &report.runs[2 * index] : nullptr;
}

// True when a run and its repetition differ.
bool wavers(const ProgramReport& report, std::size_t index) {
  return 2 * index + 1 < report.runs.size() &&
         !same_outcome(report.runs[2 * index], report.runs[2 * index + 1]);
}

std::string kind_of(const ProgramRun& run) {
  if (run.ending == RunEnding::timeout) return "timeout";
  return run.ending == RunEnding::exception ? "exception" : "wrong";
}

VariantLabel negative(std::string kind, std::optional<ProgramInput> input = {}) {
  return {.label = 0, .kind = std::move(kind), .failing_input = std::move(input)};
}
VariantLabel dropped(std::string kind, bool passes = false) {
  return {.label = {}, .kind = std::move(kind), .failing_input = {}, .passes_tests = passes};
}

// What compiling and the tests say; nothing: it passes them all.
std::optional<VariantLabel> by_tests(const ProgramTask& task, const ProgramReport& report) {
  if (!report.compiled) return negative("compile");
  for (std::size_t i = 0; i < task.tests.size(); ++i) {
    const ProgramRun* run = run_on(report, i);
    if (!run) return negative("timeout", task.tests[i].given);
    if (wavers(report, i)) return dropped("flaky");
    if (!passes(task.tests[i], *run)) return negative(kind_of(*run), task.tests[i].given);
  }
  return std::nullopt;
}

bool shares_form(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return std::any_of(a.begin(), a.end(), [&](const std::string& form) {
    return std::find(b.begin(), b.end(), form) != b.end();
  });
}

// What the probes say of a variant that passes the tests.
VariantLabel by_probes(const Baseline& baseline, const Variant& variant,
                       const ProgramReport& report) {
  for (std::size_t i = 0; i < baseline.probes.size(); ++i) {
    if (wavers(report, i)) return dropped("flaky", true);
    const ProgramRun* run = run_on(report, i);
    if (run && same_outcome(*run, baseline.probe_runs[i])) continue;
    VariantLabel differs = negative("diff", baseline.probes[i]);
    differs.passes_tests = true;
    return differs;
  }
  const auto executed = baseline.reached.lower_bound(variant.first);
  if (executed == baseline.reached.end() || *executed > variant.last)
    return dropped("uncovered", true);
  return {.label = 1, .kind = "probably-equivalent", .failing_input = {}, .passes_tests = true};
}

void read_tests(const ProgramTask& task, ProgramReport& report, Baseline& baseline) {
  baseline.compiled = report.compiled;
  baseline.forms = std::move(report.forms);
  baseline.tested = std::move(report.lines);
  baseline.reached = baseline.tested;
  baseline.passes = report.compiled;
  if (!report.compiled) baseline.kind = "compile";
  for (std::size_t i = 0; i < task.tests.size(); ++i) {
    const ProgramRun* run = run_on(report, i);
    const bool fails = !run || !passes(task.tests[i], *run) || wavers(report, i);
    if (fails && baseline.passes) {
      baseline.passes = false;
      baseline.kind = run ? kind_of(*run) : "timeout";
      baseline.failing_input = task.tests[i].given;
    }
    const bool ended = run && run->ending != RunEnding::timeout;
    const double limit = std::max(1000.0, ended ? kTimesSlower * run->ms : 0.0);
    baseline.limits.push_back(Milliseconds(static_cast<std::int64_t>(limit)));
  }
}

void read_probes(std::vector<ProgramInput> probes, const ProgramReport& report,
                 Baseline& baseline) {
  baseline.reached.insert(report.lines.begin(), report.lines.end());
  for (std::size_t i = 0; i < probes.size(); ++i) {
    const ProgramRun* run = run_on(report, i);
    if (!run || run->ending != RunEnding::ok || wavers(report, i)) continue;
    baseline.probes.push_back(std::move(probes[i]));
    baseline.probe_runs.push_back(*run);
  }
}

}  // namespace

Async<Result<Baseline>> run_baseline(SandboxPool* sandbox, ProgramTask task, std::string program,
                                     std::vector<ProgramInput> probes,
                                     std::vector<Milliseconds> limits, std::int64_t* executions) {
  Baseline baseline;
  baseline.program = program;
  ProgramJob tests = job_for(task, {program}, inputs_of(task));
  tests.limits = twice(
      limits.empty() ? std::vector<Milliseconds>(task.tests.size(), kReferenceLimit) : limits);
  tests.want_lines = true;
  tests.want_forms = true;
  auto tested = co_await run_programs(sandbox, std::move(tests), executions);
  if (!tested) co_return std::move(tested).error();
  read_tests(task, tested->front(), baseline);
  if (!limits.empty()) baseline.limits = limits;
  if (!baseline.passes || probes.empty()) co_return baseline;

  ProgramJob job = job_for(task, {program}, probes);
  job.limits = {kProbeLimit};
  job.most_timeouts = kMostHangingProbes;
  job.want_lines = true;
  auto probed = co_await run_programs(sandbox, std::move(job), executions);
  if (!probed) co_return std::move(probed).error();
  read_probes(std::move(probes), probed->front(), baseline);
  co_return baseline;
}

Async<Result<std::vector<VariantLabel>>> label_variants(SandboxPool* sandbox, ProgramTask task,
                                                        std::shared_ptr<const Baseline> baseline,
                                                        std::vector<Variant> variants,
                                                        std::int64_t* executions) {
  std::vector<VariantLabel> labels(variants.size());
  if (variants.empty()) co_return labels;
  std::vector<std::string> programs;
  for (const Variant& variant : variants) programs.push_back(variant.program);
  ProgramJob tests = job_for(task, std::move(programs), inputs_of(task));
  tests.limits = twice(baseline->limits);
  tests.want_forms = true;
  auto tested = co_await run_programs(sandbox, std::move(tests), executions);
  if (!tested) co_return std::move(tested).error();

  std::vector<std::size_t> survivors;
  std::set<std::string> seen;  // programs and forms of the variants before
  for (std::size_t i = 0; i < variants.size(); ++i) {
    const ProgramReport& report = (*tested)[i];
    bool known = !seen.insert(variants[i].program).second;
    for (const std::string& form : report.forms) known = seen.contains(form) || known;
    seen.insert(report.forms.begin(), report.forms.end());
    const bool equal = shares_form(report.forms, baseline->forms);
    if (auto label = by_tests(task, report)) {
      labels[i] = known && label->label ? dropped("duplicate") : std::move(*label);
    } else if (equal) {
      labels[i] = {.label = 1, .kind = "equivalent", .failing_input = {}, .passes_tests = true};
    } else if (known) {
      labels[i] = dropped("duplicate", true);
    } else if (task.tests.empty()) {
      labels[i] = dropped("untested", true);
    } else {
      survivors.push_back(i);
    }
  }
  if (survivors.empty()) co_return labels;

  programs.clear();
  for (const std::size_t i : survivors) programs.push_back(variants[i].program);
  std::vector<ProgramReport> probed(survivors.size());
  if (!baseline->probes.empty()) {
    ProgramJob job = job_for(task, std::move(programs), baseline->probes);
    job.limits = {2s};  // the reference took far less
    auto reports = co_await run_programs(sandbox, std::move(job), executions);
    if (!reports) co_return std::move(reports).error();
    probed = std::move(*reports);
  }
  for (std::size_t k = 0; k < survivors.size(); ++k)
    labels[survivors[k]] = by_probes(*baseline, variants[survivors[k]], probed[k]);
  co_return labels;
}

}  // namespace proctor
