// One chain a supervisor: its hook for turn t starts when it is done with turn t-1, whatever the
// others do.
#include "runtime/supervision.h"

#include <chrono>
#include <utility>

namespace proctor {

namespace {

// Sets the event on every way out of a scope.
class Finally {
 public:
  explicit Finally(Event& event) : event_(event) {}
  ~Finally() { event_.set(); }
  Finally(const Finally&) = delete;
  Finally& operator=(const Finally&) = delete;

 private:
  Event& event_;
};

}  // namespace

// The opinions on one turn while they come in.
struct Supervision::Asked {
  std::chrono::steady_clock::time_point started = std::chrono::steady_clock::now();
  std::vector<SupervisorAnswer> answers;  // by supervisor
  std::size_t missing = 0;
  TurnFinding finding;
};

Supervision::Supervision(const std::vector<SupervisorInstance>& supervisors, Milliseconds deadline,
                         const asio::any_io_executor& strand, std::function<void()> on_stop)
    : supervisors_(supervisors),
      deadline_(deadline),
      strand_(strand),
      on_stop_(std::move(on_stop)),
      nursery_(strand),
      latest_(supervisors.size()) {}

void Supervision::turn_finished(const TrajectoryRef& so_far) {
  auto asked = std::make_shared<Asked>();
  asked->answers.resize(supervisors_.size());
  const int turn = static_cast<int>(so_far->turns.size()) - 1;
  for (const auto& instance : supervisors_)
    asked->missing += instance.supervisor->has_on_turn() ? 1 : 0;
  turns_[turn] = asked;
  if (asked->missing == 0) complete_.push_back(turn);
  for (std::size_t i = 0; i < supervisors_.size(); ++i) {
    if (!supervisors_[i].supervisor->has_on_turn()) continue;
    auto done = std::make_shared<Event>(strand_);
    auto before = std::exchange(latest_[i], done);
    nursery_.spawn(strand_, ask(i, so_far, std::move(before), std::move(done), asked));
  }
}

void Supervision::restore(int turn, TurnFinding finding) {
  auto asked = std::make_shared<Asked>();
  asked->finding = std::move(finding);
  if (asked->finding.decision == Decision::stop) stopped_ = true;
  turns_[turn] = std::move(asked);
}

Async<void> Supervision::ask(std::size_t supervisor, TrajectoryRef so_far,
                             std::shared_ptr<Event> before, std::shared_ptr<Event> done,
                             std::shared_ptr<Asked> asked) {
  const Finally after(*done);  // whoever waits for this hook is not left waiting by a bug in it
  if (before) co_await before->wait();
  const SupervisorInstance& instance = supervisors_[supervisor];
  const int turn = static_cast<int>(so_far->turns.size()) - 1;
  auto answer = co_await ask_supervisor(instance, Hook::on_turn, std::move(so_far), deadline_);
  const Decision decision = answer.opinion.decision;
  asked->answers[supervisor] = std::move(answer);
  if (--asked->missing == 0) {
    TurnFinding& finding = asked->finding;
    finding.supervise_ms = to_ms(std::chrono::steady_clock::now() - asked->started);
    for (std::size_t i = 0; i < supervisors_.size(); ++i) {
      const Opinion& opinion = asked->answers[i].opinion;
      finding.labels.insert(finding.labels.end(), opinion.labels.begin(), opinion.labels.end());
      // The first supervisor in the configuration's order that wants anything decides.
      if (finding.decision == Decision::proceed && opinion.decision != Decision::proceed) {
        finding.decision = opinion.decision;
        finding.decided_by = supervisors_[i].alias;
        finding.reason = opinion.reason;
      }
    }
    complete_.push_back(turn);
  }
  if (decision == Decision::stop && !stopped_) {
    stopped_ = true;
    on_stop_();
  }
}

Async<void> Supervision::decided() {
  for (std::size_t i = 0; i < supervisors_.size(); ++i) {
    auto newest = latest_[i];
    if (newest && supervisors_[i].supervisor->decides()) co_await newest->wait();
  }
}

Async<void> Supervision::all_opinions() { co_await nursery_.join(); }

Async<std::vector<Label>> Supervision::finished(TrajectoryRef whole) {
  std::vector<Async<SupervisorAnswer>> works;
  for (const auto& instance : supervisors_)
    if (instance.supervisor->has_on_finished())
      works.push_back(ask_supervisor(instance, Hook::on_finished, whole, deadline_));
  auto answers = co_await gather(std::move(works));
  std::vector<Label> labels;
  for (auto& answer : answers) {
    labels.insert(labels.end(), std::make_move_iterator(answer.opinion.labels.begin()),
                  std::make_move_iterator(answer.opinion.labels.end()));
  }
  co_return labels;
}

const TurnFinding* Supervision::finding(int turn) const {
  auto found = turns_.find(turn);
  if (found == turns_.end() || found->second->missing > 0) return nullptr;
  return &found->second->finding;
}

std::vector<int> Supervision::newly_complete() { return std::exchange(complete_, {}); }

}  // namespace proctor
