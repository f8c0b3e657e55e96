# What the guests share; lies beside each of them. Whatever worked that must not is one line
# `escaped: NUMBER WHAT`; the numbers are those of README.md.
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
try:
    has_proc = bool(os.listdir("/proc"))
except OSError:  # no proc of its own in the reduced world
    has_proc = False


def escaped(number, *what):
    print("escaped: %02d" % number, *what, flush=True)


def attempt(number, what, action):
    """Refused is what raises, answers -1, or has nothing to show (None, False)."""
    try:
        result = action()
    except (OSError, MemoryError, ValueError):
        return
    if result is not None and result is not False and result != -1:
        escaped(number, what, result)


def system_call(*arguments):
    ctypes.set_errno(0)
    return libc.syscall(*[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])


def call(number, what, *arguments):
    """Must be refused by the filter whatever its arguments, not for want of good ones."""
    result = system_call(*arguments)
    if result >= 0:
        escaped(number, what, "answers", result)
    elif ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS, errno.EAFNOSUPPORT):
        escaped(number, what, "is refused by luck:", errno.errorcode.get(ctypes.get_errno()))


def in_child(action):
    """How a child ends that does this: as waitpid has it."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
        finally:
            os._exit(0)
    return os.waitpid(pid, 0)[1]
