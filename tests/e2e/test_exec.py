"""`proctor exec` from outside: one program, batches, refusals, and the worlds of ordinary users."""
import base64
import contextlib
import errno
import http.server
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time

from support import BINARY, skip

skipped = []  # parts that this machine cannot play
STATUSES = ("ok nonzero_exit signaled time_limit wall_limit memory_limit output_limit process_limit "
            "file_limit denied compile_error sandbox_error").split()


def call(*arguments, stdin="", env=None, prefix=(), binary=BINARY, timeout=120):
    return subprocess.run([*prefix, binary, "exec", *arguments], input=stdin.encode(),
                          capture_output=True, timeout=timeout, env={**os.environ, **(env or {})})


def record(*arguments, **options):
    done = call(*arguments, **options)
    assert done.returncode == 0, (arguments, done)
    lines = done.stdout.decode().splitlines()
    assert len(lines) == 1, done
    value = json.loads(lines[0])
    for key in ("status exit_code signal stdout stderr stdout_truncated stderr_truncated files usage "
                "isolation denied").split():
        assert key in value, key
    assert value["status"] in STATUSES
    assert set(value["usage"]) == {"wall_ms", "cpu_ms", "peak_memory_bytes", "peak_processes"}
    assert value["isolation"]["level"] in ("full", "reduced")
    return value


def refused(code, needle, *arguments, stdin="", env=None):
    done = call(*arguments, stdin=stdin, env=env)
    message = done.stderr.decode()
    assert done.returncode == code, (arguments, done)
    assert needle in message, (needle, message)
    assert message.startswith("proctor: ") and "terminate called" not in message, message
    assert done.stdout == b"", done


def one_program():
    assert record("--lang", "python", stdin="print(1 + 1)")["stdout"] == "2\n"
    assert record("--lang", "python", "-", stdin="print(1 + 1)")["stdout"] == "2\n"
    assert record("--lang", "bash", stdin="exit 3")["exit_code"] == 3
    assert record("--lang", "python", "--time-ms", "300", stdin="while 1: pass")["status"] == "time_limit"
    assert record("--lang", "python", "--wall-ms", "300",
                  stdin="import time; time.sleep(60)")["status"] == "wall_limit"
    with tempfile.TemporaryDirectory() as folder:
        program, data = os.path.join(folder, "p.cpp"), os.path.join(folder, "d")
        with open(program, "w") as file:
            file.write('#include <fstream>\n#include <iostream>\nint main(){std::string s;'
                       'std::ifstream("in.txt")>>s;std::ofstream("out.txt")<<s<<s;std::cout<<s;}')
        with open(data, "w") as file:
            file.write("abc")
        got = record("--lang", "cpp", "--file", "in.txt=" + data, "--get", "out.txt", program)
        assert got["stdout"] == "abc", got
        assert base64.b64decode(got["files"]["out.txt"]) == b"abcabc"
        # The name tells the language, and sizes have units.
        assert record("--memory-bytes", "1GiB", "--file", "in.txt=" + data, program)["stdout"] == "abc"
        # Closed standard descriptors are no reason to have no sandbox.
        closed = call(program, prefix=("sh", "-c", 'exec "$@" <&- 2>&-', "sh"))
        assert closed.returncode == 0 and closed.stdout, closed
        closed = call(program, prefix=("sh", "-c", 'exec "$@" <&- >&-', "sh"))
        assert closed.returncode == 1 and b"stdout: cannot be written" in closed.stderr, closed


def refusals():
    refused(2, "--lang", stdin="")
    refused(2, "pyton", "--lang", "pyton")
    refused(2, "no-such-file", "--lang", "python", "no-such-file")
    refused(2, "processes", "--lang", "python", "--processes", "0")
    refused(2, "--file", "--lang", "python", "--file", "x")
    refused(2, "workspace", "--lang", "python", "--file", "../x=/etc/hostname")
    refused(2, "'x' is given twice", "--lang", "bash", "--file", "x=/dev/null", "--file", "x=/etc/hostname")
    refused(2, "--stdin -: the program itself is read from stdin", "--lang", "bash", "--stdin", "-")
    refused(2, "network: '*.org': hosts are named one by one", "--lang", "python", "--network", "allow:*.org")
    refused(2, "expected none or allow:HOST", "--lang", "python", "--network", "example.org")
    refused(3, "network: allow: needs a network namespace", "--lang", "python", "--network", "allow:example.org",
            env={"PROCTOR_SANDBOX_WORLD": "reduced"})
    refused(2, "expected root, userns or reduced", "--lang", "python", env={"PROCTOR_SANDBOX_WORLD": "foo"})
    refused(3, "strict", "--lang", "python", "--strict",
            env={"PROCTOR_SANDBOX_WORLD": "reduced"})
    for alien in (("--argument", "x"), ("--stdin", "/dev/null"), ("--file", "a=/dev/null"), ("--get", "a"),
                  ("--network", "none")):
        refused(2, alien[0], "--batch", *alien)
    refused(2, "--batch is missing", "--lang", "python", "--parallel", "2")
    refused(2, "is a directory", "--batch", tempfile.gettempdir())
    refused(2, "/dev/zero:1: is longer than 256 MiB", "--batch", "/dev/zero")
    refused(2, "--stdin: /dev/zero: is longer than 256 MiB", "--lang", "bash", "--stdin", "/dev/zero")
    refused(2, "--file: /dev/zero: is longer than 256 MiB", "--lang", "bash", "--file", "x=/dev/zero")
    refused(2, "/dev/zero: is longer than 256 MiB", "--lang", "bash", "/dev/zero")
    done = call("--lang", "python", "--no-such-option")
    assert done.returncode == 2, done


def guests_are_told_nothing_of_us():
    """Their init is forked from proctor's own process."""
    for world in ("root", "userns", "reduced"):
        if world == "root" and os.geteuid() != 0:
            continue
        value = record("--lang", "bash", "--argument", "SECRET", "-", env={"PROCTOR_SANDBOX_WORLD": world},
                       stdin="cat /proc/[0-9]*/cmdline | tr '\\0' ' '; echo; echo named > /dev/stdout; echo x > /dev/stderr")
        assert value["stdout"].endswith("named\n") and value["stderr"].endswith("x\n"), value
        assert "--argument" not in value["stdout"] and "exec --lang" not in value["stdout"], value


def few_open_files():
    """A small limit of the shell's is enough for two programs at a time; a smaller one is said to be that."""
    few = ("prlimit", "--nofile=64:64")
    value = record("--lang", "python", "-", stdin="print(1)", prefix=few)
    assert value["stdout"] == "1\n", value
    program = '{"lang":"python","code":"import time; time.sleep(0.2); print(1)"}\n'
    done = call("--batch", "--parallel", "2", stdin=program * 8, prefix=few)
    assert [json.loads(line)["stdout"] for line in done.stdout.splitlines()] == ["1\n"] * 8, done
    done = call("--batch", "--parallel", "3", stdin=program, prefix=few)
    assert done.returncode == 3 and b"3 programs at a time in the sandbox need 84" in done.stderr, done
    sentence = "only 32 files may be open at once (ulimit -n), and 1 program at a time in the sandbox needs 44"
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("tasks.jsonl", '{"id":"a","prompt":"x"}'), ("script.jsonl", '{"content":"4"}'), (
                "run.yaml", "tasks: tasks.jsonl\nmodels: {policy: 'script:script.jsonl'}\ntools: [python]\n")):
            with open(os.path.join(folder, name), "w") as file:
                file.write(text + "\n")
        for most, command, said in ((32, ("exec", "--lang", "bash", "-"), sentence),
                                    (32, ("run", "run.yaml", "--out", "out"), sentence.replace("44", "52")),
                                    (16, ("run", "run.yaml", "--out", "out"), "and a run needs 32")):
            done = subprocess.run(["prlimit", "--nofile=%d:%d" % (most, most), BINARY, *command], cwd=folder,
                                  capture_output=True, stdin=subprocess.DEVNULL, text=True, timeout=60)
            assert done.returncode == 3 and said in done.stderr and done.stderr.count("\n") == 1, done
        done = subprocess.run(["prlimit", "--nofile=32:32", BINARY, "doctor"], capture_output=True, text=True,
                              timeout=60)
        assert done.returncode == 0 and sentence in done.stdout, done


def batches():
    requests = [{"id": i, "lang": "python", "code": "print(%d * 2)" % i} for i in range(12)]
    requests.append({"id": "c", "lang": "c", "code": "int main(){return 5;}"})
    requests.append({"id": "slow", "lang": "bash", "code": "sleep 60", "wall_ms": 200})
    text = "".join(json.dumps(request) + "\n\n" for request in requests)
    done = call("--batch", "--parallel", "1", stdin=text)
    assert done.returncode == 0, done
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["id"] for answer in answers] == [request["id"] for request in requests]
    assert [answer["stdout"] for answer in answers[:12]] == ["%d\n" % (i * 2) for i in range(12)]
    assert answers[12]["exit_code"] == 5 and answers[13]["status"] == "wall_limit"
    done = call("--batch", "--parallel", "4", stdin=text)
    assert sorted(str(json.loads(line)["id"]) for line in done.stdout.splitlines()) == \
        sorted(str(request["id"]) for request in requests)

    # What cannot be run has a record that says why, and the others go on.
    bad = ['{"id":"key","lang":"python","code":"","memory":1}', '{"id":"name","lang":"python",'
           '"code":"","files":{"../x":""}}', '{nonsense', '{"id":"nul","lang":"bash","code":"",'
           '"arguments":["a\\u0000b"]}', '{"id":"long","lang":"bash","code":":","arguments":["%s"]}' %
           ("x" * 70000)]
    done = call("--batch", "--parallel", "1", stdin="\n".join(bad) + "\n" + text)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1 and len(answers) == len(bad) + len(requests), done
    by_id = {answer.get("id"): answer for answer in answers}
    for name, needle in (("key", "stdin:1: unknown key 'memory'"), ("name", "workspace"),
                         (None, "stdin:3: "), ("nul", "NUL"), ("long", "64 KiB")):
        assert by_id[name]["status"] == "sandbox_error" and needle in by_id[name]["error"], by_id[name]
    assert by_id[11]["stdout"] == "22\n" and b"memory_bytes" in done.stderr, done

    # A file that begins with no object is no batch: one sentence, and nothing is run.
    with tempfile.TemporaryDirectory() as folder:
        for number, content in enumerate((
                open(BINARY, "rb").read(1 << 16), b"import os\nprint(1)\n" + text.encode(), b"\0\0\n" + text.encode(),
                json.dumps(requests, indent=1).encode(), b"[]\n" + text.encode(), "x\n".encode("utf-16"))):
            path = os.path.join(folder, "no-batch-%d" % number)
            with open(path, "wb") as file:
                file.write(content)
            refused(2, path + ":1: a batch has one request a line", "--batch", path)
            assert call("--batch", path).stderr.count(b"\n") == 1, path

    # Of many lines that cannot be run the first are told, the rest is counted; all have records.
    many = ['{"lang":"bash","code":"echo %d"}' % i if i % 10 == 0 else "nonsense" for i in range(30)]
    done = call("--batch", "--parallel", "1", stdin="\n".join(many))
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1 and [(a["line"], a["stdout"]) for a in answers] == [
        (i + 1, "%d\n" % i if i % 10 == 0 else "") for i in range(30)], answers
    told = done.stderr.decode().splitlines()
    assert len(told) == 6 and "stdin: 22 more lines cannot be run" in told[-1], told

    # One at a time, they keep their order; a line without an id is known by its number.
    mixed = ['{"id":1,"lang":"bash","code":"sleep 0.3"}', "nonsense", '{"id":3,"lang":"bash","code":":"}',
             '{"id":4,"lang":"rust","code":""}']
    done = call("--batch", "--parallel", "1", stdin="\n".join(mixed))
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer.get("id", answer.get("line")) for answer in answers] == [1, 2, 3, 4], answers

    # Lines come from a file as every file of lines does, with a byte order mark or not.
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "requests.jsonl")
        with open(path, "w", encoding="utf-8-sig") as file:
            file.write(text)
        done = call("--batch", path)
        assert done.returncode == 0 and len(done.stdout.splitlines()) == len(requests), done

    # What is too large for the memory ends it in a sentence, and what was started ends before.
    good = '{"lang":"bash","code":"sleep 0.5; echo 1"}\n'
    done = subprocess.run(["sh", "-c", 'ulimit -v 600000; (printf "%s\\n" "$1"; cat /dev/zero) | "$0" exec --batch',
                           BINARY, good.strip()], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "terminate called" not in done.stderr, done
    assert done.stdout.count("\n") == 1 and done.stderr.count("\n") == 1, done

    # Once nobody reads on, no more is run, and nothing is said of it.
    process = subprocess.Popen([BINARY, "exec", "--batch", "--parallel", "1"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(b'{"lang":"bash","code":":"}\n')
    process.stdin.flush()
    process.stdout.readline()
    process.stdout.close()
    try:
        for _ in range(200):
            process.stdin.write(b'{"lang":"bash","code":"sleep 1"}\n')
            process.stdin.flush()
    except BrokenPipeError:
        pass
    assert process.wait(timeout=60) == 1
    told = process.stderr.read()
    process.stderr.close()
    assert told == b"", told

    # What a line says is not let loose on a terminal.
    done = call("--batch", stdin='{"lang":"\\u202e\\u001b[2J","code":""}\n')
    assert b"<U+202E>^[" in done.stderr and b"\x1b" not in done.stderr, done.stderr

    # A line is answered while the next has not been written yet.
    process = subprocess.Popen([BINARY, "exec", "--batch"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    for value in (1, 2):
        process.stdin.write(json.dumps({"lang": "bash", "code": "echo %d" % value}).encode() + b"\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["stdout"] == "%d\n" % value
    process.stdin.close()
    assert process.wait(timeout=30) == 0


def hosts_that_are_allowed():
    """Real clients, over TLS as well, against a server of this machine's loopback."""
    class Server(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "6")
            self.end_headers()
            self.wfile.write(b"served")

        def log_message(self, *_):
            pass

    with tempfile.TemporaryDirectory() as folder:
        key, certificate = os.path.join(folder, "key.pem"), os.path.join(folder, "cert.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                        "-nodes", "-keyout", key, "-out", certificate, "-days", "1", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) for _ in range(2)]
        servers[1].socket = context.wrap_socket(servers[1].socket, server_side=True)
        for server in servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        plain, tls = (server.server_address[1] for server in servers)
        python = ("import ssl, urllib.request\nfor url in 'http://localhost:%d', 'https://localhost:%d':\n"
                  "  context = ssl.create_default_context(cafile='ca.pem')\n"
                  "  print(urllib.request.urlopen(url, context=context).read().decode())\n"
                  "try: urllib.request.urlopen('http://localhost:1')\nexcept OSError as error: print(error)"
                  % (plain, tls))
        bash = ("for url in http://localhost:%d https://localhost:%d; do curl -sS --cacert ca.pem $url; echo; done; "
                "curl -sS http://localhost:1" % (plain, tls))
        node = shutil.which("node") and (
            "const http = require('http'), proxy = new URL(process.env.http_proxy);"
            "http.get({host: proxy.hostname, port: proxy.port, path: 'http://localhost:%d/', headers: {host: 'localhost:%d'"
            "}}, (answer) => answer.on('data', (data) => console.log(String(data))));" % (plain, plain))
        allowed = "allow:localhost:%d,localhost:%d" % (plain, tls)
        for world in ("root", "userns") if os.geteuid() == 0 else ("userns",):
            for language, program in (("python", python), ("bash", bash), ("js", node)):
                if not program:
                    skipped.append("a network for node")
                    continue
                value = record("--lang", language, "--network", allowed, "--file", "ca.pem=" + certificate, "-",
                               stdin=program, env={"PROCTOR_SANDBOX_WORLD": world})
                network = value["network"]
                assert network["unlisted"] == 0, network
                first = network["connections"][0]
                assert first["host"] == "localhost" and first["port"] == plain and first["status"] == "ok", first
                assert first["address"] in ("127.0.0.1", "::1") and first["bytes_in"] > 50 < first["bytes_out"], first
                if language == "js":
                    assert value["stdout"] == "served\n", value
                    continue
                assert value["stdout"].startswith("served\nserved\n"), value
                assert "localhost:1 is not among the allowed hosts" in value["stdout"], value
                assert [each["status"] for each in network["connections"]] == ["ok", "ok", "refused"], network
                assert network["connections"][2]["address"] is None, network
        # A name that the system makes an address of this machine.
        line = {"lang": "python", "code": "import urllib.request\nurllib.request.urlopen('http://2130706433:%d')" % plain,
                "network": "allow:2130706433:%d" % plain}
        done = call("--batch", stdin=json.dumps(line))
        assert b"127.0.0.1 is a loopback address, which the list does not name" in done.stdout, done
        value = record("--lang", "bash", "--network", allowed, "--network-bytes", "100", "-", stdin=bash)
        assert {each["status"] for each in value["network"]["connections"]} == {"limit", "refused"}, value
        assert "network" not in record("--lang", "bash", "-", stdin=":")
        for server in servers:
            server.shutdown()
            server.server_close()


def processes_with(mark):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as file:
                if mark.encode() in file.read():
                    found.append(pid)
        except OSError:
            pass
    return found


def below(pid, name):
    """Of what is below the process, those of that name."""
    found = []
    for child in open("/proc/%d/task/%d/children" % (pid, pid)).read().split():
        if open("/proc/%s/comm" % child).read().strip() == name:
            found.append(int(child))
        found += below(int(child), name)
    return found


def nothing_is_left_after_kill_9():
    for world in ("root", "userns", "reduced") if os.geteuid() == 0 else ("userns", "reduced"):
        mark = "417%d" % os.getpid()
        process = subprocess.Popen([BINARY, "exec", "--lang", "bash", "-"], stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL,
                                   env={**os.environ, "PROCTOR_SANDBOX_WORLD": world})
        process.stdin.write(("setsid sleep %s & sleep %s" % (mark, mark)).encode())
        process.stdin.close()
        for _ in range(100):
            if processes_with(mark):
                break
            time.sleep(0.05)
        assert processes_with(mark), world
        process.kill()
        process.wait()
        for _ in range(100):
            if not processes_with(mark):
                break
            time.sleep(0.05)
        assert not processes_with(mark), (world, processes_with(mark))
        for _ in range(100):
            left = [name for name in os.listdir(os.environ.get("TMPDIR", "/tmp"))
                    if name.startswith("proctor-") and len(name) == 14]
            groups = subprocess.run("find /sys/fs/cgroup -name 'proctor-%d-*'" % process.pid,
                                    shell=True, capture_output=True).stdout
            if not groups:
                break
            time.sleep(0.05)
        assert not groups, (world, groups, left)


def a_slot_that_does_not_end_is_not_waited_for():
    """What it used is removed all the same, by a launcher that outlives the alarm of its patience."""
    if os.geteuid() != 0:
        print("skipped: a slot that is stopped (needs root)")
        return
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        mark = "419%d" % os.getpid()
        process = subprocess.Popen([BINARY, "exec", "--lang", "bash", "-"], stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL,
                                   env={**os.environ, "PROCTOR_SANDBOX_WORLD": "reduced", "TMPDIR": folder})
        process.stdin.write(("exec sleep %s" % mark).encode())
        process.stdin.close()
        for _ in range(100):
            if processes_with(mark):
                break
            time.sleep(0.05)
        slots = below(process.pid, "proctor-slot")
        assert slots and os.listdir(folder), (slots, os.listdir(folder))
        for slot in slots:
            os.kill(slot, signal.SIGSTOP)
        process.kill()
        process.wait()
        for _ in range(200):
            if not os.listdir(folder):
                break
            time.sleep(0.05)
        assert not os.listdir(folder), os.listdir(folder)
        for _ in range(100):
            if not processes_with(mark):
                break
            time.sleep(0.05)
        assert not processes_with(mark), processes_with(mark)


class Batch:
    """A batch that is asked line by line, one after the other."""

    def __init__(self, world, before=(), **environment):
        self.process = subprocess.Popen([*before, BINARY, "exec", "--batch", "--parallel", "1", "-"], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env={**os.environ, "PROCTOR_SANDBOX_WORLD": world, **environment})

    def ask(self, code):
        self.process.stdin.write(json.dumps({"lang": "bash", "code": code}) + "\n")
        self.process.stdin.flush()

    def answer(self):
        return json.loads(self.process.stdout.readline())

    def run(self, code):
        self.ask(code)
        return self.answer()

    def close(self):
        self.process.stdin.close()
        return self.process.wait()


def a_killed_launcher_is_replaced_and_a_killed_guardian_noticed():
    for world in ("root", "userns", "reduced") if os.geteuid() == 0 else ("userns", "reduced"):
        mark = "418%d" % os.getpid()
        batch = Batch(world)
        for name in ("proctor-launch", "proctor-launch", "proctor-guard"):
            value = batch.run("echo 1")
            assert value["stdout"] == "1\n", (world, name, value)
            batch.ask("setsid sleep %s & sleep %s" % (mark, mark))
            for _ in range(100):
                if len(processes_with(mark)) >= 2:
                    break
                time.sleep(0.05)
            victims = below(batch.process.pid, name)
            assert victims, (world, name)
            for victim in victims:
                with contextlib.suppress(ProcessLookupError):  # it has ended with the one before
                    os.kill(victim, signal.SIGKILL)
            killed = time.time()
            value = batch.answer()
            assert value["status"] == "sandbox_error" and "killed from outside" in value["error"], (world, value)
            assert time.time() - killed < 3, (world, time.time() - killed)
            for _ in range(100):
                if not processes_with(mark):
                    break
                time.sleep(0.05)
            assert not processes_with(mark), (world, name)
        # Nobody is left that could start another.
        value = batch.run("echo 1")
        assert value["status"] == "sandbox_error" and "start proctor again" in value["error"], (world, value)
        assert batch.close() == 1, world


def a_full_disk_is_told_and_forgotten():
    if os.geteuid() != 0:
        skipped.append("a full disk (needs root)")
        return
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        mounts = ("unshare", "-m", "sh", "-c",
                  'mount -t tmpfs -o size=4m,mode=0755 none "$TMPDIR" && exec "$0" "$@"')
        batch = Batch("reduced", mounts, TMPDIR=folder)
        assert batch.run("echo 1")["stdout"] == "1\n"
        filling = "/proc/%d/root%s/filling" % (batch.process.pid, folder)
        told = 0
        for _ in range(20):  # a slot that is emptied meanwhile makes room again
            try:
                with open(filling, "ab", buffering=0) as file:
                    while True:
                        file.write(bytes(4096))
            except OSError as full:
                assert full.errno == errno.ENOSPC, full
            value = batch.run("echo 2")
            if value["status"] == "ok":
                time.sleep(0.05)
                continue
            assert value["status"] == "sandbox_error" and "No space left" in value["error"], value
            told += 1
        assert told >= 3, told
        os.remove(filling)
        for _ in range(3):
            assert batch.run("echo 3")["stdout"] == "3\n"
        assert batch.close() == 1


def nothing_is_left_after_many_short_runs():
    """Neither while the machine is busy with other runs, nor a zombie or a late clean-up."""
    variable = "PROCTOR_TEST_MARK=short-%d" % os.getpid()

    def marked():
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/environ" % pid, "rb") as file:
                    if variable.encode() in file.read().split(b"\0"):
                        found.append((pid, open("/proc/%s/comm" % pid).read().strip()))
            except OSError:
                pass
        return found

    name, value = variable.split("=")
    running, started = [], 0
    while started < 120 or running:
        while started < 120 and len(running) < 6:
            process = subprocess.Popen([BINARY, "exec", "--lang", "bash", "-"], stdin=subprocess.PIPE,
                                       stdout=subprocess.DEVNULL, env={**os.environ, name: value})
            process.stdin.write(b":")
            process.stdin.close()
            running.append(process)
            started += 1
        assert running.pop(0).wait(timeout=60) == 0
    assert not marked(), marked()


def hidden_tests_stay_hidden():
    """An installed proctor keeps its suites, with the hidden tests, below /usr: which guests see."""
    if os.geteuid() != 0:
        skipped.append("an installation below /usr (needs root)")
        return
    home = tempfile.mkdtemp(prefix="proctor-test-", dir="/usr/share")
    try:
        os.chmod(home, 0o755)
        os.makedirs(home + "/env/suites/code")
        with open(home + "/env/suites/code/tasks.jsonl", "w") as file:
            file.write('{"gold": "hidden"}')
        with open(home + ".beside", "w") as file:
            file.write("seen")
        subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", home + "/data/venv"],
                       check=True)
        program = ("import os, sys\n"
                   "try: print('escaped:', open(%r + '/env/suites/code/tasks.jsonl').read())\n"
                   "except OSError: pass\n"
                   "for top, folders, files in os.walk(%r):\n"
                   "  if 'tasks.jsonl' in files: print('escaped:', top)\n"
                   "print(open(%r + '.beside').read(), sys.prefix)" % (home, home, home))
        for world in ("root", "userns", "reduced"):
            value = record("--lang", "python", stdin=program,
                           env={"PROCTOR_HOME": home, "PROCTOR_SANDBOX_WORLD": world})
            assert value["stdout"] == "seen %s/data/venv\n" % home, (world, value)
        refused(2, "home or data", "--lang", "python", env={"PROCTOR_HOME": "/usr"})
    finally:
        shutil.rmtree(home)
        os.unlink(home + ".beside")


def as_an_ordinary_user():
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        skipped.append("worlds of an ordinary user (need root and setpriv to become one)")
        return
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        binary = shutil.copy(BINARY, os.path.join(folder, "proctor"))
        os.chmod(binary, 0o755)
        become = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        for world in ("userns", "reduced"):
            options = dict(prefix=become, binary=binary, env={"PROCTOR_SANDBOX_WORLD": world})
            for language, program in (("python", "print(6 * 7)"), ("bash", "echo $((6 * 7))"),
                                      ("c", '#include <stdio.h>\nint main(){puts("42");}')):
                value = record("--lang", language, stdin=program, **options)
                assert value["stdout"] == "42\n", (world, language, value)
            assert value["isolation"]["level"] == ("full" if world == "userns" else "reduced")
            value = record("--lang", "python", "--memory-bytes", "100000000", stdin=(
                "x = bytearray(300 << 20)\nfor i in range(0, len(x), 4096): x[i] = 1\n"
                "import time; time.sleep(1)"), **options)
            assert value["status"] == "memory_limit", (world, value)
            value = record("--lang", "python", "--time-ms", "300", stdin="while 1: pass", **options)
            assert value["status"] == "time_limit", (world, value)
            value = record("--lang", "python", "--processes", "8", stdin=(
                "import os, time\nfor _ in range(50):\n  if os.fork() == 0: time.sleep(9)\n"), **options)
            assert value["status"] == "process_limit", (world, value)
            value = record("--lang", "python", "--disk-bytes", "2000000", stdin="open('x', 'wb').write(bytes(4 << 20))",
                           **options)
            assert value["status"] == "file_limit", (world, value)
            assert any(layer["layer"] == "uid" for layer in value["isolation"]["missing"]), value
            done = call("--lang", "bash", "--network", "allow:localhost:1", "-", stdin="curl -sS http://localhost:1",
                        **options)
            assert (b"no connection to localhost:1" in done.stdout) if world == "userns" else done.returncode == 3, done
            mark = "829%d" % os.getpid()
            value = record("--lang", "bash", stdin="setsid sleep %s & echo x" % mark, **options)
            assert value["stdout"] == "x\n", value
            time.sleep(0.3)
            assert not processes_with(mark), (world, value)
        beside_processes_that_are_not_seen(become, binary)


def beside_processes_that_are_not_seen(become, binary):
    """As in a container: the kernel counts them with a program's own, and /proc does not show them."""
    crowd = subprocess.Popen([*become, "bash", "-c", "for i in {1..300}; do sleep 99 & done; echo all; wait"],
                             stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert crowd.stdout.readline() == b"all\n"
        value = record("--lang", "bash", stdin="for i in {1..20}; do sleep 1 & done; wait; echo done",
                       prefix=("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *become), binary=binary,
                       env={"PROCTOR_SANDBOX_WORLD": "reduced"})
        assert value["stdout"] == "done\n", value
    finally:
        os.killpg(crowd.pid, signal.SIGKILL)
        crowd.wait()
        crowd.stdout.close()


one_program()
refusals()
guests_are_told_nothing_of_us()
few_open_files()
batches()
hosts_that_are_allowed()
nothing_is_left_after_kill_9()
a_slot_that_does_not_end_is_not_waited_for()
a_killed_launcher_is_replaced_and_a_killed_guardian_noticed()
a_full_disk_is_told_and_forgotten()
nothing_is_left_after_many_short_runs()
hidden_tests_stay_hidden()
as_an_ordinary_user()
print("ok")
if skipped:
    skip("all else passed; " + "; ".join(skipped), "SANDBOX_MUST_WORK")
