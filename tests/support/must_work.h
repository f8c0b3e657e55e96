// For what a machine may lack: the test is skipped with the reason, or fails where the environment
// says that it must work. CI sets both variables, so that nothing is skipped there.
//   SANDBOX_MUST_WORK        a world of the sandbox, or root to mount a small disk
//   PROCTOR_MODEL_MUST_WORK  the embedded model: fetched by scripts/setup, and built in
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace proctor {

inline bool must_work(const char* variable) {
  const char* must = std::getenv(variable);
  return must && std::string(must) == "1";
}

inline void cannot_run(const char* variable, const std::string& why) {
  if (must_work(variable)) FAIL() << why;
  GTEST_SKIP() << why;
}

}  // namespace proctor
