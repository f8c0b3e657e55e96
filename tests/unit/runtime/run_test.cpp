// Whole runs inside the process: threads, interruption, what counts as a failure.
#include "runtime/run.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/scratch.h"

namespace proctor {
namespace {

class RunTest : public testing::Test {
 protected:
  // Writes one record a line and gives back the path.
  std::string file(const std::string& name, const std::string& text) {
    std::ofstream(scratch_.path(name)) << text;
    return scratch_.path(name);
  }
  std::string tasks(int count) {
    std::string text;
    for (int i = 0; i < count; ++i)
      text += R"({"id": "t)" + std::to_string(i) + R"(", "prompt": "2 + 2?"})" + "\n";
    return file("tasks.jsonl", text);
  }
  // Two columns are what most tests need: `more` is YAML of further keys.
  Result<std::unique_ptr<Assembly>> assembly(int count, const std::string& more = "") {
    const std::string script = file("script.jsonl", R"({"content": "<answer>4</answer>"})");
    const std::string text = "name: run\ntasks: " + tasks(count) +
                             "\nout: " + scratch_.path("out") +
                             "\nmodels: {policy: \"script:" + script + "\"}\n" + more;
    auto yaml = parse_yaml(text, "run.yaml");
    if (!yaml) return std::move(yaml).error();
    auto config = read_run_config(*yaml);
    if (!config) return std::move(config).error();
    return Assembly::build(std::move(*config));
  }
  static void silent(const RunProgress&) {}

  Scratch scratch_;
};

TEST_F(RunTest, EndsWithSeveralThreads) {
  auto made = assembly(1000, "io_threads: 4\nsamples: 2\nconcurrency: 8\n");
  ASSERT_TRUE(made) << made.error().message;
  auto result = run_all(**made, true, silent);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->trajectories, 2000);
  EXPECT_EQ(result->missing, 0);
}

}  // namespace
}  // namespace proctor
