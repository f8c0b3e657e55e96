// Looks for the share directory once, at the first question.
#include "runtime/core/paths.h"

#include <cstdlib>
#include <filesystem>

namespace proctor {
namespace fs = std::filesystem;

std::string home_directory() {
  static const std::string found = [] {
    if (const char* given = std::getenv("PROCTOR_HOME")) return std::string(given);
    std::error_code error;
#ifdef PROCTOR_SOURCE_HOME
    if (fs::exists(fs::path(PROCTOR_SOURCE_HOME) / "env/suites", error))
      return std::string(PROCTOR_SOURCE_HOME);
#endif
    const fs::path binary = fs::read_symlink("/proc/self/exe", error);
    return (binary.parent_path().parent_path() / "share/proctor").string();
  }();
  return found;
}

std::string data_directory() {
  if (const char* given = std::getenv("PROCTOR_DATA")) return given;
  return home_directory() + "/data";
}

}  // namespace proctor
