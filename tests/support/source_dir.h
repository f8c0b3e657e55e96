// Where the repository lies, for tests that read files of it. Told to one file only, so that a
// compiler cache serves every other one to a checkout in another place.
#pragma once

namespace proctor {
const char* source_dir();  // no slash at its end
}  // namespace proctor
