// Runs the hostile guests of tests/guests. A world may let through only what docs/sandbox.md says
// that it does not stop, and a test names that by number: the table is tests/guests/README.md.
#pragma once

#include <gmock/gmock.h>

#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "sandbox/language.h"
#include "tests/integration/sandbox/world.h"

namespace proctor {

// The numbers of the attacks that a guest says have worked; 0 for a line without one.
inline std::set<int> escapes(const std::string& out) {
  constexpr std::string_view kEscaped = "escaped: ";
  std::set<int> numbers;
  std::istringstream lines(out);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(kEscaped)) numbers.insert(std::atoi(line.c_str() + kEscaped.size()));
  return numbers;
}

class Attacks : public InWorld {
 protected:
  static ExecutionRequest attack(const std::string& name, std::vector<std::string> arguments = {}) {
    ExecutionRequest request;
    request.language = *language_of_ending(name.substr(name.rfind('.')));
    request.code = guest(name);
    request.arguments = std::move(arguments);
    // An attack comes to its end on a slow machine too.
    request.limits.cpu = 60s;
    request.limits.wall = 120s;
    if (request.language == Language::python) request.files["attack.py"] = guest("attack.py");
    return request;
  }
  void expect_alive() { EXPECT_EQ(python("print(1)").out, "1\n") << "the next run does not work"; }
  Execution expect_contained(ExecutionRequest request) {
    Execution ran = run(std::move(request));
    EXPECT_EQ(escapes(ran.out), std::set<int>{}) << ran.out << ran.err;
    EXPECT_THAT(ran.out, testing::HasSubstr("done"))
        << to_string(ran.ending) << ran.err << ran.error;
    expect_alive();
    return ran;
  }
};

}  // namespace proctor
