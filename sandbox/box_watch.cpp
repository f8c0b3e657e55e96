// A walk through no link, along names below the box. A guest that moves things about meanwhile has
// them counted twice as often as not at all. Blind spot: files without a name, which TreeWatch sees
// in tables of open files.
#include "sandbox/box_watch.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "sandbox/files.h"

namespace proctor {
namespace {

using namespace std::chrono_literals;

constexpr int kMostEntries = 500;             // a look; about a millisecond
constexpr std::size_t kMostNames = 16 << 20;  // bytes of folders that wait
constexpr std::size_t kLongestPath = 3800;    // longer ones the kernel does not take at once
constexpr double kBytesPerSecond = 4e9;       // that a guest may write at best
constexpr double kInodesPerSecond = 400e3;    // that it may make at best
constexpr std::int64_t kOwnInodes = 4;        // the folders that we made

}  // namespace

BoxWatch::BoxWatch(std::int64_t bytes, std::int64_t inodes)
    : most_bytes_(bytes), most_inodes_(inodes) {
  next_ = Clock::now() + pause();
}

void BoxWatch::restart() {
  bytes_ = 0;
  inodes_ = -kOwnInodes;
  blind_ = false;
  open_.reset();
  folders_ = {"."};
  folder_bytes_ = 0;
  linked_.clear();
  took_ = {};
  walking_ = true;
}

bool BoxWatch::is_over(std::int64_t nameless) const {
  return blind_ || bytes_ + nameless > most_bytes_ || inodes_ > most_inodes_;
}

BoxWatch::Clock::duration BoxWatch::pause() const {
  const auto soonest = [](std::int64_t room, double rate) {
    return std::chrono::duration<double>(static_cast<double>(room) / rate);
  };
  const auto overrun = std::min(soonest(most_bytes_ - bytes_, kBytesPerSecond),
                                soonest(most_inodes_ - inodes_, kInodesPerSecond));
  return std::clamp(std::chrono::duration_cast<Clock::duration>(overrun), Clock::duration(10ms),
                    Clock::duration(100ms));
}

void BoxWatch::open_next(int box) {
  path_ = std::move(folders_.back());
  folders_.pop_back();
  folder_bytes_ -= std::min(folder_bytes_, path_.size());
  OwnedFd folder(open_directory(box, path_));
  if (!folder && errno == EACCES) folder = OwnedFd(open_locked_directory(box, path_));
  if (!folder && (errno == EACCES || errno == EPERM)) blind_ = true;
  if (!folder) return;  // gone, mostly
  open_.reset(fdopendir(folder.get()));
  if (open_) (void)folder.release();
}

void BoxWatch::count_entry(const char* name) {
  struct stat found{};
  ++inodes_;
  if (fstatat(dirfd(open_.get()), name, &found, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0) return;
  const bool folder = S_ISDIR(found.st_mode);
  if (folder || found.st_nlink < 2 || linked_.emplace(found.st_dev, found.st_ino).second)
    bytes_ += found.st_blocks * 512;
  if (!folder) return;
  folders_.push_back(path_ == "." ? name : path_ + "/" + name);
  folder_bytes_ += folders_.back().size();
  if (folders_.back().size() > kLongestPath || folder_bytes_ > kMostNames) blind_ = true;
}

bool BoxWatch::look(int box) {
  const auto begin = Clock::now();
  if (!walking_) restart();
  for (int entries = 0; entries < kMostEntries && !is_over(0); ++entries) {
    if (!open_ && folders_.empty()) {
      walking_ = false;
      break;
    }
    if (!open_) {
      open_next(box);
      continue;
    }
    const dirent* entry = readdir(open_.get());
    const std::string_view name = entry ? entry->d_name : "";
    if (!entry)
      open_.reset();
    else if (name != "." && name != "..")
      count_entry(entry->d_name);
  }
  if (is_over(0)) walking_ = false;
  const auto took = Clock::now() - begin;
  took_ += took;
  next_ = begin + took + (walking_ ? took * 3 : std::max(pause(), took_ * 4));
  return !walking_;
}

}  // namespace proctor
