// Where variants of lines come from: the fixed operators, the refactorings, and a teacher model.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "policies/judge.h"
#include "supervisors/code_lines.h"
#include "supervisors/supervisor.h"
#include "supervisors/variant_labels.h"

namespace proctor {

// A variant of one line and, once it was run, what it is worth.
struct LineTrial {
  std::size_t line = 0;   // index in code_lines(...)
  std::string operator_;  // empty for a teacher's
  std::string code;       // replaces the line's text
  VariantLabel outcome;

  std::string source() const { return operator_.empty() ? "teacher" : "operator"; }
};

// What a teacher is asked for: changes of a program that passes its tests, or repairs of one that
// fails them.
enum class VariantAim { change, repair };

class VariantSource {
 public:
  // Options `operators`, `refactorings` and `teacher`, as declared by variant_options().
  static Result<VariantSource> make(const Options& options, const SupervisorServices& services);

  // Line by line, in operator order, then the teacher's. An Error only when the teacher's model
  // fails; the teacher's replies that are no variant are left out.
  Async<Result<std::vector<LineTrial>>> variants(Language language, std::string program,
                                                 std::string problem, VariantAim aim, Asker asker,
                                                 std::shared_ptr<Cost> cost) const;
  std::string name() const;  // of the settings, for caches

 private:
  std::vector<std::string> operators_;
  bool refactorings_ = false;
  std::shared_ptr<Judge> teacher_;
  std::uint64_t seed_ = 1;
};

std::vector<OptionInfo> variant_options();

// The reply to a teacher's question: the replacement of line `number` (from 1), or nothing when it
// is for another line, has more than one line, or changes nothing but comments and white space.
std::optional<std::string> read_teacher_reply(const std::string& reply, int number,
                                              Language language, const CodeLine& line);

}  // namespace proctor
