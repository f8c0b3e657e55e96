// The answer of a text solution, and whether it is right: the rule that mechanisms share, which is
// stricter and simpler than a suite's checker and needs nothing but the record. And whether there
// is anything to judge: a rollout that our own failure ended says nothing about its policy.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "runtime/core/records.h"

namespace proctor {

// False where the rollout was ended by a failure that is not the policy's: `error` (a model server
// or the sandbox was gone) or `cancelled`.
bool ended_by_policy(const Outcome& outcome);
// Why the task's checker could not grade it (`metrics.checker_error`); nothing when it did, or was
// not asked.
inline constexpr const char* kCheckerError = "checker_error";
std::optional<std::string> why_ungraded(const Outcome& outcome);
// What stands in the place of a trajectory's label `name` where that is false: no value, the
// verdict `not_judged`, and how the rollout ended.
Label not_judged(const std::string& name, const Outcome& outcome);

// `task.gold.answers` as texts, without empty ones; empty when there are none.
std::vector<std::string> gold_answers(const Trajectory& trajectory);

// The last \boxed{...}, else the last <answer>...</answer>; else the last of: what follows "answer
// is" on its line, what follows a line start "Answer:" or "Final Answer:", and a last line that
// begins with "#### " or is a number (a colon before, and emphasis, dollars and a full stop around
// them dropped); else the last closed code fence. Nothing when there is none.
std::optional<std::string> answer_in(const std::string& text);

// Equal after trimming and case folding, or equal as numbers (`1,000` = 1000); never by substring.
bool same_answer(const std::string& a, const std::string& b);

// F1 of the two sets of words after lower-casing, punctuation to blanks and collapsing (articles
// are kept); 0 when nothing is left of either.
double set_f1(const std::string& answer, const std::string& gold);

// outcome.correct, else the graded answer (outcome.answer, else that of the last turn's text).
// Nothing when it is not known and there is no gold, or when not the policy ended the rollout.
std::optional<bool> correct_by_answer(const Trajectory& trajectory);
// y: outcome.correct, else outcome.reward >= 0.5, else as above.
std::optional<bool> correctness(const Trajectory& trajectory);

}  // namespace proctor
