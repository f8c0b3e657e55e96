# Privileges, descriptors, environment, signals to others.
import os, signal, resource
from attack import attempt, escaped, libc
try:
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
except OSError:  # no proc of its own in the reduced world
    status = {}
def expect(number, name, want):
    if name in status and status[name].strip() != want:
        escaped(number, name, status[name].strip())
expect(41, "NoNewPrivs", "1")
if libc.prctl(21, 0, 0, 0, 0) != 2:
    escaped(42, "no filter")
for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
    expect(41, name, "0" * 16)
if os.getuid() == 0 or os.geteuid() == 0 or os.getgid() == 0:
    escaped(41, "root inside")
for change in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0]), lambda: os.setresuid(0, 0, 0)):
    attempt(41, "identity changed", lambda: change() or True)
for fd in range(3, 4096):
    try:
        os.fstat(fd)
        escaped(61, "descriptor", fd, os.readlink("/proc/self/fd/%d" % fd))
    except OSError:
        pass
for name in os.environ:
    if name not in {"PATH", "HOME", "TMPDIR", "LANG", "LC_CTYPE", "USER", "PYTHONHASHSEED", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MPLBACKEND", "NODE_PATH"}:
        escaped(62, "environment", name)
for number in (resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE, resource.RLIMIT_CPU):
    soft, hard = resource.getrlimit(number)
    attempt(59, "limit raised", lambda: resource.setrlimit(number, (hard + 1, hard + 1)) or True)
for raised in (lambda: os.nice(-5), lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))):
    attempt(60, "priority raised", lambda: raised() or True)
try:
    os.kill(1, signal.SIGKILL)
except OSError:
    pass
try:
    os.kill(os.getppid() or 1, signal.SIGKILL)
except OSError:
    pass
attempt(66, "SIGXFSZ feigned", lambda: os.kill(os.getpid(), signal.SIGXFSZ) or True)
print("done")
