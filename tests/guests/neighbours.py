# What lies outside of namespaces: sockets with a path, other processes' limits, ipc objects, devices,
# modes of files. Arguments: a socket's path, a file of the same user, the pid of a process.
import ctypes, os, resource, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
path, file, victim = sys.argv[1], sys.argv[2], int(sys.argv[3])
def attempt(name, action):
    try:
        if action() not in (None, -1):
            print("escaped:", name)
    except OSError:
        pass
def connect():
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    return True
def send():
    socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b"x", path + "-datagrams")
    return True
def watch():
    return libc.inotify_add_watch(libc.inotify_init1(0), os.path.dirname(file).encode(), 0xfff)
attempt("socket", connect)
attempt("datagrams", send)
attempt("watching", watch)
attempt("limits", lambda: resource.prlimit(victim, resource.RLIMIT_NOFILE, (3, 3)))
attempt("priority", lambda: libc.setpriority(0, victim, 19))
attempt("scheduler", lambda: os.sched_setscheduler(victim, os.SCHED_IDLE, os.sched_param(0)) or True)
attempt("signal", lambda: os.kill(victim, 0) or True)
attempt("mode", lambda: os.chmod(file, 0o4777) or True)
attempt("times", lambda: os.utime(file, (1, 1)) or True)
attempt("set-id", lambda: os.open("mine", os.O_CREAT | os.O_WRONLY, 0o4755))
attempt("shared memory of another run", lambda: libc.shmget(0x4242, 4096, 0))
if libc.shmget(0x4242, 4096, 0o1666) >= 0 and not os.path.exists("/proc/1"):
    print("escaped: shared memory without an ipc namespace")
for device in ["/dev/tty", "/dev/ptmx", "/dev/kmsg", "/dev/fuse"] + ["/dev/pts/%d" % i for i in range(20)]:
    attempt(device, lambda: os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
a, b = socket.socketpair()
a.send(b"x")
assert b.recv(1) == b"x" and os.open("/dev/urandom", os.O_RDONLY) >= 0
print("done")
