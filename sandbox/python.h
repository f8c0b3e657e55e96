// Which Python guests get, and which trees of the host it needs to be shown for it.
#pragma once

#include <string>
#include <vector>

namespace proctor {

struct PythonPlace {
  std::string interpreter;         // "" when there is none
  std::vector<std::string> trees;  // beside the system's own
};

// `wanted`, else the one set up for proctor, else python3 on PATH: the first that is a real
// interpreter. Shims (scripts that choose one, as pyenv's) are passed over.
PythonPlace find_python(const std::string& wanted);

}  // namespace proctor
