# argv: a way to hold files, and how many MiB of them may be had. Files where a look at the workspace finds
# none, or late: 05.
import mmap, os, socket, sys, time
from attack import escaped, libc
way, most = sys.argv[1], int(sys.argv[2])
MiB = 1 << 20
block = os.urandom(MiB)
keep = []


def filled(path="f", flags=os.O_CREAT | os.O_RDWR):
    fd = os.open(path, flags, 0o600)
    for _ in range(4):
        os.write(fd, block)
    return fd


def named():
    os.close(filled("f%d" % len(os.listdir("."))))


def nameless():
    keep.append(filled(".", os.O_TMPFILE | os.O_RDWR))


def in_children():
    fd = filled()
    os.unlink("f")
    if os.fork() == 0:
        time.sleep(1000)
    os.close(fd)


def mapped():
    fd = filled()
    libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
    os.close(fd)
    os.unlink("f")


def in_messages():
    fd = filled()
    os.unlink("f")
    if not keep:
        keep.extend(socket.socketpair())
    socket.send_fds(keep[0], [b"x"], [fd])
    os.close(fd)


def locked():
    if not os.path.isdir("d"):
        os.mkdir("d", 0o300)
    os.close(filled("d/f%d" % time.monotonic_ns()))


def deep():
    os.mkdir("d" * 200)
    os.chdir("d" * 200)
    os.close(filled())


def moving():
    if not os.path.isdir("a"):
        os.mkdir("a"), os.mkdir("z")
        if os.fork() == 0:
            while True:
                for one, other in ("az", "za"):
                    for name in os.listdir(one):
                        os.rename(one + "/" + name, other + "/" + name)
    os.close(filled("a/f%d" % time.monotonic_ns()))


had = 0
try:
    while had <= most:
        globals()[way]()
        had += 4
    escaped(5, had, "MiB", way)
except OSError as error:
    print("refused after", had, "MiB", error)
print("done")
