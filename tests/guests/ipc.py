# Objects that outlive their maker: the next run, or a neighbour, must not find them. 101.
from attack import escaped, libc
KEY = 0x5151
for what, find, make in (
        ("a message queue", lambda: libc.msgget(KEY, 0), lambda: libc.msgget(KEY, 0o1666)),
        ("semaphores", lambda: libc.semget(KEY, 1, 0), lambda: libc.semget(KEY, 1, 0o1666)),
        ("shared memory", lambda: libc.shmget(KEY, 4096, 0), lambda: libc.shmget(KEY, 4096, 0o1666)),
        ("a posix queue", lambda: libc.mq_open(b"/left", 2), lambda: libc.mq_open(b"/left", 0o102, 0o666, None)),
        ("a posix segment", lambda: libc.shm_open(b"/left", 2, 0), lambda: libc.shm_open(b"/left", 0o102, 0o666)),
        ("a posix semaphore", lambda: 0 if libc.sem_open(b"/left", 0) else -1, lambda: 0 if libc.sem_open(b"/left", 0o100, 0o666, 1) else -1)):
    if find() >= 0:
        escaped(101, what, "of another run")
    print(what, "made" if make() >= 0 else "refused")
for path in ("/proc/sysvipc/shm", "/proc/sysvipc/msg", "/proc/sysvipc/sem"):
    try:
        lines = open(path).read().splitlines()[1:]
    except OSError:
        continue
    if len(lines) > 1:
        escaped(101, path, lines)
print("done")
