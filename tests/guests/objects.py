# Things of the kernel's that are neither memory nor processes of ours by the look of them: each has an end.
import ctypes, mmap, os, resource
from attack import attempt, call, escaped, libc, system_call
libc.mmap.restype, libc.mmap.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
FIXED, HUGETLB = 0x10, 0x40000


def until_refused(number, what, make, most):
    made = 0
    try:
        while made <= most:
            result = make()
            if result is None or result == -1:
                break
            made += 1
    except OSError:
        pass
    for fd in range(3, 1024):
        try:
            os.close(fd)
        except OSError:
            pass
    if made > most:
        escaped(number, what, made)


files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
until_refused(9, "open files", lambda: os.open("/dev/null", os.O_RDONLY), files)
until_refused(73, "epoll", lambda: libc.epoll_create1(0), files)
until_refused(73, "eventfd", lambda: libc.eventfd(0, 0), files)
until_refused(73, "inotify", lambda: libc.inotify_init1(0), files)
until_refused(73, "signalfd", lambda: libc.signalfd(-1, ctypes.create_string_buffer(128), 0), files)
until_refused(73, "timerfd", lambda: libc.timerfd_create(1, 0), files)
timer = ctypes.create_string_buffer(8)
until_refused(73, "timers", lambda: system_call(222, 1, 0, timer), 1100)
libc.sigqueue.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p]
libc.sigprocmask(0, b"\xff" * 128, None)
until_refused(73, "queued signals", lambda: libc.sigqueue(os.getpid(), 40, None), 1100)

# 75: no memory that is never given back, and none from the host's own pool of huge pages.
area = mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
at = ctypes.addressof(ctypes.c_char.from_buffer(area))
attempt(75, "mlock", lambda: system_call(149, at, 64 << 20))
attempt(75, "mlockall", lambda: libc.mlockall(3))
ANONYMOUS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
call(75, "huge pages", 9, 0, 2 << 20, 3, ANONYMOUS | HUGETLB, -1, 0)
call(75, "huge pages of 1 GiB", 9, 0, 1 << 30, 3, ANONYMOUS | HUGETLB | 30 << 26, -1, 0)
call(75, "a file of huge pages", 319, b"x", 4)
if system_call(29, 0, 4096, 0o1600) >= 0:
    call(75, "a segment of huge pages", 29, 0, 2 << 20, 0o5600)

# 106: nothing lies at zero, where the kernel's own null pointers would lead.
NO_MAP = 2 ** 64 - 1
if libc.mmap(None, 4096, 7, ANONYMOUS | FIXED, -1, 0) != NO_MAP:
    escaped(106, "a page at zero")
if libc.mmap(None, 1 << 47, 3, ANONYMOUS, -1, 0) != NO_MAP:
    escaped(106, "the whole address space")

# 76: words that are too many, and scripts that name one another.
for what, words in (("a long word", ["x" * (8 << 20)]), ("many words", ["x" * 1000] * 10000)):
    attempt(76, what, lambda: os.execv("/bin/true", words))
for name in "ab":
    fd = os.open(name + ".run", os.O_CREAT | os.O_WRONLY, 0o755)
    os.write(fd, b"#!%s/%s.run\n" % (os.getcwd().encode(), b"a" if name == "b" else b"b"))
    os.close(fd)
attempt(76, "scripts in a circle", lambda: os.execv("./a.run", ["a"]))
print("done")
