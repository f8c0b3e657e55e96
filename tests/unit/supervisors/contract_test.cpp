// What every registered supervisor keeps to, whatever it judges.
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <cmath>
#include <filesystem>

#include "runtime/labelling.h"
#include "sandbox/sandbox.h"
#include "tests/support/source_dir.h"
#include "tests/support/supervision.h"

namespace proctor {
namespace {

// Answers every program with nothing, after a while.
class QuietSandbox final : public SandboxPool {
 public:
  Milliseconds delay{0};
  Async<Result<Execution>> run(ExecutionRequest) override {
    if (delay > Milliseconds(0)) co_await sleep_for(delay);
    Execution execution;
    execution.ending = Ending::ok;
    execution.exit_code = 0;
    co_return execution;
  }
  Async<Result<std::shared_ptr<SandboxSession>>> open_session(Language, Limits,
                                                              Milliseconds) override {
    co_return missing("no sessions here");
  }
  const Isolation& isolation() const override { return isolation_; }
  Limiter::Usage usage() const override { return {}; }

 private:
  Isolation isolation_;
};

// One model for every role: a reply that each mechanism finds a verdict in.
constexpr const char* kReply =
    "<criteria>c</criteria><answer>1</answer> <reason>r</reason> <score>5</score>\n"
    "{\"query\": \"1 + 1\", \"reason\": \"r\", \"result\": true, \"value\": 0.5}";

struct ContractFixture : Fixture {
  std::shared_ptr<FakeModel> model = replying([](const std::string&) { return kReply; });
  QuietSandbox sandbox;
  explicit ContractFixture(Milliseconds delay = 0ms) {
    model->on_score = [](const ScoreRequest& request) -> Result<Score> {
      const double spread = static_cast<double>(request.messages.size() % 7);
      return Score{.logprobs = {-1.0 - spread, -0.5}};
    };
    model->delay = sandbox.delay = delay;
    models.set("policy", model);
    models.set("judge", model);
    models.set("scorer", model);
    services.sandbox = &sandbox;
  }
  Labeller labeller(const std::string& name) {
    return *Labeller::make({make(name)}, Milliseconds(20000));
  }
};

Trajectory ordinary(const std::string& id, int sample) {
  Record record(id);
  record.gold({"42"}).gold_key("tests", json::array{"assert f(1) == 2"});
  record.call("I search. 2 + 2 = 4", "q", "seen " + id);
  Turn turn{.index = 1};
  turn.assistant.content = "```python\ndef f(x):\n    return x + 1\n```\n6 * 7 = 43";
  turn.candidates = std::vector<Assistant>{turn.assistant, turn.assistant};
  turn.candidates->back().content = "something else";
  turn.chosen = 0;
  record.add(turn).answer("42");
  record.edit().sample = sample;
  record.edit().outcome.correct = sample == 0;
  record.edit().outcome.reward = sample == 0 ? 1 : 0;
  return record.get();
}

Trajectory empty() {
  Record record("empty");
  record.gold({"42"});
  record.edit().outcome.status = OutcomeStatus::error;
  return record.get();
}

Trajectory huge() {
  Record record("huge");
  record.gold({"42"});
  for (int i = 0; i < 150; ++i)
    record.call("turn " + std::to_string(i) + ": 1 + 1 = 2", "q" + std::to_string(i), "seen");
  std::string text = "```python\n";
  while (text.size() < 1'000'000) text += "x = (1 + 2) * 3 = 9 \xc3\xa9 {'a': [\n";
  return record.say(text).answer(text).get();
}

std::vector<json::object> labels_of(const Labeller::Labelled& labelled) {
  std::vector<json::object> labels;
  for (const Trajectory& member : labelled.members)
    for (Label label : member.labels) {
      label.cost.wall_ms = 0;
      labels.push_back(to_json(label));
    }
  return labels;
}

class Contract : public testing::TestWithParam<std::string> {};

TEST_P(Contract, GivesTheSameLabelsForTheSameSeed) {
  std::vector<json::object> labels[2];
  for (auto& each : labels) {
    ContractFixture fixture;
    each =
        labels_of(await(fixture.labeller(GetParam()).label({ordinary("a", 0), ordinary("b", 1)})));
  }
  EXPECT_EQ(labels[0], labels[1]);
}

TEST_P(Contract, GivesFiniteValuesInItsOwnNameThatSurviveJson) {
  ContractFixture fixture;
  auto labelled =
      await(fixture.labeller(GetParam() + ":as=mine").label({ordinary("a", 0), ordinary("b", 1)}));
  for (const Trajectory& member : labelled.members) {
    for (const Label& label : member.labels) {
      EXPECT_TRUE(label.supervisor == "mine" || is_failed_supervision(label, "mine"))
          << label.supervisor;
      EXPECT_TRUE(std::isfinite(label.value.value_or(0)));
      EXPECT_FALSE(wrong_with(label, member)) << *wrong_with(label, member);
    }
    auto text = json::serialize(to_json(member));
    auto back = read_trajectory(*parse_json(text));
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(json::serialize(to_json(*back)), text);
    EXPECT_TRUE(member.versions->at("supervisors").as_object().contains("mine"));
  }
}

TEST_P(Contract, ReplacesItsEarlierLabels) {
  ContractFixture fixture;
  const Labeller labeller = fixture.labeller(GetParam());
  auto once = await(labeller.label({ordinary("a", 0), ordinary("b", 1)}));
  auto twice = await(labeller.label(once.members));
  EXPECT_EQ(labels_of(once), labels_of(twice));
}

TEST_P(Contract, StandsAnEmptyAndAHugeTrajectory) {
  ContractFixture fixture;
  const Labeller labeller = fixture.labeller(GetParam());
  auto labelled = await(labeller.label({empty(), huge()}));
  for (const Trajectory& member : labelled.members)
    for (const Label& label : member.labels)
      EXPECT_FALSE(wrong_with(label, member)) << *wrong_with(label, member);
}

TEST_P(Contract, EndsSoonWhenItIsCalledOffHalfWay) {
  ContractFixture fixture(200ms);
  const Labeller labeller = fixture.labeller(GetParam());
  asio::io_context context;
  asio::cancellation_signal signal;
  std::exception_ptr thrown;
  bool done = false;
  auto work = labeller.label({ordinary("a", 0), ordinary("b", 1)});
  asio::co_spawn(context, std::move(work),
                 asio::bind_cancellation_slot(signal.slot(),
                                              [&](std::exception_ptr failure, Labeller::Labelled) {
                                                thrown = failure;
                                                done = true;
                                              }));
  asio::steady_timer timer(context, 20ms);
  timer.async_wait([&](const boost::system::error_code&) {
    if (!done) signal.emit(asio::cancellation_type::terminal);
  });
  const auto began = std::chrono::steady_clock::now();
  context.run();
  EXPECT_TRUE(done);
  EXPECT_TRUE(!thrown || is_cancellation(thrown));
  EXPECT_LT(std::chrono::steady_clock::now() - began, 2s);
}

TEST_P(Contract, DeclaresOptionsThatHoldTheirOwnDefaults) {
  const auto& info = Registry<SupervisorMaker>::instance().find(GetParam())->info;
  EXPECT_FALSE(info.summary.empty());
  EXPECT_FALSE(info.labels.empty());
  for (const auto& option : info.options) {
    EXPECT_FALSE(option.meaning.empty()) << option.name;
    if (option.fallback.is_null()) continue;
    json::object given;
    given[option.name] = option.fallback;
    EXPECT_TRUE(Options::parse(given, info.options, info.name)) << option.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Every, Contract,
                         testing::ValuesIn(Registry<SupervisorMaker>::instance().names()),
                         [](const auto& param) {
                           std::string name = param.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(Supervisors, AreCalledAfterTheirFile) {
  const auto names = Registry<SupervisorMaker>::instance().names();
  int files = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(source_dir()) + "/supervisors")) {
    if (entry.path().extension() != ".cpp") continue;
    const auto text = read_file(entry.path().string());
    ASSERT_TRUE(text);
    if (text->find("REGISTER_SUPERVISOR(") == std::string::npos) continue;
    std::string name = entry.path().stem().string();
    std::replace(name.begin(), name.end(), '_', '-');
    EXPECT_NE(std::find(names.begin(), names.end(), name), names.end()) << name;
    ++files;
  }
  EXPECT_EQ(static_cast<std::size_t>(files), names.size());
}

}  // namespace
}  // namespace proctor
