// Asking a supervisor, the same way online and offline: its labels are checked before anyone sees
// them, and whatever goes wrong inside it (exception, deadline, error, bad label) becomes a failed
// supervision in the record, never a lost rollout. Only cancellation passes through.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "runtime/core/async.h"
#include "runtime/core/records.h"
#include "supervisors/supervisor.h"

namespace proctor {

enum class Hook { on_turn, on_finished, on_group };
const char* to_string(Hook hook);

// What came of asking. On failure `opinion` holds no decision and one label, which says so.
struct SupervisorAnswer {
  Opinion opinion;  // every label carries the alias, and of level turn and below its turn
  std::optional<Error> failure;
  std::chrono::nanoseconds took{0};
};

// on_turn (of the last turn of `trajectory`) or on_finished. A supervisor without that hook answers
// nothing at no cost. Throws the cancellation exception when called off.
Async<SupervisorAnswer> ask_supervisor(SupervisorInstance instance, Hook hook,
                                       TrajectoryRef trajectory, Milliseconds deadline);

// on_group. `members` is as long as `group`; on failure each holds the one label that says so.
struct GroupAnswer {
  std::vector<MemberOpinion> members;
  std::optional<Error> failure;
  std::chrono::nanoseconds took{0};
};
Async<GroupAnswer> ask_supervisor_of_group(SupervisorInstance instance, Group group,
                                           Milliseconds deadline);

// A failed supervision as records carry it: supervisor `proctor`, name `failed_supervision`, value
// null, verdict = kind of the error, rationale = its sentence, evidence {"supervisor", "hook"}.
inline constexpr const char* kOwnLabels = "proctor";
inline constexpr const char* kFailedSupervision = "failed_supervision";
Label failed_supervision(const std::string& alias, Hook hook, std::optional<int> turn,
                         const Error& error);
// Whether this label says that `alias` failed ("" = anyone).
bool is_failed_supervision(const Label& label, const std::string& alias = "");

// Whose word a label is: its supervisor's, or that of the one that it says failed.
std::string speaker_of(const Label& label);

// Takes away what `alias` said before: labels, failures and the turns' scores.
void withdraw(Trajectory& trajectory, const std::string& alias);
// Takes away its labels but leaves the failures (Supervisor::all_or_nothing).
void withdraw_labels(Trajectory& trajectory, const std::string& alias);
// Writes `scores` of every turn from the trajectory's labels: the value of a turn's label, the mean
// of the values of labels below a turn.
void summarise_scores(Trajectory& trajectory);
void summarise_scores(Turn& turn, int position, const std::vector<Label>& labels);
// Puts what a group hook said of one member into its record: labels, token values, scores.
void add_member_opinion(Trajectory& trajectory, MemberOpinion opinion);

// on_group over records, its opinions put into them. Left out of the group are members that the
// supervisor does not look at or that not the policy ended, and those in which an all_or_nothing
// supervisor failed. `members` outlives the call.
Async<GroupAnswer> label_group_with(SupervisorInstance instance, std::vector<Trajectory>* members,
                                    Milliseconds deadline);

// Lets every supervisor reach for what it needs, one after another; `missing` when one has no
// answer within `limit`.
inline constexpr Milliseconds kReachable = std::chrono::seconds(30);
Async<Status> prepare_all(std::vector<SupervisorInstance> supervisors, Milliseconds limit);

// The first thing wrong with the label of this trajectory, or nothing.
std::optional<std::string> wrong_with(const Label& label, const Trajectory& trajectory);

}  // namespace proctor
