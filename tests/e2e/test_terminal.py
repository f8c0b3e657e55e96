"""What people see: the bar, the pages of `show`, folded complaints of `lint`, refusals on the command line."""

import contextlib
import fcntl
import json
import os
import pty
import re
import resource
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import time

sys.path.insert(0, os.path.dirname(__file__))
from support import BINARY, Scratch, check, check_equal, finish, lines, proctor, refused  # noqa: E402

CALL = '<tool_call>{"name": "python", "arguments": {"code": "print(2)"}}</tool_call>'


def write_run(scratch, delay_ms=0, tasks=6, answer="4"):
    scratch.write("tasks.jsonl", [{"id": f"t{i}", "prompt": "x", "gold": {"answers": ["4"]}}
                                  for i in range(tasks)])
    scratch.write("script.jsonl", [
        {"match": {"turn": 0}, "delay_ms": delay_ms, "content": CALL},
        {"match": {"turn": 1}, "delay_ms": delay_ms, "content": f"<answer>{answer}</answer>"}])
    return scratch.write("run.yaml", "tasks: tasks.jsonl\nchecker: numeric\nformat: hermes\ntools: [python]\n"
                                     "models: {policy: 'script:script.jsonl?tokens=bytes'}\nconcurrency: 2\n"
                                     "supervise: [{groundedprm: {check: tool}}]\n")


def on_terminal(columns, arguments, cwd):
    """stderr of the program as a terminal of so many columns gets it."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen([BINARY, *arguments], stdout=subprocess.DEVNULL, stderr=theirs, cwd=cwd)
    os.close(theirs)
    text = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        text += part
    check_equal(process.wait(timeout=60), 0, f"exit code of {arguments}")
    return text.decode()


def wait_until_caught(pid, number):
    """Until the process handles that signal: before that, it would just die of it."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            caught = next((line.split()[1] for line in status if line.startswith("SigCgt")), "0")
        if int(caught, 16) >> (number - 1) & 1:
            return
        time.sleep(0.02)
    check(False, f"signal {number} is handled")


def progress(scratch):
    config = write_run(scratch, delay_ms=150)
    for columns in (80, 120):
        text = on_terminal(columns, ["run", config, "--out", f"bar{columns}"], scratch.path)
        drawn = [part.split("\r")[0].split("\n")[0] for part in text.split("\r\x1b[K")[1:]]
        check(len(drawn) > 2, f"the bar is drawn again and again: {drawn}")
        check(all(len(line) < columns for line in drawn), f"no line wraps: {drawn}")
        check(re.match(r"\[#+\] 6/6  [\d.]+ turns/s  \d+ tokens/s  0 errors  in \d+s$", drawn[-1]) is not None,
              f"the last one: {drawn[-1]!r}")
        check(any(re.match(r"\[#+\.+\] [1-5]/6 .* left$", line) for line in drawn), f"on the way: {drawn}")
    plain = proctor("run", config, "--out", "plain", cwd=scratch.path)
    check("6/6 rollouts" in plain.stderr and "[" not in plain.stderr, "no terminal, no bar: " + plain.stderr)


def pages(scratch):
    config = write_run(scratch)
    result = proctor("run", config, "--out", "done", cwd=scratch.path)
    shown = proctor("show", "done", cwd=scratch.path)
    check_equal(shown.returncode, 0, "show: " + shown.stderr)
    check(result.stdout and result.stdout in shown.stdout, "show has the tables of the run's end: " + shown.stdout)
    summary = lines(scratch("done/summary.json"))[0]
    levels = [(entry["label"], entry["level"]) for entry in summary["supervisors"]]
    check_equal(len(levels), len(set(levels)), "a line a label and level")
    check(any(entry["verdicts"] for entry in summary["supervisors"]), "verdicts are counted")
    from_store = json.loads(proctor("show", "done", "--json", cwd=scratch.path).stdout)
    check_equal((from_store["suites"], from_store["supervisors"]), (summary["suites"], summary["supervisors"]),
                "show and summary.json")
    check_equal((from_store["planned"], from_store["finished"], from_store["begun"]), (6, 6, 0), "counts")

    # All four commands take the directory and the file.
    for source in ("done", "done/trajectories.jsonl"):
        check("6 finished" in proctor("show", source, cwd=scratch.path).stdout, f"show {source}")
        check("correct" in proctor("show", source, "run-t3", cwd=scratch.path).stdout or
              "correct" in proctor("show", source, "done-t3", cwd=scratch.path).stdout, f"show {source} ID")
        check_equal(proctor("lint", source, cwd=scratch.path).returncode, 0, f"lint {source}")
        check_equal(proctor("export", source, "--format", "proctor", "--out", "e.jsonl",
                            cwd=scratch.path).returncode, 0, f"export {source}")
        labelled = proctor("label", source, "--supervise", "groundedprm:check=tool", "--out", "l.jsonl",
                           cwd=scratch.path)
        check("labelled 6 of 6 trajectories" in labelled.stderr, f"label {source}: {labelled.stderr}")
    # Labels go to a file of trajectories that is none of a run's own.
    os.symlink("done/trajectories.jsonl", scratch("link.jsonl"))
    for name, why in (("done/trajectories.db", "a file of the run"), ("done/config.yaml", "a file of the run"),
                      ("./done/trajectories.jsonl", "a file of the run"), ("link.jsonl", "a file of the run"),
                      ("l.txt", "written as .jsonl"), ("l.jsonl.gz", "written as .jsonl")):
        refused(proctor("label", "done", "--supervise", "groundedprm:check=tool", "--out", name, cwd=scratch.path),
                2, f"--out {name}: ", why)
    refused(proctor("export", "done", "--format", "proctor", "--out", "done/log.jsonl", cwd=scratch.path),
            2, "--out done/log.jsonl: ", "a file of the run")
    check_equal(proctor("lint", "done", cwd=scratch.path).returncode, 0, "the run is as it was")
    check(not os.path.exists(scratch("l.txt")), "nothing is written")

    # Of a run that is not whole yet both say what is not among the rows.
    shutil.copytree(scratch("done"), scratch("part"))
    with contextlib.closing(sqlite3.connect(scratch("part/trajectories.db"))) as store, store:
        store.execute("UPDATE run SET value = '8' WHERE key = 'planned'")
    for command in (("export", "--format", "proctor"), ("label", "--supervise", "groundedprm:check=tool")):
        for source, told in (("part", True), ("part/trajectories.jsonl", False), ("done", False)):
            result = proctor(command[0], source, *command[1:], cwd=scratch.path)
            check_equal("part: 2 of 8 rollouts are not finished: `proctor resume part` goes on" in result.stderr, told,
                        f"{command[0]} {source}: {result.stderr}")

    # For machines both have one shape, cut only where --limit says so, and totals only of the whole.
    of_file = json.loads(proctor("show", "done/trajectories.jsonl", "--json", cwd=scratch.path).stdout)
    check_equal((from_store["suites"], from_store["supervisors"]), (of_file["suites"], of_file["supervisors"]),
                "totals of directory and file")
    check_equal(set(from_store), set(of_file), "keys of both pages")
    for source in ("done", "done/trajectories.jsonl"):
        few = json.loads(proctor("show", source, "--json", "--limit", "2", cwd=scratch.path).stdout)
        check_equal((len(few["trajectories"]), len(from_store["trajectories"])), (2, 6), f"--limit of {source}")
        some = json.loads(proctor("show", source, "--json", "--filter", "turns>=0", cwd=scratch.path).stdout)
        check_equal(some["supervisors"], None, f"no totals beside a filter: {source}")
        some = proctor("show", source, "--filter", "turns>=0", cwd=scratch.path).stdout
        check("labels are added up where no --filter is given" in some, "and it is said: " + some)
        one = few["trajectories"][0]["id"]
        refused(proctor("show", source, one, "--filter", "correct=false", cwd=scratch.path), 2, one,
                "is one trajectory; a filter is for lists")

    # --full cuts nothing; without it long texts are cut, and it is said.
    long = "\n".join(f"line {i}" for i in range(60))
    scratch.write("long.jsonl", [{"content": long + "<answer>4</answer>"}])
    proctor("run", config, "--model", "policy=script:long.jsonl", "--limit", "1", "--out", "long", cwd=scratch.path)
    cut, whole = (proctor("show", "long", "long-t0", *full, cwd=scratch.path) for full in ((), ("--full",)))
    check("--full shows them" in cut.stdout and "line 59" not in cut.stdout, "cut: " + cut.stdout + cut.stderr)
    check_equal(whole.returncode, 0, "--full: " + whole.stderr)
    check("line 59" in whole.stdout and "more lines" not in whole.stdout, "whole: " + whole.stdout)

    # A whole task name goes before other names that begin with it, and means all its samples.
    scratch.write("names.jsonl", [{"id": name, "prompt": "x"} for name in ("t1", "t10", "t11")])
    proctor("run", config, "--tasks", "names.jsonl", "--set", "samples=2", "--out", "two", cwd=scratch.path)
    proctor("run", config, "--tasks", "names.jsonl", "--out", "single", cwd=scratch.path)
    for source in ("two", "two/trajectories.jsonl"):
        both = proctor("show", source, "t1", cwd=scratch.path)
        check_equal(both.returncode, 0, "show TASK: " + both.stderr)
        check_equal(re.findall(r"two-t\S+", both.stdout), ["two-t1-0", "two-t1-1"], "its samples: " + both.stdout)
    check("single-t1-0" in proctor("show", "single", "t1", cwd=scratch.path).stdout.splitlines()[0], "the only sample")
    refused(proctor("show", "two", "t", cwd=scratch.path), 2, "fits 6 trajectories")
    for asked in ((), ("t1",)):
        refused(proctor("show", "done", *asked, "--filter", "status=answred", cwd=scratch.path), 2, "'answered'")
    result = proctor("show", "done", "--limit", "-1", cwd=scratch.path)
    check(result.returncode == 2 and "--limit" in result.stderr, "--limit -1: " + result.stderr)

    # Without --out the rows go to stdout; of nothing comes an empty file, with a remark.
    rows = proctor("export", "done", "--format", "proctor", cwd=scratch.path)
    check_equal((rows.returncode, len(rows.stdout.splitlines())), (0, 6), "export to stdout: " + rows.stderr)
    check("format" in proctor("export", "done", cwd=scratch.path).stdout.splitlines()[0], "the list of formats")
    scratch.write("empty.jsonl", "")
    rows = proctor("export", "empty.jsonl", "--format", "proctor", "--out", "none.jsonl", cwd=scratch.path)
    check_equal((rows.returncode, os.path.getsize(scratch("none.jsonl"))), (0, 0), "export of nothing: " + rows.stderr)
    check("empty.jsonl: there is no trajectory" in rows.stderr, "why: " + rows.stderr)
    os.remove(scratch("none.jsonl"))

    # A reader that went away gets no remark.
    closed = subprocess.Popen([BINARY, "export", "done", "--format", "proctor"], cwd=scratch.path,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    closed.stdout.close()
    told = closed.stderr.read()
    check_equal((closed.wait(timeout=60), told), (1, ""), "export | true")

    # What is told can be typed, and both filters take the same.
    mine = proctor("run", config, "--limit", "2", "--out", "it's mine", cwd=scratch.path)
    hint = re.search(r"look at them with: (proctor show .*)\)", mine.stderr)[1]
    check_equal(hint, "proctor show 'it'\\''s mine'", "a path with a blank and a quote")
    shown = subprocess.run(["bash", "-c", hint.replace("proctor", BINARY, 1) + " --filter 'id=t0,status=answ*'"],
                           cwd=scratch.path, capture_output=True, text=True)
    check("the filter keeps 1" in shown.stdout and "show 'it'\\''s mine' ID" in shown.stdout, shown.stdout + shown.stderr)
    few = proctor("run", config, "--filter", "id=t*", "--filter", "task!=t0,id!=t[1-3]", "--out", "few", cwd=scratch.path)
    check("few: 2 trajectories" in few.stderr, "several filters: " + few.stderr)

    one = proctor("run", config, "--limit", "1", "--out", "one", cwd=scratch.path)
    check("one: 1 trajectory (" in one.stderr, "one is one: " + one.stderr)


def unfinished(scratch):
    config = write_run(scratch, delay_ms=1500)
    process = subprocess.Popen([BINARY, "run", config, "--out", "cut"], stderr=subprocess.PIPE, cwd=scratch.path)
    one_turn = re.compile(r"(\S+) +unfinished +- +- +1\b")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and len(one_turn.findall(proctor("show", "cut", cwd=scratch.path).stdout)) < 2:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    page = proctor("show", "cut", cwd=scratch.path).stdout
    check("0 finished of 6, 2 begun: `proctor resume cut` goes on" in page, page)
    check("unfinished" in page.split("trajectory ")[1], "they are listed: " + page)
    page_of = lambda condition: proctor("show", "cut", "--filter", condition, cwd=scratch.path).stdout  # noqa: E731
    kept = page_of("turns>=0")
    check("unfinished" in kept.split("trajectory ")[1] and "the filter keeps" not in kept, "kept: " + kept)
    none = page_of("correct!=true")
    check("the filter keeps 0" in none and "trajectory" not in none, "what has no grade yet: " + none)
    begun = one_turn.search(page)
    of_json = json.loads(proctor("show", "cut", "--json", "--filter", "status=unfinished", cwd=scratch.path).stdout)
    check_equal([of_json[key] for key in ("planned", "finished", "begun")], [6, 0, 2], "counts")
    check_equal([row["status"] for row in of_json["trajectories"]], ["unfinished"] * 2, "they are listed for machines")
    record = json.loads(proctor("show", "cut", begun[1] if begun else "none", "--json", cwd=scratch.path).stdout)
    check_equal((record["outcome"], len(record["turns"])), (None, 1), "no outcome yet")
    one = proctor("show", "cut", begun[1] if begun else "none", cwd=scratch.path)
    check("print(2)" in one.stdout and "── unfinished · 1 turn in the journal" in one.stdout, one.stdout + one.stderr)


def hostile(scratch):
    config = write_run(scratch, answer="\u202e4\u200b\u2066\U000e0041")
    proctor("run", config, "--limit", "1", "--out", "bidi", cwd=scratch.path)
    shown = proctor("show", "bidi", "bidi-t0", cwd=scratch.path).stdout
    check("answer: <U+202E>4<U+200B><U+2066><U+E0041>" in shown, "unseen characters are written out: " + shown)
    record = lines(scratch("bidi/trajectories.jsonl"))[0]
    record["prefix"][0]["role"] = "us\u202e\u001ber"
    scratch.write("role.jsonl", [record])
    shown = proctor("show", "role.jsonl", "bidi-t0", "--full", cwd=scratch.path).stdout
    check("us<U+202E>^[er" in shown and "\u202e" not in shown, "so are those of a role: " + shown)
    record["prefix"][0]["role"] = "user"
    record["labels"][0]["verdict"] = "\u202e no word"
    scratch.write("bad.jsonl", [record])
    for arguments in ((), ("--all",)):
        result = proctor("lint", "bad.jsonl", *arguments, cwd=scratch.path)
        check("<U+202E>" in result.stdout + result.stderr and "\u202e" not in result.stdout + result.stderr,
              f"lint {arguments}: {result.stdout}{result.stderr}")
    # Names stay in their cells, in the tables of run and of show.
    scratch.write("names.jsonl", [{"id": f"t\u001b[2J\n{n}", "suite": "s\u001b[2J\nx", "prompt": "x"} for n in (0, 10)])
    ran = proctor("run", config, "--tasks", "names.jsonl", "--out", "names", cwd=scratch.path).stdout
    for page in (ran, *(proctor("show", source, cwd=scratch.path).stdout for source in ("names", "names/trajectories.jsonl"))):
        check("\x1b" not in page, f"no escape sequence: {page!r}")
        _, rule, row = page[page.index("suite "):].splitlines()[:3]
        check(row.startswith("s^[[2J x  ") and len(rule.split()[0]) == len("s^[[2J x"), f"a suite's row: {page}")
    check("names-t^[[2J 10-0  answered" in page, f"an id's row: {page}")


def folded(scratch):
    config = write_run(scratch)
    proctor("run", config, "--limit", "2", "--out", "run", cwd=scratch.path)
    records = lines(scratch("run/trajectories.jsonl"))
    sampled = 0
    for record in records:
        sampled += record["tokens"]["loss_mask"].count(1)
        record["tokens"]["loss_mask"] = [2 if mask else 0 for mask in record["tokens"]["loss_mask"]]
    records[1]["sample"] = -1
    scratch.write("bad.jsonl", records)
    result = proctor("lint", "bad.jsonl", "--all", cwd=scratch.path)
    refused(result, 2, "2 of 2 records are wrong")
    kinds = result.stdout.splitlines()
    masks = [line for line in kinds if "expected 0 or 1" in line]
    check(len(masks) == 1 and f"({sampled - 1} more like it, in 2 records)" in masks[0], f"one line a kind: {kinds}")
    check(any("bad.jsonl:2" in line and "sample is negative" in line for line in kinds), f"each kind: {kinds}")


def command_line(scratch):
    config = write_run(scratch)
    refused(proctor("bogus"), 2, "unknown command 'bogus'")
    refused(proctor("rnu"), 2, "unknown command 'rnu'", "did you mean 'run'")
    refused(proctor("run", config, "--dry-run", "--filter", "metadta.level=1", cwd=scratch.path), 2,
            "unknown field 'metadta.level'")
    for command in (("run", config, "--dry-run"), ("show", "empty.jsonl")):
        scratch.write("empty.jsonl", "")
        refused(proctor(*command, "--filter", "sutie=qa", cwd=scratch.path), 2,
                "--filter 'sutie=qa': unknown field 'sutie': did you mean 'suite'?")
    refused(proctor("run", config, "--dry-run", "--set", "sampling.temperature=-1", cwd=scratch.path), 2,
            "temperature: -1 is out of range; expected at least 0")
    refused(proctor("index", "query", scratch.path, " "), 2, "the query is empty")
    for arguments in (("sandbox", "--executions", "0"), ("sandbox", "--parallel", "-1"),
                      ("search", "--queries", "0"), ("search", "--documents", "-5"),
                      ("loop", "--delay-ms", "-1")):
        result = proctor("bench", *arguments)
        check(result.returncode == 2 and arguments[1] in result.stderr, f"bench {arguments}: {result.stderr}")
    refused(proctor("bench", "loop", "--executions", "3"), 2, "--executions", "bench loop")
    bench = subprocess.Popen([BINARY, "bench", "loop", "--rollouts", "100000", "--delay-ms", "50"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until_caught(bench.pid, signal.SIGINT)
    bench.send_signal(signal.SIGINT)
    said, told = bench.communicate(timeout=30)
    check(bench.returncode == 130 and not said, f"bench interrupted: {bench.returncode} {said} {told}")
    result = proctor("bench", "search", "--documents", "50", "--queries", "5")
    check("bottleneck: not measured" in result.stderr, "bench search: " + result.stderr)
    for folder in ("/proc", "/proc/none"):
        refused(proctor("bench", "search", env={"TMPDIR": folder}), 2, f"TMPDIR {folder} (")
    result = proctor("bench", "sandbox", "--executions", "2", "--parallel", "1")
    check("bottleneck: not measured" in result.stderr, "bench sandbox of one at once: " + result.stderr)
    check_equal(json.loads(result.stdout)["runs"][0]["failures"], 0, "nothing failed")
    # Executions that fail are counted: here the sandbox's guardian is killed under them.
    bench = subprocess.Popen([BINARY, "bench", "sandbox", "--executions", "2000", "--parallel", "1"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(1)
    with open(f"/proc/{bench.pid}/task/{bench.pid}/children", encoding="utf-8") as file:
        for child in file.read().split():
            os.kill(int(child), signal.SIGKILL)
    said, told = bench.communicate(timeout=60)
    check_equal(bench.returncode, 1, "bench sandbox without a sandbox: " + told)
    ran = json.loads(said)["runs"][0]
    check(ran["failures"] > 0 and ran["executions"] + ran["failures"] == 2000, f"failures are counted: {ran}")
    check("bottleneck: not measured" in told and "executions failed" in told, "and said: " + told)
    result = proctor("bench", "loop", "--rollouts", "16", "--delay-ms", "20")
    check("bottleneck: the model" in result.stderr, "bench loop: " + result.stderr)
    dry = proctor("run", config, "--dry-run", cwd=scratch.path)
    check("the policy alone" in dry.stdout and "groundedprm" in dry.stdout, "dry run: " + dry.stdout)
    check_equal(proctor("run", config, "--json", cwd=scratch.path).returncode, 2, "--json is of --dry-run")

    # What is no trajectory is refused with its line, before anything is written.
    label = ("--supervise", "groundedprm:check=tool", "--out", "none.jsonl")
    refused(proctor("label", "tasks.jsonl", *label, cwd=scratch.path), 2, "tasks.jsonl:1: ", "no trajectory")
    scratch.write("chat.jsonl", [{"messages": [{"role": "user", "content": "x"},
                                               {"role": "assistant", "content": "y"}]}, {"messages": []}])
    refused(proctor("label", "chat.jsonl", "--from", "openai-messages", *label, cwd=scratch.path), 2,
            "chat.jsonl:2: ", "messages")
    record = {"schema": "proctor.trajectory/1", "id": "a", "task_id": "a", "turns": [],
              "task": {"gold": {"answers": ["x"]}}, "outcome": {"status": "answered"}}
    scratch.write("mixed.jsonl", [record])
    refused(proctor("label", "mixed.jsonl", "--supervise", "igpo:outcome=reward", "--model", "scorer=script:script.jsonl",
                    cwd=scratch.path), 2, "mixed.jsonl:1: ", "igpo:suites=NAME")

    # Lines of the configuration.
    bad = scratch.write("suite.yaml", "format: hermes\nsuite: cod\nmodels: {policy: 'script:script.jsonl'}\n")
    refused(proctor("run", bad, "--dry-run", cwd=scratch.path), 2, "suite.yaml:2: ", "'code'")
    bad = scratch.write("needs.yaml", "format: hermes\nsuite: qa\nmodels: {policy: 'script:script.jsonl'}\n")
    refused(proctor("run", bad, "--dry-run", cwd=scratch.path), 2, "needs.yaml:2: ", "add it to `tools:`")
    bad = scratch.write("index.yaml", "tasks: tasks.jsonl\ntools:\n  - search: {index: nowhere}\n"
                                      "models: {policy: 'script:script.jsonl'}\n")
    refused(proctor("run", bad, "--dry-run", cwd=scratch.path), 2, "index.yaml:3: ", "nowhere")


def no_more_processes(scratch):
    """`bench loop` that may not start its server says so, and ends no process but its own."""
    # Processes and threads are counted by user, root's are not: somebody who has no others stands in.
    root = os.geteuid() == 0
    somebody = {"user": 54321, "group": 54321, "extra_groups": []} if root else {}
    others = 0
    for pid in () if root else filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{pid}").st_uid == os.geteuid():
                others += len(os.listdir(f"/proc/{pid}/task"))
        except OSError:
            pass
    bystander = subprocess.Popen(["sleep", "100"], **somebody)
    os.chmod(scratch.path, 0o777)
    told = []
    for most in range(2, 5):  # the launcher, the server, its thread
        limit = lambda: resource.setrlimit(resource.RLIMIT_NPROC, (others + most,) * 2)  # noqa: E731
        result = subprocess.run([BINARY, "bench", "loop", "--rollouts", "2"], capture_output=True, text=True,
                                timeout=60, preexec_fn=limit, cwd=scratch.path,
                                env={**os.environ, "TMPDIR": scratch.path}, **somebody)
        told.append((result.returncode, result.stderr))
        check(bystander.poll() is None, f"somebody else's process lives on: {told}")
    bystander.kill()
    bystander.wait()
    check(any("model server did not start: Resource" in said for _, said in told), f"it is said: {told}")


if __name__ == "__main__":
    for test in (progress, pages, unfinished, hostile, folded, command_line, no_more_processes):
        with Scratch() as folder:
            test(folder)
    finish()
