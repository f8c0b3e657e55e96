# The inside of run_programs: runs programs on inputs within one sandboxed execution and writes one
# frame a result to the real standard output. It never knows what is expected.
#
# Each program has processes of its own, killed with their group at the time limit. Blind spot: a
# program may spoil frames of its neighbours; what it forges still has to be the right value.
import ast, dis, hashlib, json, os, re, resource, select, signal, subprocess, sys, time, types

COMPILE_FAILED = 71  # exit status of a child whose program does not parse
LOAD_SECONDS = 5.0  # for what a program does before its function is called


def cut(text):
    """A result; one that is longer than any right one is cut and marked by its hash."""
    if len(text) <= job["most_text"]:
        return text
    return text[:1000] + "...#" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def plain(value, depth=0):
    """JSON in which equal numbers read equally; what JSON cannot say becomes {"not json": ...}."""
    if depth > 60:
        return {"not json": "too deep"}
    if value is None or value is True or value is False:
        return value
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**64 else {"not json": "int " + hex(value)}
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            return {"not json": repr(float(value))}
        return int(value) if value.is_integer() and abs(value) < 2**53 else float(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {k if isinstance(k, str) else json.dumps(plain(k, depth + 1)): plain(v, depth + 1)
                for k, v in value.items()}
    if isinstance(value, (set, frozenset)):
        return {"not json": "set", "items": sorted(json.dumps(plain(v, depth + 1)) for v in value)}
    if getattr(value, "shape", None) == ():  # a single number of numpy's
        return plain(value.item(), depth + 1)
    return {"not json": type(value).__name__}


def form_of(code):
    """The bytecode with locals as indices and without lines; equal forms do the same."""
    steps = []
    for step in dis.get_instructions(code):
        if step.opname in ("CACHE", "RESUME", "NOP", "EXTENDED_ARG"):
            continue
        value = step.arg
        if step.opcode in dis.hasname:
            value = step.argval
        elif step.opcode in dis.hasconst:
            value = constant(step.argval)
        steps.append((step.opname, value))
    return ("code", code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags,
            getattr(code, "co_exceptiontable", b""), tuple(steps))


def constant(value):
    if isinstance(value, types.CodeType):
        return form_of(value)
    if isinstance(value, tuple):
        return ("tuple",) + tuple(constant(item) for item in value)
    return (type(value).__name__, repr(value))


def header_lines(tree):
    """First line of a function's code ─▶ the lines of its header, which count when it is called."""
    headers = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = {node.lineno} | {d.lineno for d in node.decorator_list}
            headers[min(lines)] = lines
    return headers


class Lines:
    def __init__(self, tree):
        self.headers = header_lines(tree)
        self.of_headers = set().union(*self.headers.values()) if self.headers else set()
        self.seen, self.of_run = set(), set()

    def end_run(self, ok):
        if ok:
            self.seen |= self.of_run
        self.of_run = set()

    def __call__(self, frame, event, _):
        if frame.f_code.co_filename != "<program>":
            return None
        if event == "call":
            self.of_run |= self.headers.get(frame.f_code.co_firstlineno, set())
        elif event == "line" and frame.f_lineno not in self.of_headers:
            self.of_run.add(frame.f_lineno)
        return self


def silence():
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")


def confine(memory):
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def failure_name(error):
    return type(error).__name__, cut(str(error)[:300])


def load(source, send, first):
    """Parses and compiles; ends the process when that fails."""
    try:
        tree = ast.parse(source, "<program>")
        code = compile(source, "<program>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        send({"compile_error": "%s: %s" % failure_name(error)})
        os._exit(COMPILE_FAILED)
    if first and job["want_forms"]:
        send({"forms": [hashlib.sha256(repr(form_of(code)).encode()).hexdigest()]})
    return code, Lines(tree) if job["want_lines"] else None


def function_child(source, first, send):
    """Loads the program, then calls its function with the inputs from `first` on."""
    code, lines = load(source, send, first == 0)
    confine(job["memory"])
    clock, dumps, loads = time.perf_counter, json.dumps, json.loads
    space = {"__name__": "program", "__builtins__": __builtins__}
    broken = function = None
    sys.settrace(lines)
    try:
        exec(code, space)
        function = space.get(job["entry_point"])
        if not callable(function):
            broken = ("NameError", "there is no function " + job["entry_point"])
    except BaseException as error:
        broken = failure_name(error)
    send({"loaded": True})
    if lines:
        lines.end_run(True)
    for index in range(first, len(job["inputs"])):
        run = {"run": index}
        arguments = loads(job["inputs"][index]["args"])
        started = clock()
        try:
            if not broken:
                value = plain(function(*arguments))
                run["value"] = cut(dumps(value, sort_keys=True, separators=(",", ":")))
        except BaseException as error:
            run["error"], run["detail"] = failure_name(error)
        if broken:
            run["error"], run["detail"] = broken
        run["ms"] = (clock() - started) * 1000
        send(run)
        if lines:
            lines.end_run("error" not in run)
    sys.settrace(None)
    if lines:
        send({"lines": sorted(line - 1 for line in lines.seen)})


def script_child(source, index, send):
    """Runs the program as a script; its standard streams are in place."""
    code, lines = load(source, send, index == 0)
    confine(job["memory"])
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")
    sys.argv = ["program"]
    run = {"run": index}
    sys.settrace(lines)
    try:
        exec(code, {"__name__": "__main__", "__builtins__": __builtins__})
    except SystemExit as end:
        if end.code not in (None, 0):
            run["error"] = "exit status " + str(end.code)[:40]
    except BaseException as error:
        run["error"], run["detail"] = failure_name(error)
    sys.settrace(None)
    try:
        sys.stdout.close()
    except (OSError, ValueError):
        pass
    if lines:
        lines.end_run("error" not in run)
        send({"lines": sorted(line - 1 for line in lines.seen)})
    send(run)


class Child:
    """A forked process group with a pipe of frames; `work(send)` runs inside."""

    def __init__(self, work, stdin=None, stdout=None):
        ours, theirs = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setsid()
                os.close(ours)
                if stdin is None:
                    silence()
                else:
                    os.dup2(stdin, 0)
                    os.dup2(stdout, 1)
                    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                os.close(real_out)

                def send(frame, dumps=json.dumps, write=os.write):
                    data = (dumps(frame) + "\n").encode()
                    while data:
                        data = data[write(theirs, data):]

                work(send)
            except BaseException:
                os._exit(70)
            os._exit(0)
        os.close(theirs)
        self.fd, self.rest = ours, b""

    def frame(self, seconds):
        """The next frame; None at the end of the child, "late" when none came in time."""
        end = time.monotonic() + seconds
        while b"\n" not in self.rest:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                return "late"
            data = os.read(self.fd, 1 << 16)
            if not data or len(self.rest) > (1 << 22) + 8 * job["most_text"]:
                return None
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        try:
            frame = json.loads(line)
            return frame if isinstance(frame, dict) else None
        except ValueError:
            return None

    def end(self, patience=0.0):
        """How it ended by itself within so many seconds, else by being killed with its group."""
        until = time.monotonic() + patience
        while not (done := os.waitpid(self.pid, os.WNOHANG))[0] and time.monotonic() < until:
            time.sleep(0.002)
        for kill in (os.killpg, os.kill):
            try:
                kill(self.pid, signal.SIGKILL)
            except OSError:
                pass
            if done[0]:
                break
        status = done[1] if done[0] else os.waitpid(self.pid, 0)[1]
        os.close(self.fd)
        return ending_of(os.waitstatus_to_exitcode(status))


def ending_of(code):
    return "signal %d" % -code if code < 0 else "exit status %d" % code


def emit(number, frame):
    data = (job["mark"] + json.dumps({**frame, "program": number}) + "\n").encode()
    while data:
        data = data[os.write(real_out, data):]


def run_functions(number, source):
    """A Python program's function on every input, in one process as long as that lives."""
    index, late, inputs, limits = 0, 0, job["inputs"], job["limits"]
    while True:
        child = Child(lambda send: function_child(source, index, send))
        wait, loaded = LOAD_SECONDS, False
        started = time.monotonic()
        while isinstance(frame := child.frame(wait), dict):
            if frame.get("run", index) != index or "program" in frame:
                continue
            if "loaded" in frame:
                loaded = True
            else:
                emit(number, frame)
            index += "run" in frame
            started = time.monotonic()
            wait = limits[index] if index < len(inputs) else 5.0
        ending = child.end(patience=0.0 if frame == "late" else 1.0)
        if index >= len(inputs) or compile_failed(frame, ending):
            return
        ms = (time.monotonic() - started) * 1000
        if frame == "late":
            emit(number, {"run": index, "timeout": True, "ms": ms})
            late += 1
            if late == job["most_timeouts"] or not loaded:
                return
        else:
            emit(number, {"run": index, "error": ending, "ms": ms})
        index += 1
        if index >= len(inputs):
            return


def compile_failed(frame, ending):
    return frame is None and ending == ending_of(COMPILE_FAILED)


def drain(child, stdout, seconds):
    """What a script printed, or None when that took too long, and its last frames."""
    until, pieces, size = time.monotonic() + seconds, [], 0
    frames = []
    while True:
        left = until - time.monotonic()
        ready = select.select([stdout], [], [], max(0.0, left))[0] if left > 0 else []
        if not ready:
            return None, frames
        data = os.read(stdout, 1 << 16)
        if not data:
            break
        size += len(data)
        if size <= job["most_text"]:
            pieces.append(data)
    while isinstance(frame := child.frame(max(0.05, until - time.monotonic())), dict):
        frames.append(frame)
    text = b"".join(pieces).decode("utf-8", "replace")
    return (text if size <= job["most_text"] else text[:1000] + "...#%d bytes" % size), frames


def run_scripts(number, start):
    """A program once for every input, fed on standard input; `start` makes its process."""
    late = 0
    for index, given in enumerate(job["inputs"]):
        stdin = os.memfd_create("stdin")
        os.write(stdin, given["stdin"].encode())
        os.lseek(stdin, 0, os.SEEK_SET)
        ours, theirs = os.pipe()
        started = time.monotonic()
        child = start(index, stdin, theirs)
        os.close(theirs)
        text, frames = drain(child, ours, job["limits"][index])
        ending = child.end(patience=0.0 if text is None else 1.0)
        os.close(ours)
        os.close(stdin)
        ms = (time.monotonic() - started) * 1000
        run = {"run": index, "ms": ms}
        for frame in frames:
            if "run" in frame:
                run.update(frame, run=index, ms=ms)
            elif "program" not in frame:
                emit(number, frame)
        if compile_failed(None, ending):
            return
        if text is None:
            emit(number, {"run": index, "timeout": True, "ms": ms})
            late += 1
            if late == job["most_timeouts"]:
                return
            continue
        if "error" not in run and ending != "exit status 0":
            run["error"] = ending
        if "error" not in run and job["harness"]:
            run["value" if text.startswith("=") else "error"] = text[1:]
        elif "error" not in run:
            run["value"] = text
        emit(number, run)


def write_native(source):
    """The file with the program, and the harness that calls its entry point behind it. Nothing goes
    before the program: compilers show the lines of the file."""
    file = "program.c" if job["language"] == "c" else "program.cpp"
    harness = job["harness"]
    with open(file, "w") as out:
        out.write(source)
        out.write("\n#undef main\n" + harness if harness else "")
    return file


def build_native(file, number, options):
    """Builds ./NAME of a source or of assembly; the compiler's complaint, or None."""
    c, name = job["language"] == "c", "p%d" % number
    objects = harness_object() if job["harness"] else []
    done = compiler(native(c) + main_aside() + options + ["-o", name, file] + objects +
                    (["-lm"] if c else []))
    if done is None and not os.access(name, os.X_OK):
        make_runnable(name)
    return done


def make_runnable(name):
    """For where no mode can be changed, by the linker either; a new file may have any."""
    with open(name, "rb") as program:
        binary = program.read()
    os.unlink(name)
    with open(os.open(name, os.O_WRONLY | os.O_CREAT, 0o755), "wb") as program:
        program.write(binary)


def native(c):
    return ["gcc", "-std=c17"] if c else ["g++", "-std=c++20"]


def main_aside():
    """A main of the program's own makes way for the harness' one."""
    return ["-Dmain=program_main"] if job["harness"] else []


def harness_object():
    """The half of the harness that is the same for all programs: brought along, or made to take home."""
    if not os.path.exists("harness.o"):
        with open("harness.cpp", "w") as out:
            out.write("#define PROCTOR_HARNESS_BODY\n" + job["harness"])
        complaint = compiler(native(False) + ["-O1", "-c", "harness.cpp"])
        if complaint is not None:
            sys.exit("the harness does not compile: " + complaint)
    return ["harness.o"]


def compiler(command):
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, timeout=60)
    except subprocess.TimeoutExpired:
        return "the compiler ran out of time"
    return None if done.returncode == 0 else cut(done.stderr.decode("utf-8", "replace"))[:4000]


def native_child(name):
    def start(_, stdin, stdout):
        def work(send):
            confine(job["memory"])
            os.execv("./" + name, [name])
        return Child(work, stdin, stdout)
    return start


def assemble_native(file):
    """Optimised assembly in form.s; the compiler's complaint, or None."""
    return compiler(native(job["language"] == "c") + main_aside() +
                    ["-O2", "-g0", "-fno-asynchronous-unwind-tables", "-S", "-o", "form.s", file])


def native_forms():
    """form.s with its labels counted anew: unlike bare section bytes it also tells which function a
    call goes to. Of a function, its caller in the harness is part of it: equal wherever it is."""
    with open("form.s") as text:
        assembly = text.read()
    assembly = re.sub(r"^\s*\.(file|ident|loc)\b.*\n", "", assembly, flags=re.M)
    labels = {}
    assembly = re.sub(r"\.L\w+", lambda m: labels.setdefault(m[0], "L%d" % len(labels)), assembly)
    return [hashlib.sha256(assembly.encode()).hexdigest()]


def native_lines(number):
    """Lines that gcov saw executed, from 0."""
    found = [f for f in os.listdir(".") if f.endswith(".gcda")]
    if not found:
        return []
    done = subprocess.run(["gcov", "--json-format", "--stdout", found[0]], capture_output=True)
    lines = set()
    for file in json.loads(done.stdout.splitlines()[0])["files"] if done.stdout else []:
        if file["file"].startswith("program.c"):
            lines |= {l["line_number"] - 1 for l in file["lines"] if l["count"] > 0}
    return sorted(lines)


def run_native(number, source):
    file, complaint = write_native(source), None
    if job["want_forms"]:
        complaint = assemble_native(file)
    if complaint is None and job["want_lines"]:
        complaint = build_native(file, number, ["-O0", "--coverage"])
    elif complaint is None:  # what was compiled for its form is not compiled again to run
        complaint = build_native("form.s" if job["want_forms"] else file, number, ["-O1"])
    if complaint is not None:
        emit(number, {"compile_error": complaint.replace("program_main", "main")})
        return
    if job["want_forms"]:
        emit(number, {"forms": native_forms()})
    run_scripts(number, native_child("p%d" % number))
    if job["want_lines"]:
        emit(number, {"lines": native_lines(number)})
    for file in os.listdir("."):
        if file.startswith("p%d" % number):
            os.unlink(file)


def run_all():
    if job["harness"]:
        harness_object()
    until = time.monotonic() + job["seconds"]  # the rest is done by the next execution
    for number in range(job["first"], len(job["programs"])):
        if time.monotonic() > until:
            break
        source = job["programs"][number]
        emit(number, {"begin": True})
        if job["language"] != "python":
            run_native(number, source)
        elif job["by_arguments"]:
            run_functions(number, source)
        else:
            run_scripts(number, lambda index, stdin, stdout: Child(
                lambda send: script_child(source, index, send), stdin, stdout))
        emit(number, {"end": True})


with open("job.json") as file:
    job = json.load(file)
os.unlink("job.json")
real_out = os.dup(1)
run_all()
