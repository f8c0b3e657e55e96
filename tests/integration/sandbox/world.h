// Sandbox tests run once in every world this machine has. A world that cannot be had skips with its
// reason, and fails instead when SANDBOX_MUST_WORK=1.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>

#include "runtime/core/json.h"
#include "sandbox/sandbox.h"
#include "tests/support/await.h"
#include "tests/support/must_work.h"
#include "tests/support/source_dir.h"

namespace proctor {

class InWorld : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::string wanted = GetParam(), world = wanted.substr(0, wanted.find('_'));
    setenv("PROCTOR_SANDBOX_WORLD", world.c_str(), 1);
    if (world != wanted) setenv("PROCTOR_SANDBOX_CGROUP", "none", 1);
    SandboxConfig config;
    config.slots = 2;
    configure(config);
    auto made = make_sandbox_pool(config);
    unsetenv("PROCTOR_SANDBOX_WORLD");
    unsetenv("PROCTOR_SANDBOX_CGROUP");
    if (made) {
      pool = std::move(*made);
      return;
    }
    cannot_run("SANDBOX_MUST_WORK", made.error().message);
  }

  virtual void configure(SandboxConfig& config) { (void)config; }

  // A live Python. One that cannot be opened throws, which fails the test with the reason.
  std::shared_ptr<SandboxSession> open_python(const Limits& limits = {}) {
    auto opened = await(pool->open_session(Language::python, limits));
    if (!opened) throw std::runtime_error(opened.error().message);
    return *opened;
  }

  bool reduced() const { return pool->isolation().level == "reduced"; }
  bool has(const std::string& layer) const {
    for (const auto& active : pool->isolation().active)
      if (active == layer) return true;
    return false;
  }

  Execution run(ExecutionRequest request) {
    auto ran = await(pool->run(std::move(request)));
    if (!ran) {
      ADD_FAILURE() << ran.error().message;
      return {};
    }
    return *ran;
  }
  Execution run(Language language, std::string code, Limits limits = {}) {
    ExecutionRequest request;
    request.language = language;
    request.code = std::move(code);
    request.limits = limits;
    return run(std::move(request));
  }
  Execution python(std::string code, Limits limits = {}) {
    return run(Language::python, std::move(code), limits);
  }

  std::unique_ptr<SandboxPool> pool;
};

inline std::string guest(const std::string& name) {
  auto text = read_file(std::string(source_dir()) + "/tests/guests/" + name);
  EXPECT_TRUE(text) << name;
  return text ? *text : "";
}

inline std::string name_of_world(const testing::TestParamInfo<const char*>& world) {
  return world.param;
}

#define IN_WORLDS(suite, ...) \
  INSTANTIATE_TEST_SUITE_P(Worlds, suite, testing::Values(__VA_ARGS__), name_of_world)
#define IN_EVERY_WORLD(suite) IN_WORLDS(suite, "root", "userns", "reduced")
// For what hangs on who counts: also where no cgroup can be had, as in containers and for ordinary
// users.
#define COUNTED_OR_NOT(suite) \
  IN_WORLDS(suite, "root", "userns", "reduced", "userns_uncounted", "reduced_uncounted")

}  // namespace proctor
