// The tools that run programs, in front of a sandbox that only remembers what it was asked.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sandbox/sandbox.h"
#include "tests/support/await.h"
#include "tools/tool.h"

namespace proctor {
namespace {

using testing::HasSubstr;
using testing::Not;

class Listening final : public SandboxPool {
 public:
  Async<Result<Execution>> run(ExecutionRequest request) override {
    asked = std::move(request);
    Execution execution;
    execution.ending = Ending::ok;
    execution.out = "42\n";
    execution.network = NetworkUse{};
    co_return execution;
  }
  Async<Result<std::shared_ptr<SandboxSession>>> open_session(Language, Limits limits,
                                                              Milliseconds) override {
    asked.limits = std::move(limits);
    co_return missing("no sessions here");
  }
  const Isolation& isolation() const override { return isolation_; }
  Limiter::Usage usage() const override { return {}; }

  ExecutionRequest asked;

 private:
  Isolation isolation_;
};

class ExecuteTool : public testing::Test {
 protected:
  Result<ToolRef> make(const json::object& options) {
    const auto* entry = Registry<ToolMaker>::instance().find("python");
    PROCTOR_CHECK(entry != nullptr);
    auto parsed = Options::parse(options, entry->info.options, "python");
    if (!parsed) return std::move(parsed).error();
    return entry->make(*parsed, ToolServices{.sandbox = &pool});
  }
  static Result<Observation> call(const ToolRef& tool) {
    ToolCall call{"c0", "python", {{"code", "print(6 * 7)"}}};
    return await(tool->call(call, std::make_shared<ToolContext>()));
  }

  Listening pool;
};

TEST_F(ExecuteTool, HasNoNetworkUnlessHostsAreNamed) {
  auto tool = make({});
  ASSERT_TRUE(tool) << tool.error().message;
  EXPECT_FALSE((*tool)->side_effects());
  EXPECT_THAT((*tool)->definition().description, Not(HasSubstr("network")));
  ASSERT_TRUE(call(*tool));
  EXPECT_TRUE(pool.asked.limits.network.empty());
}

TEST_F(ExecuteTool, PassesItsHostsOnAndTellsThePolicy) {
  for (const bool sessions : {false, true}) {
    auto tool = make(
        {{"network", "allow:a.test,b.test:8080"}, {"network_bytes", 1000}, {"sessions", sessions}});
    ASSERT_TRUE(tool) << tool.error().message;
    EXPECT_TRUE((*tool)->side_effects());
    EXPECT_THAT((*tool)->definition().description, HasSubstr("reach a.test,b.test:8080 over"));
    const auto seen = call(*tool);
    EXPECT_EQ(seen.ok(), !sessions);
    EXPECT_TRUE(!seen || seen->data.at("network").is_object());
    ASSERT_EQ(pool.asked.limits.network.size(), 2U);
    EXPECT_EQ(pool.asked.limits.network[1].port, 8080);
    EXPECT_EQ(count(pool.asked.limits.network_bytes), 1000);
    pool.asked = {};
  }
}

TEST_F(ExecuteTool, RefusesAListThatIsNone) {
  const auto tool = make({{"network", "allow:*.test"}});
  ASSERT_FALSE(tool);
  EXPECT_EQ(tool.error().kind, ErrorKind::bad_input);
  EXPECT_THAT(tool.error().message, HasSubstr("hosts are named one by one"));
}

}  // namespace
}  // namespace proctor
