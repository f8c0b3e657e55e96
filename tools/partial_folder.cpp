// flock, as run directories have it: an fcntl lock would be lost as soon as anything in the process
// closed the file.
#include "tools/partial_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>

namespace proctor {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLockName = "lock";
constexpr const char* kBetween = ".partial-";  // the name and the process

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// What some process began to make under this name.
std::vector<fs::path> begun_ones(const fs::path& final_name) {
  const std::string beginning = final_name.filename().string() + kBetween;
  std::vector<fs::path> found;
  std::error_code ignored;
  const fs::path above = final_name.has_parent_path() ? final_name.parent_path() : ".";
  for (const auto& entry : fs::directory_iterator(above, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(beginning) && is_number(name.substr(beginning.size())) &&
        fs::is_directory(entry.symlink_status(ignored)))
      found.push_back(entry.path());
  }
  return found;
}

// One whose lock can be had is nobody's any more.
void remove_if_left(const fs::path& folder) {
  const int lock = ::open((folder / kLockName).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (lock < 0) return;
  std::error_code ignored;
  if (::flock(lock, LOCK_EX | LOCK_NB) == 0) fs::remove_all(folder, ignored);
  ::close(lock);
}

}  // namespace

PartialFolder::PartialFolder(const fs::path& final_name)
    : final_(final_name), path_(final_name.string() + kBetween + std::to_string(::getpid())) {}

PartialFolder::~PartialFolder() {
  if (lock_ < 0) return;
  std::error_code ignored;
  if (!path_.empty()) {
    fs::remove_all(path_, ignored);
    for (const auto& folder : above_) fs::remove(folder, ignored);  // where it is empty
  }
  ::close(lock_);
}

Status PartialFolder::create() {
  const auto failed = [this](const std::string& why) {
    return internal_error(path_.string() + ": cannot create: " + why);
  };
  for (const auto& folder : begun_ones(final_)) remove_if_left(folder);
  std::error_code error;
  for (fs::path above = final_.parent_path(); !above.empty() && !fs::exists(above, error);
       above = above.parent_path())
    above_.push_back(above);
  if (final_.has_parent_path()) fs::create_directories(final_.parent_path(), error);
  if (!error) fs::create_directory(path_, error);
  if (error) return failed(error.message());
  const int lock = ::open((path_ / kLockName).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock < 0) {
    const int code = errno;
    fs::remove(path_, error);
    return failed(std::strerror(code));
  }
  // Another one's, where processes of several machines or containers share the disk and a number.
  if (::flock(lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(lock);
    return bad_input(path_.string() + ": another process is making it");
  }
  lock_ = lock;
  return {};
}

Status PartialFolder::take_name() {
  if (std::rename(path_.c_str(), final_.c_str()) != 0)
    return internal_error(final_.string() + ": cannot create: " + std::strerror(errno));
  path_.clear();
  std::error_code ignored;
  fs::remove(final_ / kLockName, ignored);
  return {};
}

}  // namespace proctor
