// The tables of `run` and `show`.
#pragma once

#include <string>
#include <vector>

#include "runtime/summary.h"

namespace proctor {

// A table of suites, and one of labels where there are any.
std::string summary_text(const Summary& summary);
// The commonest failures, a line each; empty without any.
std::string failures_text(const Summary& summary);
// The first of the records that cannot be read, a line each.
std::string damaged_text(const std::vector<Error>& damaged);
// What a run directory does not hold yet, a line; empty for one that is whole, and for a file.
std::string unfinished_text(const std::string& path);

}  // namespace proctor
