// A folder that appears under its name only when it is whole.
//
// While it is being made it holds a locked file: the lock dies with the process, which tells what a
// killed one left from what another one is making. Blind spot: where the file system has no locks,
// what a killed process left stays.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "runtime/core/result.h"

namespace proctor {

class PartialFolder {
 public:
  explicit PartialFolder(const std::filesystem::path& final_name);
  PartialFolder(const PartialFolder&) = delete;
  PartialFolder& operator=(const PartialFolder&) = delete;
  // Removes it with all that is in it, and the folders that were made above it, unless it has taken
  // its name.
  ~PartialFolder();

  // Makes it, with the folders above it, beside its final name; what killed processes left of
  // folders of that name goes.
  Status create();
  Status take_name();
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path final_, path_;
  std::vector<std::filesystem::path> above_;  // that were made, the lowest first
  int lock_ = -1;
};

}  // namespace proctor
