# The warm Python: forks a confined child ahead of every request. It never runs foreign code itself.
# argv: socket, shared object, filter descriptors (of programs, of live sessions, of what both inherit), profile. All that is
# dangerous is done in child.cpp and live.cpp.
# Started with "once" or "session" instead of a socket it is itself the guest, confined already, where
# no zygote can be had.
def main():
    import sys
    # Python's own "" for the working directory, where a guest's files lie: none of them is a module of
    # ours. (-I would do the same, but make Python ignore the hash seed it is given; -P is of 3.11.)
    if sys.path and sys.path[0] == "":
        del sys.path[0]
    import ctypes
    import gc
    import io  # noqa: F401  (warm: what most programs want; the heap stays thin)
    import linecache
    import os
    import random
    import signal
    import traceback
    import types

    import ast
    import collections, datetime, functools, itertools, json, math, re, string  # noqa: E401,F401

    library = sys.argv[2]
    lib = ctypes.CDLL(library)
    cold = sys.argv[1] in ("once", "session")
    socket = 0 if cold else int(sys.argv[1])
    lib.proctor_forked.argtypes = [ctypes.c_int, ctypes.c_long]
    filters = []

    def read_filter(fd):
        text = os.pread(fd, 1 << 20, 0)
        os.close(fd)
        return [ctypes.create_string_buffer(text, len(text)), len(text) // 8]

    if not cold:
        filters = [part for fd in sys.argv[3:6] for part in read_filter(int(fd))]
        lib.proctor_start(*filters[:4])
        for name in {"numpy": ["numpy"], "sympy": ["numpy", "sympy"]}.get(sys.argv[6], []):
            try:
                __import__(name)
            except ImportError:
                pass  # its guests say so themselves

    def read_program(fd):
        # "SIZE SIZE ...\n", then variables for the environment, the arguments and, last, the code.
        text = os.pread(fd, os.fstat(fd).st_size, 0)
        os.close(fd)
        at = text.index(b"\n") + 1
        parts = []
        for size in text[:at].split():
            parts.append(text[at:at + int(size)])
            at += int(size)
        # The code stays bytes: it may say itself what encoding it is in.
        for variable in filter(None, parts[0].split(b"\0")):
            name, value = variable.split(b"=", 1)
            os.environb[name] = value
        return [part.decode("utf-8", "surrogateescape") for part in parts[1:-1]], parts[-1]

    def report_exception():
        kind, value, trace = sys.exc_info()
        # Frames of this file are no business of the program's author.
        while trace is not None and trace.tb_frame.f_globals is globals():
            trace = trace.tb_next
        traceback.print_exception(kind, value.with_traceback(trace), trace)

    def check_encoding(code):
        # In the words of a Python that reads a file: compile() of bytes minds them within strings alone.
        try:
            code.decode("utf-8")
        except UnicodeDecodeError as error:
            at = error.start
        else:
            return
        comment = rb"[ \t\f]*#[^\r\n]*?coding[:=][ \t]*[-\w.]"
        first_line = rb"[ \t\f]*(?:#[^\r\n]*)?(?:\r\n|\r|\n)"
        if code.startswith(b"\xef\xbb\xbf") or re.match(rb"(?:%b)?%b" % (first_line, comment), code):
            return
        raise SyntaxError("Non-UTF-8 code starting with '\\x%02x' in file main.py on line %d, but no encoding "
                          "declared; see https://peps.python.org/pep-0263/ for details"
                          % (code[at], len(code[:at + 1].splitlines())))

    def remember_lines(name, code):
        lines = code.decode("utf-8", "replace").splitlines(True)
        linecache.cache[name] = (len(code), None, lines, name)

    def exit_code_of(exit):
        if exit.code is None:
            return 0
        if isinstance(exit.code, int):
            return exit.code & 0xFF
        print(exit.code, file=sys.stderr)
        return 1

    def flush():
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                pass

    def fresh_input():
        sys.stdin = sys.__stdin__ = open(0, "r", encoding="utf-8", errors="surrogateescape", closefd=False)

    def fresh_streams():
        sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1,
                          closefd=False)
        sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr

    def fresh_main():
        module = types.ModuleType("__main__")
        module.__dict__["__builtins__"] = __builtins__
        sys.modules["__main__"] = module
        return module.__dict__

    def settle():
        # In the guest, while it waits for its program. (random is seeded anew by os.fork() itself.)
        numpy = sys.modules.get("numpy.random")
        if numpy is not None:
            numpy.seed()
        workspace = os.getcwd()
        sys.path.insert(0, workspace)
        for name, place in ("HOME", workspace), ("TMPDIR", os.path.join(os.path.dirname(workspace), "tmp")):
            if os.environ.get(name) != place:
                os.environ[name] = place

    def prepare():
        # What all guests find as a fresh interpreter has it. The signals are those that Python itself ignores
        # or handles, but for SIGXFSZ: a program that outgrows its file limit ends by it, so that the ending
        # can say so.
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        fresh_streams()
        return fresh_main()

    def run_program(lib, names):
        settle()
        fd = lib.proctor_wait(0)
        if fd < 0:
            os._exit(125)
        arguments, code = read_program(fd)
        fresh_input()
        sys.argv = ["main.py"] + arguments
        names["__file__"] = "main.py"
        remember_lines("main.py", code)
        status = 0
        try:
            check_encoding(code)
            exec(compile(code, "main.py", "exec", dont_inherit=True), names)
        except SystemExit as exit:
            status = exit_code_of(exit)
        except BaseException:
            report_exception()
            status = 1
        try:
            if "threading" in sys.modules:
                sys.modules["threading"]._shutdown()
            import atexit
            atexit._run_exitfuncs()
        except BaseException:
            report_exception()
        flush()
        os._exit(status)

    def save_figures(count):
        # What is drawn and not yet shown, as a notebook shows it behind its cell.
        pyplot = sys.modules.get("matplotlib.pyplot")
        numbers = pyplot.get_fignums() if pyplot is not None else []
        for number in numbers:
            count += 1
            pyplot.figure(number).savefig(os.path.join(figures, "figure-%d.png" % count))
            pyplot.close(number)
        return count

    def run_cell(code, name, names):
        remember_lines(name, code)
        tree = compile(code, name, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
        last = None
        if tree.body and isinstance(tree.body[-1], ast.Expr) and not code.rstrip().endswith(b";"):
            last = ast.Expression(tree.body.pop().value)
        if tree.body:
            exec(compile(tree, name, "exec", dont_inherit=True), names)
        if last is not None:
            value = eval(compile(last, name, "eval", dont_inherit=True), names)
            if value is not None:
                names["_"] = value
                print(repr(value))

    def fork_session():
        # As os.fork() goes about it, around a clone of our own. With the interpreter's lock held: no other
        # thread may run meanwhile.
        flush()
        python = ctypes.pythonapi
        numbers = random.getstate()
        python.PyOS_BeforeFork()
        if ctypes.PyDLL(library).proctor_fork():
            python.PyOS_AfterFork_Child()
            random.setstate(numbers)  # a copy draws what the session would have drawn
        else:
            python.PyOS_AfterFork_Parent()

    figures = ""

    def run_session(lib, names):
        nonlocal figures
        settle()
        # Beside the workspace, where they are not mixed with the program's own files.
        figures = os.path.join(os.path.dirname(os.getcwd()), "code")
        sys.argv = ["session.py"]
        cell = drawn = 0
        on_interrupt = signal.default_int_handler
        while True:
            fd = lib.proctor_wait(1)
            while fd == -2:
                fork_session()
                fd = lib.proctor_wait(1)
            if fd < 0:
                os._exit(0)
            arguments, code = read_program(fd)
            if cell == 0:
                fresh_input()
            cell += 1
            raised = 0
            drawn_before = drawn
            try:
                signal.signal(signal.SIGINT, on_interrupt)
                run_cell(code, "cell %d" % cell, names)
                drawn = save_figures(drawn)
                # Between cells there is nothing to interrupt.
                on_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
            except SystemExit as exit:
                flush()
                os._exit(exit_code_of(exit))
            except BaseException:
                on_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
                report_exception()
                raised = 1
            flush()
            lib.proctor_done(raised + (2 if drawn > drawn_before else 0))

    if sys.argv[1] == "once":
        run_program(lib, prepare())
    if sys.argv[1] == "session":
        run_session(lib, prepare())
    # Streams remember whether they can seek: they are made on what guests have there, pipes.
    own = os.dup(1), os.dup(2)
    ends = os.pipe()
    for stream in (1, 2):
        os.dup2(ends[1], stream)
    names = prepare()
    for stream in (1, 2):
        os.dup2(own[stream - 1], stream)
    for fd in own + ends:
        os.close(fd)
    gc.collect()
    gc.freeze()
    lib.proctor_ready(socket, *filters[4:])
    while True:
        turn = lib.proctor_next(socket)
        if turn < 0:
            os._exit(0)
        if turn == 0:
            continue
        try:
            pid = os.fork()
        except OSError:
            pid = -1
        if pid == 0:
            session = lib.proctor_confine(socket)
            if session:
                run_session(lib, names)
            else:
                run_program(lib, names)
        lib.proctor_forked(socket, pid)


main()
