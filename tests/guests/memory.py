# argv: the number of an attack and a count of bytes. Memory by roads that no process's own size shows:
# more than that must not be had.
import ctypes, fcntl, mmap, os, socket, sys, threading, time, zlib
from attack import escaped, libc
number, most = int(sys.argv[1]), int(sys.argv[2])
MiB = 1 << 20
keep = []


def folders():  # 05: every folder that might be writable
    for folder in (".", "/tmp", "/dev/shm", "/var/tmp", "/run", "/", "/home", "/dev", "/var", os.environ["TMPDIR"]):
        for name in range(1000):
            try:
                with open("%s/fill%d" % (folder, name), "wb") as file:
                    yield file.write(bytes(4 * MiB))
            except OSError:
                break


def of_other_threads():  # 03: those of a process whose first thread has ended
    had = 0

    def go():
        nonlocal had
        while had <= most:
            time.sleep(0.005)
            keep.append(b"x" * 4 * MiB)
            had += 4 * MiB
        escaped(3, had, "bytes behind a thread that has ended")
        os._exit(0)

    threading.Thread(target=go).start()
    libc.syscall(60, 0)
    yield 0


def shared():  # 06: a page of it stays mapped
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
    libc.munmap.argtypes, libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_size_t], [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    for flags, fd in ((mmap.MAP_SHARED | mmap.MAP_ANONYMOUS, -1), (mmap.MAP_SHARED, os.open("/dev/zero", os.O_RDWR))):
        while True:
            at = libc.mmap(None, 8 * MiB, mmap.PROT_READ | mmap.PROT_WRITE, flags, fd, 0)
            if at == 2 ** 64 - 1:
                break
            libc.memset(at, 1, 8 * MiB)
            libc.munmap(at, 8 * MiB - 4096)
            yield 8 * MiB


def memfds():  # 06
    while True:
        keep.append(os.memfd_create("x"))
        yield os.write(keep[-1], bytes(8 * MiB))


def segments():  # 07
    libc.shmat.restype = libc.memset.restype = __import__("ctypes").c_void_p
    libc.shmdt.argtypes, libc.memset.argtypes = [libc.shmat.restype], [libc.shmat.restype, __import__("ctypes").c_int, __import__("ctypes").c_size_t]
    while True:
        segment = libc.shmget(0, 8 * MiB, 0o1600)
        if segment < 0:
            return
        at = libc.shmat(segment, None, 0)
        libc.memset(at, 1, 8 * MiB)
        libc.shmdt(at)
        yield 8 * MiB


def pipes():  # 08
    while True:
        reader, writer = os.pipe()
        keep.extend((reader, writer))
        try:
            fcntl.fcntl(writer, 1031, MiB)  # F_SETPIPE_SZ
        except OSError:
            pass
        os.set_blocking(writer, False)
        try:
            while True:
                yield os.write(writer, bytes(65536))
        except BlockingIOError:
            pass


def sockets():  # 71
    while True:
        pair = socket.socketpair()
        keep.append(pair)
        pair[0].setblocking(False)
        try:
            while True:
                yield pair[0].send(bytes(65536))
        except BlockingIOError:
            pass


def not_accepted():  # 71: connections whose other ends nobody has, each with a buffer
    listeners = []
    for family, address in ((socket.AF_UNIX, "\0x"), (socket.AF_INET, ("127.0.0.1", 8080))):
        listeners.append(socket.socket(family))
        listeners[-1].bind(address)
        listeners[-1].listen(1000)
        for _ in range(900):
            with socket.socket(family) as client:
                client.connect(address)
                client.setblocking(False)
                sent = 0
                try:
                    while True:
                        sent += client.send(bytes(65536))
                except BlockingIOError:
                    pass
            yield sent


def descriptors_in_flight():  # 71: files that no table shows, each with a buffer
    one, other = socket.socketpair()
    one.setblocking(False)
    while True:
        pair = socket.socketpair()
        pair[0].setblocking(False)
        sent = 0
        try:
            while True:
                sent += pair[0].send(bytes(65536))
        except BlockingIOError:
            pass
        socket.send_fds(one, [b"x"], [pair[0].fileno(), pair[1].fileno()])
        yield sent


def page_tables():  # 74: one page of zeros a table
    while True:
        area = mmap.mmap(-1, 1 << 36, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)
        keep.append(area)
        for at in range(0, 1 << 36, 2 * MiB):
            area[at]
            yield 4096


def bomb():  # 80: what an uploaded archive becomes
    packed = zlib.compress(bytes(64 * MiB), 9)
    while True:
        keep.append(zlib.decompress(packed))
        yield 64 * MiB


roads = {3: [of_other_threads], 5: [folders], 6: [memfds, shared], 7: [segments], 8: [pipes], 71: [sockets, not_accepted, descriptors_in_flight], 74: [page_tables], 80: [bomb]}
for road in roads[number]:
    had = 0
    try:
        for got in road():
            had += got
            if had > most:
                escaped(number, had, "bytes by", road.__name__)
                break
    except (OSError, MemoryError) as error:
        print("refused after", had, error, flush=True)
    keep.clear()
print("done")
