// Any text as the reply of a judge or a query writer: every supervisor that parses one gives labels
// with finite values, or none.
#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "sandbox/sandbox.h"
#include "supervisors/supervisor.h"
#include "tests/support/await.h"

namespace proctor {
namespace {

class Parrot final : public Model {
 public:
  std::string text;
  std::string name() const override { return "parrot"; }
  std::string backend() const override { return "script"; }
  Async<Result<Capabilities>> capabilities() override { co_return Capabilities{}; }
  Async<Result<Generation>> generate(GenerateRequest) override {
    co_return Generation{.content = text};
  }
};

// Prints its own program back.
class Echo final : public SandboxPool {
 public:
  Async<Result<Execution>> run(ExecutionRequest request) override {
    Execution execution;
    execution.ending = request.code.size() % 3 == 0 ? Ending::wall_limit : Ending::ok;
    execution.out = request.code;
    co_return execution;
  }
  Async<Result<std::shared_ptr<SandboxSession>>> open_session(Language, Limits,
                                                              Milliseconds) override {
    co_return missing("none");
  }
  const Isolation& isolation() const override { return isolation_; }
  Limiter::Usage usage() const override { return {}; }

 private:
  Isolation isolation_;
};

TrajectoryRef record(const std::string& text) {
  Trajectory trajectory;
  Task task;
  task.id = "t";
  task.prompt = "?";
  trajectory.task = std::make_shared<const Task>(task);
  trajectory.prefix = std::make_shared<const std::vector<Message>>();
  Turn turn;
  turn.assistant.content = text;
  turn.candidates = std::vector<Assistant>{turn.assistant, Assistant{}};
  turn.candidates->back().content = "other";
  turn.chosen = 0;
  trajectory.turns.push_back(std::make_shared<const Turn>(turn));
  trajectory.outcome.correct = true;
  return std::make_shared<const Trajectory>(std::move(trajectory));
}

void check(const Result<Opinion>& opinion) {
  if (!opinion) return;
  for (const Label& label : opinion->labels) {
    if (label.value && !std::isfinite(*label.value)) std::abort();
    json::serialize(to_json(label));
  }
}

}  // namespace
}  // namespace proctor

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace proctor;
  const std::string text(reinterpret_cast<const char*>(data), size);
  auto parrot = std::make_shared<Parrot>();
  parrot->text = text;
  Echo sandbox;
  Models models;
  models.set("judge", parrot);
  SupervisorServices services;
  services.sandbox = &sandbox;
  services.models = &models;
  auto judge = std::make_shared<Judge>(parrot);
  services.judge = [judge](const std::string&) { return judge; };
  for (const char* use :
       {"judge", "judge:scale=yes/no,votes=2", "webarbiter", "groundedprm:check=judge,tries=2"}) {
    auto parsed = parse_plugin_use(use);
    auto instance = make_supervisor(*parsed, services);
    if (!instance) std::abort();
    check(await(instance->supervisor->on_turn(record(text))));
    check(await(instance->supervisor->on_finished(record(text))));
  }
  return 0;
}
