# The run's own processes, its init, and whoever started it.
import ctypes, os, signal, socket, struct, time
from attack import attempt, call, escaped, has_proc, in_child, libc, system_call

above = [pid for pid in {1, os.getppid()} if pid > 0 and pid != os.getpid()]
pids = [int(name) for name in os.listdir("/proc") if name.isdigit()] if has_proc else above
for pid in pids:
    if pid == os.getpid():
        continue
    for number, name in ((28, "root"), (28, "cwd"), (84, "exe")):
        attempt(number, "/proc/%d/%s" % (pid, name), lambda: os.stat("/proc/%d/%s" % (pid, name)))
    for name in ("mem", "maps", "environ", "auxv", "fd/0"):
        attempt(29, "/proc/%d/%s" % (pid, name), lambda: os.read(os.open("/proc/%d/%s" % (pid, name), os.O_RDONLY), 1) or None)
    attempt(28, "descriptors of %d" % pid, lambda: os.listdir("/proc/%d/fd" % pid) or None)
    attempt(30, "PTRACE_SEIZE", lambda: libc.ptrace(0x4206, pid, 0, 0) == 0)
for pid in above:
    attempt(59, "limits of %d" % pid, lambda: libc.prlimit(pid, 7, ctypes.create_string_buffer(16), None) == 0)
    attempt(32, "pidfd_getfd", lambda: system_call(438, os.pidfd_open(pid), 0, 0))

for path in ("/proc/self/oom_score_adj", "/proc/thread-self/oom_score_adj", "/proc/self/oom_adj"):
    attempt(60, path, lambda: os.write(os.open(path, os.O_WRONLY), b"-17"))
attempt(60, "io priority", lambda: system_call(251, 1, 0, 1 << 13) == 0)

# 81: nothing is shared with the zygote that could be written.
if has_proc:
    for line in open("/proc/self/maps"):
        if line.split()[1][1] == "w" and line.split()[1][3] == "s":
            escaped(81, line.strip())
for path in ("/proctor/child.so", "/box/../proctor/child.so", "../../child.so"):
    attempt(81, path, lambda: os.open(path, os.O_RDWR))

# 84: the program that is running, overwritten.
for path in ("/proc/self/exe", "/proc/1/exe", "/proc/%d/exe" % os.getppid()):
    for flags in (os.O_WRONLY, os.O_WRONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND):
        attempt(84, path, lambda: os.open(path, flags))

# 87: what would change who is traced, dumped or killed.
DUMPABLE, KEEPCAPS, SECUREBITS, MM, SUBREAPER, PTRACER = 4, 8, 28, 35, 36, 0x59616d61
for what, option, value in (("DUMPABLE", DUMPABLE, 0), ("KEEPCAPS", KEEPCAPS, 1), ("SECUREBITS", SECUREBITS, 1), ("MM", MM, 1), ("CHILD_SUBREAPER", SUBREAPER, 1), ("PTRACER", PTRACER, 2 ** 64 - 1), ("UNALIGN", 6, 1), ("TSC", 26, 2), ("CAP_AMBIENT", 47, 2), ("IO_FLUSHER", 57, 1)):
    call(87, "PR_SET_" + what, 157, option, value, 0, 0, 0)

# 100: who one is on a socket is what the kernel says.
one, other = socket.socketpair()
other.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
for pid, uid in ((1, os.getuid()), (os.getpid(), 0), (os.getpid(), os.getuid() + 1)):
    if pid == os.getpid() and uid == os.getuid():
        continue
    attempt(100, "credentials of %d, %d" % (pid, uid), lambda: one.sendmsg([b"x"], [(socket.SOL_SOCKET, 2, struct.pack("3i", pid, uid, os.getgid()))]))

# 105: a frame that no signal made.
status = in_child(lambda: system_call(15))
if not os.WIFSIGNALED(status):
    escaped(105, "rt_sigreturn of junk ends with", status)

# 22: everybody at once, from a child of no use to us; whoever is left answers.
in_child(lambda: (os.setsid(), os.kill(-1, signal.SIGCONT)))
for pid in above:
    for number in (signal.SIGSTOP, signal.SIGKILL, signal.SIGTERM, signal.SIGCONT):
        try:
            os.kill(pid, number)
        except OSError:
            pass
signal.signal(signal.SIGTERM, signal.SIG_IGN)
try:
    os.kill(-1, signal.SIGTERM)
    os.kill(-1, signal.SIGKILL)
except OSError:
    pass
time.sleep(0.1)
print("done")
