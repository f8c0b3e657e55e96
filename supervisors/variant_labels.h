// Labels variants of a program by running them: compile, tests, equal form, probes, coverage.
//
// Blind spot: "probably-equivalent" is as good as the probes; a difference that none of them shows
// is taken for none.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "env/program_tests.h"

namespace proctor {

// The unchanged program on tests and probes: what variants are measured against.
struct Baseline {
  std::string program;
  bool compiled = false;
  bool passes = false;  // all tests, twice; true where there are none
  std::string kind;     // of the first failing test: exception, wrong, ...
  std::optional<ProgramInput> failing_input;
  std::vector<ProgramInput> probes;  // those on which it neither fails nor wavers
  std::vector<ProgramRun> probe_runs;
  std::vector<Milliseconds> limits;  // of its variants, one a test
  std::vector<std::string> forms;
  std::set<int> tested;   // lines executed by a test
  std::set<int> reached;  // by a test or one of `probes`
};

// One variant of the whole program, changed on physical lines [first, last].
struct Variant {
  std::string program;
  int first = 0, last = 0;
};

struct VariantLabel {
  std::optional<int> label;  // 1, 0; nothing: dropped
  std::string kind;          // as in the label rule; "duplicate" and "untested" are dropped too
  std::optional<ProgramInput> failing_input;
  bool passes_tests = false;
};

// `executions` counts what was run; the pointers must outlive the calls.
// `limits`: one a test, or empty where this is the reference. Probes are run where it passes.
Async<Result<Baseline>> run_baseline(SandboxPool* sandbox, ProgramTask task, std::string program,
                                     std::vector<ProgramInput> probes,
                                     std::vector<Milliseconds> limits, std::int64_t* executions);
// One label a variant, in order.
Async<Result<std::vector<VariantLabel>>> label_variants(SandboxPool* sandbox, ProgramTask task,
                                                        std::shared_ptr<const Baseline> baseline,
                                                        std::vector<Variant> variants,
                                                        std::int64_t* executions);

}  // namespace proctor
