// What running says of a program's lines: the rules of prlcoder, and the labelled variants behind
// them.
//
// Results are remembered by content, since the samples of a group repeat each other.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

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

// A bounded memory shared by rollouts; forgets all when it is full.
template <class T>
class Remembered {
 public:
  std::shared_ptr<const T> find(const std::string& key) {
    const std::lock_guard lock(mutex_);
    const auto found = known_.find(key);
    return found == known_.end() ? nullptr : found->second;
  }
  void add(const std::string& key, std::shared_ptr<const T> value) {
    const std::lock_guard lock(mutex_);
    if (known_.size() >= kMostRemembered) known_.clear();
    known_[key] = std::move(value);
  }

 private:
  static constexpr std::size_t kMostRemembered = 512;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const T>> known_;
};

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
  Async<Result<std::shared_ptr<const Reference>>> reference(ProgramTask tests, std::string key);

 private:
  Async<Result<Findings>> findings_of(TaskRef task, ProgramTask tests, std::string program,
                                      Asker asker);
  Async<Result<std::vector<LineFinding>>> beside_reference(
      ProgramTask tests, std::shared_ptr<const Reference> reference_run, std::string program,
      std::shared_ptr<Cost> cost);

  VariantSource source_;
  std::string probes_;
  SandboxPool* sandbox_;
  std::uint64_t seed_;
  Remembered<Findings> known_;
  Remembered<Reference> references_;
};

}  // namespace proctor
