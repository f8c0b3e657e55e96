# What lies outside of namespaces: sockets with a path, other processes' limits, ipc objects, devices,
# modes of files. Arguments: a socket's path, a file of the same user, the pid of a process.
import os, resource, socket, sys
from attack import attempt, escaped, libc
path, file, victim = sys.argv[1], sys.argv[2], int(sys.argv[3])
def connect():
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    return True
def send():
    socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b"x", path + "-datagrams")
    return True
def watch():
    return libc.inotify_add_watch(libc.inotify_init1(0), os.path.dirname(file).encode(), 0xfff)
attempt(46, "socket", connect)
attempt(46, "datagrams", send)
attempt(93, "watching", watch)
attempt(59, "limits", lambda: resource.prlimit(victim, resource.RLIMIT_NOFILE, (3, 3)))
attempt(60, "priority", lambda: libc.setpriority(0, victim, 19) == 0)
attempt(60, "scheduler", lambda: os.sched_setscheduler(victim, os.SCHED_IDLE, os.sched_param(0)) or True)
attempt(22, "signal", lambda: os.kill(victim, 0) or True)
attempt(24, "mode", lambda: os.chmod(file, 0o4777) or True)
attempt(24, "times", lambda: os.utime(file, (1, 1)) or True)
attempt(70, "set-id by open", lambda: os.open("mine", os.O_CREAT | os.O_WRONLY, 0o4755))
attempt(101, "shared memory of another run", lambda: libc.shmget(0x4242, 4096, 0))
if libc.shmget(0x4242, 4096, 0o1666) >= 0 and not os.path.exists("/proc/1"):
    escaped(7, "shared memory without an ipc namespace")
for device in ["/dev/tty", "/dev/ptmx", "/dev/kmsg", "/dev/fuse"] + ["/dev/pts/%d" % i for i in range(20)]:
    attempt(35, device, lambda: os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
a, b = socket.socketpair()
a.send(b"x")
assert b.recv(1) == b"x" and os.open("/dev/urandom", os.O_RDONLY) >= 0
print("done")
