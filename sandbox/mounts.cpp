// Builds the root that guests see. Blind spot: whatever else lies below /usr on the host is
// readable inside; secrets of others do not belong there.
#include "sandbox/mounts.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <vector>

#include "sandbox/embedded.h"
#include "sandbox/owned_fd.h"

namespace proctor {
namespace {

using wire::Stage;

// Hidden below a mount of our own in the slot's namespace only; exists everywhere.
constexpr const char* kNewRoot = "/sys";

struct MountAttributes {  // struct mount_attr, which older headers lack
  std::uint64_t set = 0, clear = 0, propagation = 0, user_namespace = 0;
};
constexpr std::uint64_t kReadOnly = 1, kNoSuid = 2, kNoDev = 4;

bool set_attributes(const std::string& path, std::uint64_t set) {
  MountAttributes attributes{set};
  constexpr int kRecursive = 0x8000;  // AT_RECURSIVE
  if (syscall(SYS_mount_setattr, AT_FDCWD, path.c_str(), kRecursive, &attributes,
              sizeof attributes) == 0)
    return true;
  if (errno != ENOSYS) return false;
  unsigned long flags = MS_REMOUNT | MS_BIND;
  if (set & kReadOnly) flags |= MS_RDONLY;
  if (set & kNoSuid) flags |= MS_NOSUID;
  if (set & kNoDev) flags |= MS_NODEV;
  return mount(nullptr, path.c_str(), nullptr, flags, nullptr) == 0;
}

void make_parents(const std::string& path) {
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1))
    (void)mkdir(path.substr(0, slash).c_str(), 0755);
}

bool write_text(const std::string& path, std::string_view text, mode_t mode = 0644) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  if (fd < 0) return false;
  const bool all = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  return close(fd) == 0 && all;
}

// Shows a file or tree of the host; a link at the top (merged /usr) stays a link. What the host
// does not have is left out.
bool show(const std::string& source, std::uint64_t attributes) {
  const std::string target = kNewRoot + place_in_view(source);
  struct stat found{};
  if (lstat(source.c_str(), &found) != 0) return errno == ENOENT;
  make_parents(target);
  if (S_ISLNK(found.st_mode) && source.find('/', 1) == std::string::npos) {
    char link[4096];
    const ssize_t size = readlink(source.c_str(), link, sizeof link - 1);
    if (size < 0) return false;
    link[size] = 0;
    return symlink(link, target.c_str()) == 0 || errno == EEXIST;
  }
  if (stat(source.c_str(), &found) != 0) return errno == ENOENT;
  if (S_ISDIR(found.st_mode)) {
    if (mkdir(target.c_str(), 0755) != 0 && errno != EEXIST) return false;
  } else if (!write_text(target, "")) {
    return false;
  }
  return mount(source.c_str(), target.c_str(), nullptr, MS_BIND | MS_REC, nullptr) == 0 &&
         set_attributes(target, attributes);
}

// Empty, read-only folders over what must not be seen, with the trees shown that lie below them.
bool hide(const SlotPlan& plan) {
  std::vector<std::string> shown(kSystemTrees.begin(), kSystemTrees.end());
  shown.insert(shown.end(), plan.trees.begin(), plan.trees.end());
  for (const auto& hidden : plan.hidden) {
    const std::string target = kNewRoot + place_in_view(hidden);
    const bool visible = std::any_of(shown.begin(), shown.end(),
                                     [&](const auto& tree) { return lies_in(hidden, tree); });
    if (!visible || access(target.c_str(), F_OK) != 0) continue;
    if (mount("hidden", target.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m") != 0)
      return false;
    for (const auto& tree : plan.trees)
      if (tree != hidden && lies_in(tree, hidden) && !show(tree, kReadOnly | kNoSuid | kNoDev))
        return false;
    if (!set_attributes(target, kReadOnly | kNoSuid | kNoDev)) return false;
  }
  return true;
}

bool write_files_of_our_own() {
  const std::string root = kNewRoot;
  const bool written =
      write_text(root + "/etc/passwd",
                 "root:x:0:0::/:/bin/false\nguest:x:1000:1000::/box/work:/bin/bash\n"
                 "nobody:x:65534:65534::/:/bin/false\n") &&
      write_text(root + "/etc/group", "root:x:0:\nguest:x:1000:\nnogroup:x:65534:\n") &&
      write_text(root + "/etc/hosts", "127.0.0.1 localhost sandbox\n::1 localhost\n") &&
      write_text(root + "/etc/hostname", "sandbox\n") &&
      write_text(root + "/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n");
  if (!written) return false;
  return mkdir((root + "/proctor").c_str(), 0755) == 0 &&
         write_text(root + kLibrary, child_library(), 0755) &&
         write_text(root + kInit, init_program(), 0755);
}

bool make_skeleton() {
  const std::string root = kNewRoot;
  for (const char* name : {"/dev", "/proc", "/box", "/etc", "/var", "/run", "/home"})
    if (mkdir((root + name).c_str(), 0755) != 0) return false;
  const std::pair<const char*, const char*> links[] = {
      {"/box/tmp", "/tmp"},         {"/box/tmp", "/var/tmp"}, {"/box/shm", "/dev/shm"},
      {"/proc/self/fd", "/dev/fd"}, {"fd/0", "/dev/stdin"},   {"fd/1", "/dev/stdout"},
      {"fd/2", "/dev/stderr"}};
  for (const auto& [target, name] : links)
    if (symlink(target, (root + name).c_str()) != 0) return false;
  return true;
}

}  // namespace

std::string place_in_view(const std::string& path) {
  for (const char* taken : {"/tmp/", "/var/tmp/", "/dev/shm/", "/box/", "/proc/"})
    if (path.rfind(taken, 0) == 0) return "/host" + path;
  return path;
}

Stage enter_view(const SlotPlan& plan) {
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return Stage::mount_namespace;
  if (mount("proctor", kNewRoot, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m") != 0)
    return Stage::root_view;
  if (!make_skeleton()) return Stage::root_view;
  for (const char* tree : kSystemTrees)
    if (!show(tree, kReadOnly | kNoSuid | kNoDev)) return Stage::root_view;
  for (const auto& tree : plan.trees)
    if (!show(tree, kReadOnly | kNoSuid | kNoDev)) return Stage::root_view;
  if (!hide(plan)) return Stage::root_view;
  for (const char* device : kDevices)
    if (!show(device, kNoSuid)) return Stage::root_view;
  if (!write_files_of_our_own()) return Stage::root_view;
  // The kernel lets an unprivileged user namespace mount a proc only while one is in view. Every
  // run's own proc is stacked on this one; between runs there is no guest to look at it.
  if (plan.world == World::userns && mount("/proc", (std::string(kNewRoot) + "/proc").c_str(),
                                           nullptr, MS_BIND | MS_REC, nullptr) != 0)
    return Stage::root_view;

  if (chdir(kNewRoot) != 0 || syscall(SYS_pivot_root, ".", ".") != 0 ||
      umount2(".", MNT_DETACH) != 0 || chdir("/") != 0)
    return Stage::pivot;
  if (mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV,
            nullptr) != 0)
    return Stage::root_view;
  return Stage::none;
}

namespace {
constexpr std::array kBoxDirectories = {"/work", "/tmp", "/shm", "/code"};
}

bool make_box_directories(const std::string& box, std::uint32_t owner) {
  for (const char* name : kBoxDirectories) {
    const std::string path = box + name;
    if (mkdir(path.c_str(), 0700) != 0) return false;
    if (owner != 0 && chown(path.c_str(), owner, owner) != 0) return false;
  }
  return true;
}

namespace {
std::string box_options(std::int64_t bytes, std::int64_t inodes) {
  // Four directories and the root are ours.
  return "mode=0755,size=" + std::to_string(bytes) + ",nr_inodes=" + std::to_string(inodes + 5);
}
}  // namespace

bool mount_box(std::int64_t bytes, std::int64_t inodes, std::uint32_t owner) {
  return mount("box", kBox, "tmpfs", MS_NOSUID | MS_NODEV, box_options(bytes, inodes).c_str()) ==
             0 &&
         make_box_directories(kBox, owner);
}

int cover_box(std::int64_t bytes, std::int64_t inodes, std::uint32_t owner) {
  constexpr unsigned kClone = 1;   // OPEN_TREE_CLONE
  constexpr unsigned kItself = 4;  // MOVE_MOUNT_F_EMPTY_PATH
  if (!mount_box(bytes, inodes, owner)) return -1;
  OwnedFd box(open(kBox, O_DIRECTORY | O_RDONLY | O_CLOEXEC));
  std::array<OwnedFd, kBoxDirectories.size()> trees;
  for (std::size_t i = 0; i < trees.size(); ++i) {
    const std::string directory = std::string(kBox) + kBoxDirectories[i];
    trees[i] = OwnedFd(static_cast<int>(
        syscall(SYS_open_tree, AT_FDCWD, directory.c_str(), kClone | unsigned{O_CLOEXEC})));
    if (!trees[i]) return -1;
  }
  if (!box || umount2(kBox, MNT_DETACH) != 0) return -1;
  for (std::size_t i = 0; i < trees.size(); ++i) {
    const std::string directory = std::string(kBox) + kBoxDirectories[i];
    if (syscall(SYS_move_mount, trees[i].get(), "", AT_FDCWD, directory.c_str(), kItself) != 0)
      return -1;
  }
  return dup(box.get());
}

bool resize_box(std::int64_t bytes, std::int64_t inodes) {
  return mount(nullptr, kBox, nullptr, MS_REMOUNT | MS_NOSUID | MS_NODEV,
               box_options(bytes, inodes).c_str()) == 0;
}

}  // namespace proctor
