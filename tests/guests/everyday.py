# What ordinary programs do; whatever is refused them must have an errno that they live with. 110.
# argv: the world; in the reduced one, what needs locks between processes, sockets or modes is told so.
import asyncio, concurrent.futures, contextlib, fcntl, glob, mmap, os, pathlib, selectors, shutil, signal, socket, sqlite3, ssl, subprocess, sys, tempfile, threading, time, zipfile
from attack import escaped
reduced = "reduced" in sys.argv


def expect(what, action, refused=None):
    try:
        action()
    except Exception as error:
        if not (refused and reduced and isinstance(error, refused)):
            escaped(110, what, repr(error))


def tree():
    pathlib.Path("a/b").mkdir(parents=True)
    pathlib.Path("a/b/c").write_text("x")
    shutil.copyfile("a/b/c", "e")
    shutil.move("a", "f")
    assert glob.glob("f/b/*")
    shutil.rmtree("f")


def temporary():
    with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile(dir=folder) as file:
        file.write(b"x" * 5000)
        file.flush()
        os.fsync(file.fileno())
        fcntl.flock(file, fcntl.LOCK_EX)
        assert mmap.mmap(file.fileno(), 0)[0] == 120
    with zipfile.ZipFile("z.zip", "w") as archive:
        archive.writestr("x", "y")


def database():
    with contextlib.closing(sqlite3.connect("db")) as base:
        base.execute("pragma journal_mode = wal")
        base.execute("create table t (x)")
        base.execute("insert into t values (1)")
        base.commit()


async def several():
    process = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    assert (await process.communicate(b"x"))[0] == b"x"
    await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.01) for _ in range(4)))


def processes():
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        assert list(pool.map(abs, [-1, -2])) == [1, 2]


def serve():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            client.sendall(b"x")
            assert server.accept()[0].recv(1) == b"x"


def signals():
    seen = []
    signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
    signal.raise_signal(signal.SIGUSR1)
    thread = threading.Thread(target=lambda: seen.append(2))
    thread.start()
    thread.join()
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(["sleep", "9"], timeout=0.05, check=False)
    assert seen == [1, 2]


expect("trees", tree)
expect("temporary files", temporary)
expect("a database", database)
expect("asyncio", lambda: asyncio.run(several()))
expect("a process pool", processes, OSError)
expect("a server", serve, OSError)
expect("modes", lambda: os.chmod("e", 0o700), PermissionError)
expect("selectors", lambda: selectors.DefaultSelector().select(0))
expect("tls", lambda: ssl.create_default_context())
expect("a shell", lambda: subprocess.run("ls | sort | head -1 && mkfifo p && (echo x >p & cat p)", shell=True, check=True, stdout=subprocess.DEVNULL))
expect("signals", signals)
print("done")
