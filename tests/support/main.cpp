// The tests' main: forks the sandbox launcher while the process still has one thread.
#include <gtest/gtest.h>

#include <iostream>

#include "sandbox/sandbox.h"
#include "tests/support/source_dir.h"

const char* proctor::source_dir() { return PROCTOR_SOURCE_DIR; }

int main(int argc, char** argv) {
  if (auto started = proctor::start_launcher(); !started) {
    std::cerr << "no sandbox launcher: " << started.error().message << "\n";
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
