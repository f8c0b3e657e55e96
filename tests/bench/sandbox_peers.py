#!/usr/bin/env python3
"""The sandbox beside others, in the same minutes: bubblewrap and go-judge where they are installed, and
without isolation a bare fork+exec and a Python that forks. The ratios count, not the numbers.

    tests/bench/sandbox_peers.py build/release/proctor [--rounds 3] [--go-judge PATH]

Needs root for go-judge: go install github.com/criyle/go-judge/cmd/go-judge@v1.8.5; for bubblewrap: apt-get
install bubblewrap. A peer that is missing is named. All are asked by this Python: proctor (`exec --batch`)
through a pipe, go-judge through one connection of its HTTP interface, the others are started by it. Peers
take turns, a few executions each. Blind spot: proctor runs no program of the host's by name, so its
`true` is one of C, compiled before.
"""

import argparse
import collections
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

PYTHON = "/usr/bin/python3"
FLAGS = ["-std=gnu++20", "-O1"]
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
# name: what is printed, executions a round, two at once for so many seconds
CASES = {"true": ("", 150, 1.5), "print(1)": ("1\n", 60, 2), "g++ hello": ("hello\n", 4, 6)}
PATIENCE_S = 30


def hello():
    """A program that no cache has seen."""
    hello.made += 1
    return '#include <cstdio>\nint main() { std::puts("hello"); }\n// %d %d\n' % (os.getpid(), hello.made)


hello.made = 0


def spawned(command, folder=None):
    """The output of a command, started with vfork: nothing is faster from Python."""
    read, write = os.pipe()
    file_actions = [(os.POSIX_SPAWN_DUP2, write, 1)]
    if folder:
        command = ["/usr/bin/env", "-C", folder, *command]
    pid = os.posix_spawn(command[0], command, ENVIRONMENT, file_actions=file_actions)
    os.close(write)
    text = b""
    while part := os.read(read, 65536):
        text += part
    os.close(read)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return text.decode() if status == 0 else f"exit code {status}"


class Bare:
    """No isolation: fork and exec."""
    name, missing = "fork+exec", None

    def wrapped(self, command, _folder):
        return command

    def run(self, case):
        if case == "true":
            return spawned(self.wrapped(["/bin/true"], None))
        if case == "print(1)":
            return spawned(self.wrapped([PYTHON, "-c", "print(1)"], None))
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "main.cpp"), "w", encoding="ascii") as file:
                file.write(hello())
            return spawned(self.wrapped(["/usr/bin/g++", *FLAGS, "-o", "main", "main.cpp"], folder), folder) + \
                spawned(self.wrapped(["./main"], folder), folder)

    def close(self):
        pass


class Bubblewrap(Bare):
    name = "bubblewrap"
    program = shutil.which("bwrap")
    missing = None if program else "bubblewrap: apt-get install bubblewrap"

    def wrapped(self, command, folder):
        work = ["--bind", folder, "/box", "--chdir", "/box"] if folder else ["--chdir", "/tmp"]
        return [self.program, "--unshare-all", "--die-with-parent", "--new-session", "--ro-bind", "/usr", "/usr",
                "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
                "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", *work, *command]


class ForkServer:
    """No isolation: a warm Python that forks for every program."""
    name, missing = "fork server", None
    program = """
import os, struct, sys
while head := os.read(0, 4):
    code = os.read(0, struct.unpack('<I', head)[0])
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(w, 1); os.close(r)
        exec(compile(code, 'main.py', 'exec'), {'__name__': '__main__'})
        sys.stdout.flush(); os._exit(0)
    os.close(w)
    out = b''
    while part := os.read(r, 65536): out += part
    os.close(r); os.waitpid(pid, 0)
    os.write(1, struct.pack('<I', len(out)) + out)
"""

    def __init__(self):
        self.server = subprocess.Popen([PYTHON, "-I", "-c", self.program], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, bufsize=0)

    def run(self, case):
        if case != "print(1)":
            return None
        code = case.encode()
        self.server.stdin.write(len(code).to_bytes(4, "little") + code)
        answer = self.server.stdout.read(65536)
        return answer[4:].decode()

    def close(self):
        self.server.stdin.close()
        self.server.wait(10)


class GoJudge:
    name = "go-judge"
    program = None
    missing = "go-judge: go install github.com/criyle/go-judge/cmd/go-judge@v1.8.5 (--go-judge PATH), as root"
    port = None

    @classmethod
    def start(cls, folder):
        with socket.socket() as any_port:
            any_port.bind(("127.0.0.1", 0))
            cls.port = any_port.getsockname()[1]
        server = subprocess.Popen([cls.program, "-http-addr", f"127.0.0.1:{cls.port}", "-release", "-silent"],
                                  cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end and server.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", cls.port), 1).close()
                cls.missing = None
                return server
            except OSError:
                time.sleep(0.05)
        cls.missing = f"go-judge: {cls.program} does not start"
        server.kill()
        return server

    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answers = self.socket.makefile("rb")

    def ask(self, method, path, body=None):
        text = b"" if body is None else json.dumps(body).encode()
        self.socket.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                            f"Content-Length: {len(text)}\r\n\r\n".encode() + text)
        status, length = self.answers.readline().decode().strip(), 0
        while (line := self.answers.readline()).strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        text = self.answers.read(length)
        if " 200 " not in status:
            raise RuntimeError(f"go-judge: {status} {text[:200]}")
        return text

    def command(self, arguments, **more):
        command = {"args": arguments, "env": ["PATH=/usr/bin:/bin"], "cpuLimit": 10 * 10**9, "clockLimit": 20 * 10**9,
                   "memoryLimit": 512 << 20, "procLimit": 32,
                   "files": [{"content": ""}, {"name": "stdout", "max": 1 << 20}, {"name": "stderr", "max": 1 << 20}],
                   **more}
        result = json.loads(self.ask("POST", "/run", {"cmd": [command]}))[0]
        if result["status"] != "Accepted":
            raise RuntimeError(f"go-judge: {result}")
        return result

    def run(self, case):
        if case == "true":
            return self.command(["/bin/true"])["files"]["stdout"]
        if case == "print(1)":
            return self.command([PYTHON, "-c", "print(1)"])["files"]["stdout"]
        compiled = self.command(["/usr/bin/g++", *FLAGS, "-o", "main", "main.cpp"], copyOutCached=["main"],
                                copyIn={"main.cpp": {"content": hello()}})["fileIds"]["main"]
        ran = self.command(["main"], copyIn={"main": {"fileId": compiled}})
        self.ask("DELETE", f"/file/{compiled}")
        return ran["files"]["stdout"]

    def close(self):
        self.socket.close()


class Proctor:
    name, missing = "proctor", None
    program = None

    def __init__(self):
        self.process = subprocess.Popen([self.program, "exec", "--batch", "--parallel", "2", "-"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.isolation = {}

    def ask(self, case):
        request = {"true": {"lang": "c", "code": "int main(void) { return 0; }\n"},
                   "print(1)": {"lang": "python", "code": "print(1)"}}.get(case) or \
            {"lang": "cpp", "code": hello(), "compiler_flags": FLAGS}
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()

    def answer(self):
        record = json.loads(self.process.stdout.readline())
        self.isolation = record["isolation"]
        return record["stdout"] if record["status"] == "ok" else json.dumps(record)

    def run(self, case):
        self.ask(case)
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait(PATIENCE_S)


def checked(said, case, peer):
    if said != CASES[case][0]:
        raise RuntimeError(f"{peer.name}: {case}: {said!r}")


def two_at_once(peer, case, seconds):
    """Executions a second. proctor has two on their way through its pipe; the others have two of each."""
    begin = time.monotonic()
    end = begin + seconds
    done = collections.Counter()
    if isinstance(peer, Proctor):
        peer.ask(case)
        while time.monotonic() < end:
            peer.ask(case)
            checked(peer.answer(), case, peer)
            done[0] += 1
        checked(peer.answer(), case, peer)
        return (done[0] + 1) / (time.monotonic() - begin)
    others = [peer, type(peer)()]

    def keep_running(number):
        while time.monotonic() < end:
            checked(others[number].run(case), case, peer)
            done[number] += 1

    threads = [threading.Thread(target=keep_running, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - begin
    others[1].close()
    return sum(done.values()) / took


def quantile(times, share):
    return sorted(times)[min(len(times) - 1, int(share * len(times)))]


def measure(peers, rounds):
    rows = {}
    for case, (_, executions, seconds) in CASES.items():
        times = collections.defaultdict(list)
        rates = collections.defaultdict(list)
        for number in range(rounds):
            # In turns, and in another order each time.
            for peer in peers if number % 2 == 0 else reversed(peers):
                said = peer.run(case)
                if said is None:
                    continue
                checked(said, case, peer)
                for _ in range(executions):
                    begin = time.perf_counter()
                    said = peer.run(case)
                    times[peer.name].append(1e3 * (time.perf_counter() - begin))
                    checked(said, case, peer)
                rates[peer.name].append(two_at_once(peer, case, seconds))
        for peer in peers:
            took = times[peer.name]
            if took:
                p50, p99 = statistics.median(took), quantile(took, 0.99)
                rows[case, peer.name] = {"p50": p50, "p99": p99, "p99/p50": p99 / p50, "per s": 1e3 * len(took) / sum(took),
                                         "two at once, per s": statistics.median(rates[peer.name]), "n": len(took)}
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("proctor")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--go-judge", default=shutil.which("go-judge"))
    options = parser.parse_args()
    Proctor.program, GoJudge.program = options.proctor, options.go_judge
    with tempfile.TemporaryDirectory() as folder:
        server = GoJudge.start(folder) if GoJudge.program else None
        kinds = [kind for kind in (Proctor, GoJudge, Bubblewrap, Bare, ForkServer) if not kind.missing]
        for kind in (GoJudge, Bubblewrap):
            if kind.missing:
                print(f"missing: {kind.missing}")
        peers = []
        try:
            peers = [kind() for kind in kinds]
            load = os.getloadavg()[0]
            rows = measure(peers, options.rounds)
            isolation = peers[0].isolation
        finally:
            for peer in peers:
                peer.close()
            if server:
                server.terminate()
                server.wait(PATIENCE_S)
    print(f"proctor: {isolation['level']}, {len(isolation['active'])} layers; {os.cpu_count()} cores, load {load:.1f} "
          f"to {os.getloadavg()[0]:.1f}; milliseconds\n")
    columns = list(next(iter(rows.values())))
    print(f"{'':24}" + "".join(f"{column:>20}" for column in columns))
    for (case, name), row in rows.items():
        print(f"{case + ': ' + name:24}" + "".join(f"{row[column]:20.2f}" for column in columns))
    print("\nproctor beside others: p50 (below 1: proctor is quicker), rate one and two at once (above 1: proctor does more)")
    for (case, name), row in rows.items():
        ours = rows[case, "proctor"]
        if name != "proctor":
            print(f"{case + ': ' + name:24}" + "".join(
                f"{ours[column] / row[column]:20.2f}" for column in ("p50", "per s", "two at once, per s")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
