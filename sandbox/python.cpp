// Finds an interpreter without running it. Blind spot: an interpreter whose libraries lie outside
// its own prefix and the system's folders will not start inside.
#include "sandbox/python.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "runtime/core/paths.h"
#include "sandbox/plan.h"

namespace proctor {
namespace {

namespace fs = std::filesystem;

bool is_program(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  char magic[4] = {};
  file.read(magic, 4);
  return std::string_view(magic, 4) == "\177ELF";
}

// Shown inside anyway.
bool in_system_tree(const fs::path& path) {
  const std::string text = path.string() + "/";
  for (const char* tree : {"/usr/", "/bin/", "/lib/", "/lib64/", "/sbin/"})
    if (text.rfind(tree, 0) == 0) return true;
  return false;
}

// Of PREFIX, where PREFIX/bin/python3 lies, what an interpreter needs; PREFIX itself may be
// somebody's home.
void add_interpreter(const fs::path& interpreter, std::vector<std::string>& trees) {
  const fs::path prefix = interpreter.parent_path().parent_path();
  std::error_code ignored;
  const auto add = [&](const char* folder, std::initializer_list<const char*> beginnings) {
    for (const auto& entry : fs::directory_iterator(prefix / folder, ignored)) {
      const std::string name = entry.path().filename().string();
      for (const char* beginning : beginnings)
        if (name.rfind(beginning, 0) == 0) trees.push_back(entry.path().string());
    }
  };
  add("bin", {"python3"});
  add("lib", {"python3", "libpython"});
}

// A folder that cannot be shown whole: everything, or where the user or this process lives.
bool holds_too_much(const fs::path& tree) {
  std::error_code ignored;
  const char* home = std::getenv("HOME");
  return lies_in(fs::current_path(ignored).string(), tree.string()) ||
         (home && *home == '/' &&
          lies_in(fs::weakly_canonical(home, ignored).string(), tree.string()));
}

std::vector<fs::path> candidates(const std::string& wanted) {
  if (!wanted.empty()) return {wanted};
  std::vector<fs::path> found = {fs::path(data_directory()) / "venv/bin/python3"};
  if (const char* path = std::getenv("PATH")) {
    std::istringstream folders(path);
    for (std::string folder; std::getline(folders, folder, ':');)
      if (!folder.empty()) found.push_back(fs::path(folder) / "python3");
  }
  found.push_back("/usr/bin/python3");
  return found;
}

}  // namespace

PythonPlace find_python(const std::string& wanted) {
  std::error_code ignored;
  for (const auto& candidate : candidates(wanted)) {
    const fs::path real = fs::canonical(candidate, ignored);
    if (ignored || !is_program(real)) continue;
    PythonPlace place;
    // A virtual environment is known by the file beside its bin; its interpreter is a link that
    // must be started by its own name, though from the folder's real place.
    const fs::path folder = fs::canonical(candidate.parent_path(), ignored);
    const fs::path environment = folder.parent_path();
    if (fs::exists(environment / "pyvenv.cfg", ignored)) {
      if (holds_too_much(environment)) continue;
      place.interpreter = (folder / candidate.filename()).string();
      place.trees.push_back(environment.string());
    } else {
      place.interpreter = real.string();
    }
    if (!in_system_tree(real)) add_interpreter(real, place.trees);
    return place;
  }
  return {};
}

}  // namespace proctor
