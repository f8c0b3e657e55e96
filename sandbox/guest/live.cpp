// The guest's side of a live session: cell after cell over its channel, and its fork. Called by
// zygote.py, and by bash as a builtin of its own. What is here runs with the guest's rights, in
// memory that the guest may have changed: nothing the parent decides rests on it.
//
// A fork is two processes. The first, cloned into namespaces of its own, waits until the slot has
// given it a workspace and then becomes the init of the fork's pid namespace. Until then it runs in
// the session's own memory, on a stack beside it, while the session stands still, so that the page
// tables are copied once: for its child, the copy of the interpreter, which jumps back to where the
// session had left off.
#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "sandbox/child.h"
#include "sandbox/filter.h"
#include "sandbox/places.h"

namespace proctor::live {
namespace {

using wire::Kind;
using wire::Message;
using wire::Packet;

constexpr int kChannel = 3;
constexpr int kMostOpen = 1024;

Packet packet;

void tell(Kind kind, std::int64_t value) {
  Message message;
  message.kind = kind;
  message.value = value;
  (void)wire::send_message(kChannel, message);
}

// Waits for `go`; stdin is put on 0 and the limits are applied. The program's descriptor, -1 when
// the parent is gone, or -2 when the session is asked to fork.
int wait_for_cell(bool session) {
  for (;;) {
    if (wire::receive_message(kChannel, packet) <= 0) return -1;
    if (session && packet.message.kind == Kind::fork && packet.n_fds == 3) return -2;
    if (packet.message.kind == Kind::go && packet.n_fds == 2) break;
    packet.close_fds();
  }
  const int input = packet.take(0), program = packet.take(1);
  if (dup2(input, 0) < 0 || !child::apply_limits(packet.message)) return -1;
  close(input);
  if (!session) close(kChannel);
  return program;
}

// The code of a program ("SIZE SIZE ...\n", environment, arguments, code), as text of its own.
char* read_code(int program) {
  struct stat found{};
  if (fstat(program, &found) != 0) return nullptr;
  const auto size = static_cast<std::size_t>(found.st_size);
  auto* bytes = static_cast<char*>(std::malloc(size + 1));
  if (!bytes) return nullptr;
  std::size_t have = 0;
  for (ssize_t n; have < size && (n = read(program, bytes + have, size - have)) > 0;)
    have += static_cast<std::size_t>(n);
  bytes[have] = 0;
  const char* line = static_cast<const char*>(std::memchr(bytes, '\n', have));
  if (!line) line = bytes;
  const char* last = line;
  while (last > bytes && last[-1] != ' ') --last;
  const std::size_t code = std::strtoull(last, nullptr, 10);
  const std::size_t length = code < have ? code : have;
  std::memmove(bytes, bytes + have - length, length);
  bytes[length] = 0;
  return bytes;
}

// A descriptor shared with the other copy has one place in the file for both, and the file is the
// other's: the same file of our own workspace takes its number.
void open_own_files() {
  DIR* folder = opendir("/proc/self/fd");
  if (!folder) return;
  int numbers[kMostOpen];
  int n = 0;
  while (const dirent* entry = readdir(folder)) {
    const int fd = std::atoi(entry->d_name);
    if (fd > kChannel && fd != dirfd(folder) && n < kMostOpen) numbers[n++] = fd;
  }
  closedir(folder);
  for (int i = 0; i < n; ++i) {
    struct stat found{};
    if (fstat(numbers[i], &found) != 0 || (!S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode)))
      continue;
    char link[64], path[4096];
    std::snprintf(link, sizeof link, "/proc/self/fd/%d", numbers[i]);
    const ssize_t size = readlink(link, path, sizeof path - 1);
    if (size <= 0) continue;
    path[size] = 0;
    if (std::strncmp(path, "/box/", 5) != 0) continue;
    const int flags = fcntl(numbers[i], F_GETFL), on_exec = fcntl(numbers[i], F_GETFD);
    const off_t at = lseek(numbers[i], 0, SEEK_CUR);
    const int own = open(path, (flags & ~(O_CREAT | O_EXCL | O_TRUNC)) | O_CLOEXEC);
    if (own < 0) continue;
    if (at > 0) (void)lseek(own, at, SEEK_SET);
    (void)dup3(own, numbers[i], on_exec & FD_CLOEXEC ? O_CLOEXEC : 0);
    close(own);
  }
}

bool give_up_privileges() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  return syscall(SYS_capset, &header, none) == 0;
}

struct Fork {
  int channel, out, err;
  char directory[4096];
  void* session[5];  // where it stands still
};

// In the clone. The copy of the interpreter goes back to the session's own stack.
int become_fork(void* argument) {
  const auto& fork = *static_cast<const Fork*>(argument);
  tell(Kind::forked, 0);  // for the session
  if (dup3(fork.channel, kChannel, O_CLOEXEC) < 0) _exit(1);
  close(fork.channel);
  tell(Kind::forked, 0);
  do
    if (wire::receive_message(kChannel, packet) <= 0) _exit(1);
  while (packet.message.kind != Kind::go);
  packet.close_fds();
  if (chdir(fork.directory) != 0 && chdir("/box/work") != 0) _exit(1);
  open_own_files();
  if (dup2(fork.out, 1) < 0 || dup2(fork.err, 2) < 0) _exit(1);
  close(fork.out);
  close(fork.err);
  if (!give_up_privileges()) _exit(1);
  const pid_t session = ::fork();
  if (session < 0) _exit(1);
  if (session == 0) __builtin_longjmp(const_cast<void**>(fork.session), 1);
  (void)fcntl(kChannel, F_SETFD, 0);
  char number[16];
  std::snprintf(number, sizeof number, "%d", session);
  const char* arguments[] = {kInit, number, nullptr};
  const char* environment[] = {nullptr};
  execve(kInit, const_cast<char**>(arguments), const_cast<char**>(environment));
  _exit(1);
}

// 1 in the fork, 0 in the session that goes on; the parent is told how it went.
int fork_session() {
  static Fork fork;
  alignas(16) static char stack[256 << 10];
  if (!getcwd(fork.directory, sizeof fork.directory)) std::strcpy(fork.directory, "/box/work");
  fork.channel = packet.take(0), fork.out = packet.take(1), fork.err = packet.take(2);
  packet.close_fds();
  if (__builtin_setjmp(fork.session)) {
    (void)setsid();
    tell(Kind::forked, 0);
    return 1;
  }
  const int pid = clone(become_fork, stack + sizeof stack, kForkFlags | SIGCHLD, &fork);
  const int error = errno;
  close(fork.channel);
  close(fork.out);
  close(fork.err);
  pid < 0 ? tell(Kind::forked, error) : tell(Kind::resumed, 0);
  return 0;
}

}  // namespace
}  // namespace proctor::live

// What zygote.py calls through ctypes.
extern "C" {

int proctor_wait(int session) { return proctor::live::wait_for_cell(session != 0); }
int proctor_fork() { return proctor::live::fork_session(); }
void proctor_done(int raised) { proctor::live::tell(proctor::wire::Kind::done, raised); }

}  // extern "C"

// What bash loads: `proctor wait NAME` puts the next cell into a variable, `proctor last` is the
// status of the cell before, for its $?, and `proctor done STATUS` says that it is through. bash's
// own header files are not needed for so little.
extern "C" {

struct WordList {
  WordList* next;
  struct {
    char* word;
    int flags;
  }* word;
};
__attribute__((weak)) void* bind_variable(const char* name, char* value, int flags);

static int run_builtin(WordList* words) {
  using namespace proctor::live;
  static int last = 0;
  if (words && std::strcmp(words->word->word, "last") == 0) return last;
  if (!words || !words->next || !bind_variable) return 2;
  const char* argument = words->next->word->word;
  if (std::strcmp(words->word->word, "done") == 0) {
    last = std::atoi(argument);
    tell(Kind::done, last != 0);
    return 0;
  }
  int program;
  while ((program = wait_for_cell(true)) == -2) (void)fork_session();
  if (program < 0) return 1;
  char* text = read_code(program);
  close(program);
  if (!text) return 1;
  (void)bind_variable(argument, text, 0);
  std::free(text);
  return 0;
}

static char name[] = "proctor";
static char* const help[] = {nullptr};

__attribute__((visibility("default"))) extern struct {
  char* name;
  int (*function)(WordList*);
  int flags;
  char* const* long_doc;
  const char* short_doc;
  char* handle;
} proctor_struct;
decltype(proctor_struct) proctor_struct = {name, run_builtin, 1 /* enabled */, help, "", nullptr};

}  // extern "C"
