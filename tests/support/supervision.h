// Records, models and calls for tests of supervisors.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/opinions.h"
#include "supervisors/supervisor.h"
#include "tests/support/await.h"

namespace proctor {

// A model that answers by two functions; both may be left out.
class FakeModel final : public Model {
 public:
  std::function<Result<Generation>(const GenerateRequest&)> on_generate;
  std::function<Result<Score>(const ScoreRequest&)> on_score;
  Milliseconds delay{0};
  int generated = 0, scored = 0;

  std::string name() const override { return "fake"; }
  std::string backend() const override { return "script"; }
  Async<Result<Capabilities>> capabilities() override {
    Capabilities can;
    can.generate = static_cast<bool>(on_generate);
    can.score = static_cast<bool>(on_score);
    co_return can;
  }
  Async<Result<Generation>> generate(GenerateRequest request) override {
    ++generated;
    if (delay > Milliseconds(0)) co_await sleep_for(delay);
    if (!on_generate) co_return unavailable("no generate");
    co_return on_generate(request);
  }
  Async<Result<Score>> score(ScoreRequest request) override {
    ++scored;
    if (delay > Milliseconds(0)) co_await sleep_for(delay);
    if (!on_score) co_return missing("no score");
    co_return on_score(request);
  }
};

// A judge that replies the same to everything.
inline std::shared_ptr<FakeModel> replying(std::function<std::string(const std::string&)> reply) {
  auto model = std::make_shared<FakeModel>();
  model->on_generate = [reply](const GenerateRequest& request) -> Result<Generation> {
    std::string prompt;
    for (const Message& message : request.messages) prompt += message.text() + "\n";
    Generation generation;
    generation.content = reply(prompt);
    generation.prompt_tokens = 7;
    generation.completion_tokens = 3;
    return generation;
  };
  return model;
}

// One supervisor with the models it may ask.
struct Fixture {
  Models models;
  std::map<std::string, std::shared_ptr<Judge>> judges;
  SupervisorServices services;

  Fixture() {
    services.models = &models;
    services.judge = [this](const std::string& role) -> std::shared_ptr<Judge> {
      ModelRef model = models.get(role);
      if (!model) return nullptr;
      auto& judge = judges[role];
      if (!judge) judge = std::make_shared<Judge>(model);
      return judge;
    };
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  Result<SupervisorInstance> try_make(const std::string& use) {
    auto parsed = parse_plugin_use(use);
    if (!parsed) return parsed.error();
    return make_supervisor(*parsed, services);
  }
  SupervisorInstance make(const std::string& use) {
    auto made = try_make(use);
    if (!made) throw std::runtime_error(made.error().message);
    return *made;
  }
};

// Builds a record turn by turn.
class Record {
 public:
  explicit Record(const std::string& id, const std::string& task_id = "task") {
    trajectory_.id = id;
    trajectory_.task_id = task_id;
    trajectory_.outcome.status = OutcomeStatus::answered;
    task_.id = task_id;
    task_.prompt = "What is it?";
    trajectory_.prefix = std::make_shared<const std::vector<Message>>(
        std::vector<Message>{{.role = "user", .content = json::string("What is it?")}});
  }
  Record& ask(const std::string& prompt) {
    task_.prompt = prompt;
    trajectory_.prefix = std::make_shared<const std::vector<Message>>(
        std::vector<Message>{{.role = "user", .content = json::string(prompt)}});
    return *this;
  }
  Record& gold(std::vector<std::string> answers) {
    task_.gold["answers"] = json::value_from(answers);
    return *this;
  }
  Record& gold_key(const std::string& key, json::value value) {
    task_.gold[key] = std::move(value);
    return *this;
  }
  Record& call(const std::string& content, const std::string& query,
               const std::string& observation) {
    Turn turn{.index = static_cast<int>(trajectory_.turns.size())};
    turn.assistant.content = content;
    json::object arguments;
    arguments["query"] = query;
    turn.assistant.tool_calls.push_back({"c0", "search", std::move(arguments)});
    Observation seen;
    seen.tool_call_id = "c0";
    seen.name = "search";
    seen.content = observation;
    turn.observations.push_back(std::move(seen));
    return add(std::move(turn));
  }
  Record& say(const std::string& content) {
    Turn turn{.index = static_cast<int>(trajectory_.turns.size())};
    turn.assistant.content = content;
    return add(std::move(turn));
  }
  Record& add(Turn turn) {
    trajectory_.turns.push_back(std::make_shared<const Turn>(std::move(turn)));
    return *this;
  }
  Record& answer(const std::string& text) {
    trajectory_.outcome.answer = text;
    return *this;
  }
  Trajectory& edit() { return trajectory_; }
  Trajectory get() const {
    Trajectory copy = trajectory_;
    copy.task = std::make_shared<const Task>(task_);
    return copy;
  }
  TrajectoryRef ref() const { return std::make_shared<const Trajectory>(get()); }

 private:
  Trajectory trajectory_;
  Task task_;
};

// What the offline engine does, in the smallest form: on_turn for each prefix, on_finished. The
// failure of the first hook that failed, if any.
inline std::optional<Error> supervise(const SupervisorInstance& instance, Trajectory& trajectory) {
  std::optional<Error> failure;
  const auto take = [&](SupervisorAnswer answer) {
    for (Label& label : answer.opinion.labels) trajectory.labels.push_back(std::move(label));
    if (answer.failure && !failure) failure = answer.failure;
  };
  if (instance.supervisor->has_on_turn())
    for (std::size_t turns = 1; turns <= trajectory.turns.size(); ++turns) {
      Trajectory prefix = trajectory;
      prefix.turns.resize(turns);
      prefix.outcome = {};
      auto so_far = std::make_shared<const Trajectory>(std::move(prefix));
      take(await(ask_supervisor(instance, Hook::on_turn, so_far, 10s)));
    }
  auto whole = std::make_shared<const Trajectory>(trajectory);
  take(await(ask_supervisor(instance, Hook::on_finished, whole, 10s)));
  return failure;
}

// The same for a group, on_group included; members are changed in place.
inline std::optional<Error> supervise_group(const SupervisorInstance& instance,
                                            std::vector<Trajectory>& members) {
  Group group;
  for (Trajectory& member : members) {
    if (auto failure = supervise(instance, member)) return failure;
    group.push_back(std::make_shared<const Trajectory>(member));
  }
  auto answer = await(ask_supervisor_of_group(instance, group, 10s));
  for (std::size_t i = 0; i < members.size(); ++i)
    add_member_opinion(members[i], std::move(answer.members[i]));
  return answer.failure;
}

inline const Label* find_label(const Trajectory& trajectory, const std::string& name,
                               std::optional<int> turn = {}, std::optional<int> step = {}) {
  for (const Label& label : trajectory.labels)
    if (label.name == name && (!turn || label.turn == turn) && (!step || label.step == step))
      return &label;
  return nullptr;
}

// Values of the labels of that name, in order.
inline std::vector<double> values_of(const Trajectory& trajectory, const std::string& name) {
  std::vector<double> values;
  for (const Label& label : trajectory.labels)
    if (label.name == name && label.value) values.push_back(*label.value);
  return values;
}

inline void expect_near(const std::vector<double>& got, const std::vector<double>& expected,
                        double tolerance = 5e-7) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    EXPECT_NEAR(got[i], expected[i], tolerance) << "at " << i;
}

}  // namespace proctor
