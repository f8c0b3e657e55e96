// Files in and out. A guest may have left links, fifos, devices or endless names behind: every step
// is taken below a directory descriptor, with links refused by the kernel, without blocking, and
// nothing is mapped into memory. Files are read only after the tree is dead.
#include "sandbox/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

namespace proctor {
namespace {

int open_beneath(int directory, const std::string& name, std::uint64_t flags, mode_t mode = 0) {
  open_how how{};
  how.flags = flags | O_CLOEXEC | O_NOFOLLOW;
  if (!(flags & O_PATH)) how.flags |= O_NONBLOCK;
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(syscall(SYS_openat2, directory, name.c_str(), &how, sizeof how));
}

std::string why(const std::string& name, const char* step) {
  return "'" + name + "': " + step + ": " + std::strerror(errno);
}

bool same_file(const struct stat& one, const struct stat& other) {
  return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

// Removes what can be removed at once; gives the names of the folders that are left.
std::vector<std::string> remove_files(int directory) {
  std::vector<std::string> left;
  const int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* stream = copy < 0 ? nullptr : fdopendir(copy);
  if (!stream) {
    if (copy >= 0) close(copy);
    return left;
  }
  while (const dirent* entry = readdir(stream)) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (unlinkat(directory, name.c_str(), 0) != 0 &&
        unlinkat(directory, name.c_str(), AT_REMOVEDIR) != 0)
      left.push_back(name);
  }
  closedir(stream);
  return left;
}

// A guest's tree may be deeper than our stack or our table of open files: one folder is open at a
// time, and the way back leads through "..", which must be where we came from.
void remove_entries(OwnedFd at) {
  struct Level {
    struct stat itself{};
    std::vector<std::string> folders;  // still to be emptied; the last is being emptied
  };
  std::vector<Level> levels(1);
  if (fstat(at.get(), &levels[0].itself) != 0) return;
  levels[0].folders = remove_files(at.get());
  for (;;) {
    if (!levels.back().folders.empty()) {
      OwnedFd below(open_locked_directory(at.get(), levels.back().folders.back()));
      Level level;
      if (!below || fstat(below.get(), &level.itself) != 0) {
        levels.back().folders.pop_back();
        continue;
      }
      level.folders = remove_files(below.get());
      levels.push_back(std::move(level));
      at = std::move(below);
      continue;
    }
    levels.pop_back();
    if (levels.empty()) return;
    OwnedFd above(openat(at.get(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct stat found{};
    if (!above || fstat(above.get(), &found) != 0 || !same_file(found, levels.back().itself))
      return;
    at = std::move(above);
    (void)unlinkat(at.get(), levels.back().folders.back().c_str(), AT_REMOVEDIR);
    levels.back().folders.pop_back();
  }
}

}  // namespace

Status check_file_name(std::string_view name) {
  const auto refuse = [&](const char* what) {
    return bad_input("file name '" + std::string(name) + "' " + what);
  };
  if (name.empty()) return bad_input("a file name is empty");
  if (name.size() > 1024) return bad_input("a file name is longer than 1024 bytes");
  if (name.find('\0') != std::string_view::npos) return bad_input("a file name holds a NUL byte");
  if (name.front() == '/') return refuse("is absolute: names are relative to the workspace");
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find('/', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    if (part == "..") return refuse("leads out of the workspace");
    if (part.empty() || part == ".") return refuse("has an empty part");
    begin = end + 1;
  }
  return {};
}

Status put_file(int directory, const std::string& name, std::string_view bytes, std::uint32_t owner,
                bool executable) {
  if (auto checked = check_file_name(name); !checked) return checked;
  for (std::size_t slash = name.find('/'); slash != std::string::npos;
       slash = name.find('/', slash + 1)) {
    const std::string parent = name.substr(0, slash);
    if (mkdirat(directory, parent.c_str(), 0755) != 0) {
      if (errno == EEXIST) continue;
      return bad_input("file " + why(name, "cannot make its directory"));
    }
    if (owner != 0) (void)!fchownat(directory, parent.c_str(), owner, owner, AT_SYMLINK_NOFOLLOW);
  }
  const OwnedFd file(open_beneath(directory, name, O_WRONLY | O_CREAT | O_TRUNC, 0600));
  if (!file) return bad_input("file " + why(name, "cannot write"));
  while (!bytes.empty()) {
    const ssize_t written = write(file.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return bad_input("file " + why(name, "cannot write"));
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  (void)fchmod(file.get(), executable ? 0755 : 0644);
  if (owner != 0 && fchown(file.get(), owner, owner) != 0)
    return internal_error("file " + why(name, "cannot give away"));
  return {};
}

ActAs::ActAs(std::uint32_t uid) : acts_(uid != 0) {
  if (!acts_) return;
  (void)syscall(SYS_setfsgid, uid);
  (void)syscall(SYS_setfsuid, uid);
}
ActAs::~ActAs() {
  if (!acts_) return;
  (void)syscall(SYS_setfsuid, geteuid());
  (void)syscall(SYS_setfsgid, getegid());
}

Result<std::string> get_file(int directory, const std::string& name, std::int64_t most) {
  if (auto checked = check_file_name(name); !checked) return std::move(checked).error();
  const OwnedFd file(open_beneath(directory, name, O_RDONLY));
  if (!file) {
    if (errno == ELOOP) return bad_input("file '" + name + "': is or lies behind a link");
    return bad_input("file " + why(name, "cannot read"));
  }
  struct stat found{};
  if (fstat(file.get(), &found) != 0) return bad_input("file " + why(name, "cannot read"));
  if (!S_ISREG(found.st_mode)) return bad_input("file '" + name + "': not a regular file");
  if (found.st_size > most)
    return bad_input("file '" + name + "': larger than " + std::to_string(most) + " bytes");
  std::string bytes(static_cast<std::size_t>(found.st_size), '\0');
  std::size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t n = read(file.get(), bytes.data() + have, bytes.size() - have);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    have += static_cast<std::size_t>(n);
  }
  bytes.resize(have);
  return bytes;
}

Result<OwnedFd> sealed_memory(std::string_view bytes, const char* name) {
  OwnedFd fd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  const auto fail = [&] {
    return internal_error(std::string("sandbox: memfd: ") + std::strerror(errno));
  };
  if (!fd) return fail();
  while (!bytes.empty()) {
    const ssize_t written = write(fd.get(), bytes.data(), bytes.size());
    if (written <= 0) return fail();
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  if (lseek(fd.get(), 0, SEEK_SET) != 0) return fail();
  (void)fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  return fd;
}

void remove_below(const std::string& directory) {
  OwnedFd top(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (top) remove_entries(std::move(top));
}

int open_directory(int directory, const std::string& name) {
  return open_beneath(directory, name, O_RDONLY | O_DIRECTORY);
}

int open_locked_directory(int directory, const std::string& name) {
  const OwnedFd found(open_beneath(directory, name, O_PATH | O_DIRECTORY));
  if (!found) return -1;
  const std::string itself = "/proc/self/fd/" + std::to_string(found.get());
  (void)chmod(itself.c_str(), 0700);
  return openat(found.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

namespace {

Status copy_file(int from, const std::string& name, int to, const struct stat& found,
                 std::uint32_t owner) {
  const OwnedFd source(open_beneath(from, name, O_RDONLY));
  const OwnedFd target(open_beneath(to, name, O_WRONLY | O_CREAT | O_EXCL, 0600));
  const auto fail = [&] { return internal_error("file " + why(name, "cannot copy")); };
  if (!source || !target) return fail();
  static char buffer[1 << 16];
  // A hole stays one.
  for (off_t at = 0; (at = lseek(source.get(), at, SEEK_DATA)) >= 0;) {
    const off_t end = lseek(source.get(), at, SEEK_HOLE);
    while (at < end) {
      const auto most = std::min<off_t>(sizeof buffer, end - at);
      const ssize_t n = pread(source.get(), buffer, static_cast<std::size_t>(most), at);
      if (n <= 0) break;
      if (pwrite(target.get(), buffer, static_cast<std::size_t>(n), at) != n) return fail();
      at += n;
    }
    if (at < end) break;
  }
  if (ftruncate(target.get(), found.st_size) != 0) return fail();
  if (owner != 0 && fchown(target.get(), owner, owner) != 0) return fail();
  const timespec times[2] = {found.st_atim, found.st_mtim};
  (void)futimens(target.get(), times);
  return fchmod(target.get(), found.st_mode & 0777) == 0 ? Status() : fail();
}

// One entry of a folder that is no folder itself. Sockets and devices have no copy.
Status copy_entry(int from, const std::string& name, int to, const struct stat& found,
                  std::uint32_t owner) {
  if (S_ISREG(found.st_mode)) return copy_file(from, name, to, found, owner);
  bool made = true;
  if (S_ISLNK(found.st_mode)) {
    char link[4096];
    const ssize_t size = readlinkat(from, name.c_str(), link, sizeof link - 1);
    if (size >= 0) link[size] = 0;
    made = size >= 0 && symlinkat(link, to, name.c_str()) == 0;
  } else if (S_ISFIFO(found.st_mode)) {
    made = mkfifoat(to, name.c_str(), found.st_mode & 0777) == 0;
  } else {
    return {};
  }
  if (made && owner != 0) made = fchownat(to, name.c_str(), owner, owner, AT_SYMLINK_NOFOLLOW) == 0;
  return made ? Status() : internal_error(why(name, "cannot copy"));
}

}  // namespace

std::vector<std::string> names_in(int directory) {
  constexpr std::size_t kMost = 4096;
  std::vector<std::string> names;
  const int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* entries = copy < 0 ? nullptr : fdopendir(copy);
  if (!entries) return names;
  while (const dirent* entry = names.size() < kMost ? readdir(entries) : nullptr) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  closedir(entries);
  return names;
}

Status copy_below(int from, int to, std::uint32_t owner) {
  std::vector<std::pair<std::string, mode_t>> folders = {{".", 0755}};
  for (std::size_t i = 0; i < folders.size(); ++i) {
    const std::string folder = folders[i].first;
    const OwnedFd source(open_directory(from, folder)), target(open_directory(to, folder));
    if (!source || !target) return internal_error("folder " + why(folder, "cannot copy"));
    const int copy = openat(source.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR* entries = copy < 0 ? nullptr : fdopendir(copy);
    if (!entries) return internal_error("folder " + why(folder, "cannot copy"));
    const std::unique_ptr<DIR, int (*)(DIR*)> closing(entries, closedir);
    while (const dirent* entry = readdir(entries)) {
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      struct stat found{};
      if (fstatat(source.get(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) continue;
      if (!S_ISDIR(found.st_mode)) {
        if (auto copied = copy_entry(source.get(), name, target.get(), found, owner); !copied)
          return copied;
        continue;
      }
      if (mkdirat(target.get(), name.c_str(), 0700) != 0 && errno != EEXIST)
        return internal_error("folder " + why(name, "cannot copy"));
      if (owner != 0) (void)fchownat(target.get(), name.c_str(), owner, owner, AT_SYMLINK_NOFOLLOW);
      folders.emplace_back(folder == "." ? name : folder + "/" + name, found.st_mode & 0777);
    }
  }
  // At last, lest one that cannot be written is in its own way.
  for (auto folder = folders.rbegin(); folder + 1 != folders.rend(); ++folder)
    if (const OwnedFd target(open_directory(to, folder->first)); target)
      (void)fchmod(target.get(), folder->second);
  return {};
}

std::vector<pid_t> processes() {
  std::vector<pid_t> found;
  DIR* proc = opendir("/proc");
  if (!proc) return found;
  while (const dirent* entry = readdir(proc))
    if (const pid_t pid = std::atoi(entry->d_name); pid > 0) found.push_back(pid);
  closedir(proc);
  return found;
}

bool share_pid_namespace(pid_t one, pid_t other) {
  struct stat spaces[2] = {};
  for (int i = 0; i < 2; ++i) {
    const std::string link = "/proc/" + std::to_string(i == 0 ? one : other) + "/ns/pid";
    if (stat(link.c_str(), &spaces[i]) != 0) return false;
  }
  return same_file(spaces[0], spaces[1]);
}

bool anybody_lives_as(std::uint32_t uid) {
  const auto all = processes();
  for (const pid_t pid : all) {
    char path[64], text[1024];
    std::snprintf(path, sizeof path, "/proc/%d/status", pid);
    const OwnedFd file(open(path, O_RDONLY | O_CLOEXEC));
    const ssize_t n = file ? read(file.get(), text, sizeof text - 1) : -1;
    if (n <= 0) continue;
    text[n] = 0;
    const char* state = std::strstr(text, "\nState:\t");
    const char* owner = std::strstr(text, "\nUid:\t");
    if (!state || !owner || state[8] == 'Z' || state[8] == 'X') continue;
    if (std::strtoul(owner + 6, nullptr, 10) == uid) return true;
  }
  return all.empty();
}

pid_t parent_of(pid_t pid) {
  char path[64], text[512];
  std::snprintf(path, sizeof path, "/proc/%d/stat", pid);
  const OwnedFd file(open(path, O_RDONLY | O_CLOEXEC));
  if (!file) return 0;
  const ssize_t n = read(file.get(), text, sizeof text - 1);
  if (n <= 0) return 0;
  text[n] = 0;
  const char* after_name = std::strrchr(text, ')');  // the name itself may hold spaces and brackets
  int parent = 0;
  if (!after_name || std::sscanf(after_name + 1, " %*c %d", &parent) != 1) return 0;
  return parent;
}

}  // namespace proctor
