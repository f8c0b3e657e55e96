// What running says of a program's lines: the rules of prlcoder, and the labelled variants behind
// them.
//
// Equal programs are run once, since the samples of a group repeat each other.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/core/once.h"
#include "supervisors/supervisor.h"
#include "supervisors/variant_labels.h"
#include "supervisors/variant_source.h"

namespace proctor {

// What was found out about one line of a program.
struct LineFinding {
  int line = 0;
  std::optional<int> value;  // 1 correct, 0 incorrect
  std::string kind;
  std::vector<LineTrial> trials;
  std::optional<double> mutation_score;
  std::optional<ProgramInput> failing_input;
  std::optional<std::string> fix;
};

struct Findings {
  std::vector<LineFinding> lines;
  std::optional<double> pass;
  std::string verdict;  // passed, failed, bad_task, no_tests
  std::string kind;     // of the first failing test
  std::optional<ProgramInput> failing_input;
  Cost cost;
};
using FindingsRef = std::shared_ptr<const Findings>;

// The task's own program, run.
struct Reference {
  Baseline baseline;
  std::int64_t executions = 0;
};
using ReferenceRef = std::shared_ptr<const Reference>;

// Runs programs and their variants; what the supervisor and the deriver share.
class LineStudy {
 public:
  // `probes`: auto, given or none.
  LineStudy(VariantSource source, std::string probes, const SupervisorServices& services);

  // The findings of a policy's program, by the first rule that fits:
  // it passes; it differs from the reference in one line; some variant repairs it; nothing is
  // known.
  Async<Result<FindingsRef>> of_program(TaskRef task, ProgramTask tests, std::string program,
                                        Asker asker);

  // All variants of the baseline's program, each with its label, dropped ones too.
  Async<Result<std::vector<LineTrial>>> variants_of(TaskRef task, ProgramTask tests,
                                                    std::shared_ptr<const Baseline> baseline,
                                                    Asker asker, std::shared_ptr<Cost> cost);

  // gold.solution, which must be there, on tests and probes. `key` stands for the task.
  Async<Result<ReferenceRef>> reference(ProgramTask tests, std::string key);

 private:
  Async<Result<FindingsRef>> findings_of(TaskRef task, ProgramTask tests, std::string program,
                                         Asker asker);
  Async<Result<ReferenceRef>> run_reference(ProgramTask tests);
  Async<Result<std::vector<LineFinding>>> beside_reference(ProgramTask tests,
                                                           ReferenceRef reference_run,
                                                           std::string program,
                                                           std::shared_ptr<Cost> cost);

  VariantSource source_;
  std::string probes_;
  SandboxPool* sandbox_;
  std::uint64_t seed_;
  static constexpr std::size_t kMostRemembered = 512;
  Once<FindingsRef> known_{kMostRemembered};
  Once<ReferenceRef> references_{kMostRemembered};
};

}  // namespace proctor
