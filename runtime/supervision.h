// Supervision beside one rollout: each supervisor's on_turn runs as soon as a turn is finished, in
// order of the turns, while the next turn is generated. All calls on the rollout's strand.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/core/nursery.h"
#include "runtime/opinions.h"
#include "supervisors/supervisor.h"

namespace proctor {

// What supervision found about one turn.
struct TurnFinding {
  std::vector<Label> labels;  // in order of the supervisors
  Decision decision = Decision::proceed;
  std::string decided_by, reason;
  double supervise_ms = 0;  // from the turn's end to the last opinion
};

class Supervision {
 public:
  // The supervisors outlive it. `on_stop` is called once, when a supervisor decides to stop.
  Supervision(const std::vector<SupervisorInstance>& supervisors, Milliseconds deadline,
              const asio::any_io_executor& strand, std::function<void()> on_stop);

  // Starts the hooks for the last turn of `so_far`.
  void turn_finished(const TrajectoryRef& so_far);
  // What is known of a turn already, from a journal.
  void restore(int turn, TurnFinding finding);
  // Waits until every supervisor that may decide has spoken on all turns so far.
  Async<void> decided();
  // Waits for every opinion; must be called before the end, also after `cancel`.
  Async<void> all_opinions();
  // on_finished of every supervisor, side by side; labels in order of the supervisors.
  Async<std::vector<Label>> finished(TrajectoryRef whole);
  void cancel() { nursery_.cancel(); }

  bool stopped() const { return stopped_; }
  // The finding of a turn, complete once all opinions on it are in.
  const TurnFinding* finding(int turn) const;
  // Turns whose finding became complete since the last call.
  std::vector<int> newly_complete();

 private:
  struct Asked;
  Async<void> ask(std::size_t supervisor, TrajectoryRef so_far, std::shared_ptr<Event> before,
                  std::shared_ptr<Event> done, std::shared_ptr<Asked> asked);

  const std::vector<SupervisorInstance>& supervisors_;
  const Milliseconds deadline_;
  asio::any_io_executor strand_;
  std::function<void()> on_stop_;
  Nursery nursery_;
  std::vector<std::shared_ptr<Event>> latest_;  // by supervisor: done with its newest turn
  std::map<int, std::shared_ptr<Asked>> turns_;
  std::vector<int> complete_;
  bool stopped_ = false;
};

}  // namespace proctor
