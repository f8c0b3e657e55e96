// Inputs beside the tests, on which a variant that passes all tests may still differ: changed test
// inputs, and a small grid for each argument's type around the constants of the program.
//
// Blind spot: types are read off the test inputs; a function that takes more is not asked about it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "env/program_tests.h"

namespace proctor {

// At most `most` inputs, all different and none a test's; the same for the same seed.
std::vector<ProgramInput> make_probes(const ProgramTask& task, const std::string& program,
                                      std::uint64_t seed, std::size_t most);

}  // namespace proctor
