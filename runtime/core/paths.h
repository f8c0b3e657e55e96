// Where proctor finds what came with it: built-in suites, generated data, the embedded model.
#pragma once

#include <string>

namespace proctor {

// $PROCTOR_HOME; else the source tree this binary was built in, while it exists; else
// PREFIX/share/proctor beside an installed binary. Suites lie in env/suites below it.
std::string home_directory();
// What scripts/setup generated or fetched (not in version control): $PROCTOR_DATA, else
// home_directory()/data. Holds models/smollm2.gguf, foldoc/corpus.jsonl, venv/bin/python3, ...
std::string data_directory();

}  // namespace proctor
