"""Settings and what becomes of them: bounds, where a complaint points, resuming from elsewhere, output
that cannot be written, records that a model tried to make unreadable."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from support import BINARY, Scratch, check, check_equal, finish, lines, proctor, refused, skip  # noqa: E402


def write_inputs(scratch, more="", tasks=None):
    scratch.write("tasks.jsonl", tasks or [{"id": "a", "prompt": "2+2?"}, {"id": "b", "prompt": "x"}])
    scratch.write("script.jsonl", [{"content": "<answer>4</answer>"}])
    return scratch.write("run.yaml", "tasks: tasks.jsonl\n"
                                     "models: {policy: \"script:script.jsonl?tokens=bytes\"}\n"
                                     "format: hermes\n" + more)


def bounds(scratch):
    config = write_inputs(scratch)
    for setting in ("limit=0", "seed=9007199254740993", "samples=4294967297", "limits.turns=2147483648", "limits.wall_ms=99999999999999",
                    "io_threads=100000", "concurrency=4294967297"):
        result = proctor("run", config, "--set", setting, "--dry-run", cwd=scratch.path)
        refused(result, 2, "--set " + setting, "out of range")
    refused(proctor("run", config, "--set", "limits.cost=1", "--dry-run", cwd=scratch.path), 2, "price_in")
    priced = "models.policy={uri: \"script:script.jsonl\", price_in: 0.001, price_out: 0.002}"
    result = proctor("run", config, "--set", priced, "--set", "limits.cost=0.01", "--set", "sampling.max_tokens=1",
                     "--dry-run", "--json", cwd=scratch.path)
    most = json.loads(result.stdout)["cost"]["most"]
    check(0.02 < most < 20, f"no rollout costs more than its limit and one turn: {most}")
    priced = "models.policy={uri: \"script:script.jsonl\", price_in: -1}"
    refused(proctor("run", config, "--set", priced, "--dry-run", cwd=scratch.path), 2, "at least 0")
    check_equal(proctor("run", config, "--limit", "0", cwd=scratch.path).returncode, 2, "--limit 0")


def complaints(scratch):
    config = write_inputs(scratch, "tools:\n  - python\n  - {bash: {wal_ms: 1}}\n")
    refused(proctor("run", config, "--dry-run", cwd=scratch.path), 2, "run.yaml:6: ", "wall_ms")
    config = write_inputs(scratch, "supervise:\n  - judje\n")
    refused(proctor("run", config, "--dry-run", cwd=scratch.path), 2, "run.yaml:5: ", "judge")
    config = write_inputs(scratch, "supervise:\n  - {judge: {as: proctor}}\n")
    refused(proctor("run", config, "--dry-run", cwd=scratch.path), 2, "proctor's own")
    config = write_inputs(scratch, "tools: [python]\n",
                          tasks=[{"id": "a", "prompt": "x", "tools": ["pyhton"]}])
    refused(proctor("run", config, "--dry-run", cwd=scratch.path), 2, "'a'", "did you mean 'python'")
    config = write_inputs(scratch)
    # Options before the file do not swallow it.
    result = proctor("run", "--set", "samples=2", "--dry-run", "--json", config, cwd=scratch.path)
    check_equal(result.returncode, 0, "an option before the configuration: " + result.stderr)
    check_equal(json.loads(result.stdout)["rollouts"], 4, "rollouts")


def renamed_tools(scratch):
    tasks = [{"id": "a", "prompt": "x"}, {"id": "b", "prompt": "x", "suite": "sums"}]
    config = write_inputs(scratch, "tools: [{python: {as: py}}, {python: {suites: [sums]}}]\n"
                                   "supervise: [judge]\n", tasks=tasks)
    scratch.write("script.jsonl", [
        {"match": {"turn": 0, "purpose": "policy"}, "content":
         '<tool_call>{"name": "py", "arguments": {"code": "print(41 + 1)"}}</tool_call>'
         '<tool_call>{"name": "python", "arguments": {"code": "1"}}</tool_call>'},
        {"content": "<answer>4</answer>"}])
    result = proctor("run", config, "--out", "renamed", cwd=scratch.path)
    record = lines(scratch("renamed/trajectories.jsonl"))[0]
    seen = [(o["name"], o["content"]) for o in record["turns"][0]["observations"]]
    check_equal(seen[0], ("py", "42"), "a renamed tool")
    check("There is no tool 'python'. The tools are: py." in seen[1][1], f"a tool of other suites: {seen}")
    check_equal(result.stderr.count("no model for the role judge"), 1, "the fallback is said once")


def candidates(scratch):
    """Several actions sampled a turn, compared by webarbiter while the rollout goes on."""
    config = write_inputs(scratch, "supervise: [webarbiter]\nsearch: {candidates: 3}\n")
    scratch.write("script.jsonl", [
        {"match": {"candidate": 0, "purpose": "policy"}, "content": "<answer>5</answer>"},
        {"match": {"candidate": 1, "purpose": "policy"}, "content": "<answer>4</answer>"},
        {"match": {"candidate": 2, "purpose": "policy"}, "content": "<answer>5</answer>"},
        {"match": {"purpose": "judge"}, "content": "<criteria>right</criteria><answer>Response 1</answer>"}])
    result = proctor("run", config, "--out", "candidates", cwd=scratch.path)
    check_equal(result.returncode, 0, "candidates: " + result.stderr)
    check("will label nothing" not in result.stderr, result.stderr)
    for record in lines(scratch("candidates/trajectories.jsonl")):
        turn = record["turns"][0]
        check_equal([c["content"] for c in turn["candidates"]],
                    ["<answer>5</answer>", "<answer>4</answer>", "<answer>5</answer>"], "the candidates")
        check_equal((turn["chosen"], turn["assistant"]), (0, turn["candidates"][0]), "the first is executed")
        labels = {label["name"]: label["value"] for label in record["labels"]}
        check_equal((labels["winner"], labels["reward"], labels["flip_rate"]), (0, 0.5, 1.0),
                    "a judge that likes the first: a tie, and the one that was sampled twice")
    check_equal(proctor("lint", "candidates", cwd=scratch.path).returncode, 0, "lint of candidates")
    alone = proctor("run", config, "--set", "search.candidates=1", "--dry-run", "--json", cwd=scratch.path)
    three = proctor("run", config, "--dry-run", "--json", cwd=scratch.path)
    check_equal(json.loads(three.stdout)["prompt_tokens"]["most"] > json.loads(alone.stdout)["prompt_tokens"]["most"], True,
                "the estimate knows of candidates")
    refused(proctor("run", config, "--set", "search={strategy: mcts}", "--dry-run", cwd=scratch.path), 2, "search.strategy")
    refused(proctor("run", config, "--set", "search.candidates=0", "--dry-run", cwd=scratch.path), 2, "search.candidates=0")


def resume_from_anywhere(scratch):
    config = write_inputs(scratch)
    tasks = "".join(json.dumps({"id": f"t{n}", "prompt": "x"}) + "\n" for n in range(3))
    result = proctor("run", config, "--tasks", "-", "--out", "piped", stdin=tasks, cwd=scratch.path)
    check_equal(result.returncode, 0, "tasks from stdin: " + result.stderr)
    # As after a kill: one rollout is missing.
    database = sqlite3.connect(scratch("piped/trajectories.db"))
    database.execute("DELETE FROM records WHERE number IN (SELECT number FROM trajectories WHERE task_id='t1')")
    database.execute("DELETE FROM trajectories WHERE task_id='t1'")
    database.commit()
    database.close()
    os.unlink(scratch("piped/config.yaml"))
    result = proctor("resume", scratch("piped"), cwd="/")
    check_equal(result.returncode, 0, "resume from elsewhere, without config.yaml: " + result.stderr)
    check_equal(sorted(record["task_id"] for record in lines(scratch("piped/trajectories.jsonl"))),
                ["t0", "t1", "t2"], "the tasks that were piped in")
    check_equal(proctor("run", config, "--tasks", "-", "--out", "moving", stdin=tasks, cwd=scratch.path).returncode, 0,
                "another")
    os.rename(scratch("moving"), scratch("moved"))
    result = proctor("resume", scratch("moved"), cwd="/")
    check_equal(result.returncode, 0, "its tasks moved with it: " + result.stderr)
    scratch.write("piped/tasks.jsonl", [{"id": "other", "prompt": "y"}])
    refused(proctor("resume", scratch("piped"), cwd="/"), 2, "not those that the run began with")


def damaged(scratch):
    """A store that cannot be read is complained of, and nothing else is said; damaged records are named beside the rest."""
    config = write_inputs(scratch)

    def spoilt(name, damage):
        proctor("run", config, "--out", name, cwd=scratch.path)
        database = sqlite3.connect(scratch(name + "/trajectories.db"))
        database.executescript(damage)
        database.close()
        return proctor("resume", name, cwd=scratch.path)

    result = spoilt("table", "DROP TABLE labelled_groups;")
    check(result.returncode in (1, 2) and "labelled_groups" in result.stderr, f"table: {result.stderr}")
    check_equal(result.stderr.count("\n"), 1, f"the complaint alone: {result.stderr}")
    # One is missing besides, so that the lines are written anew.
    result = spoilt("bytes", "DELETE FROM records WHERE number = 1; DELETE FROM trajectories WHERE number = 1;"
                    "UPDATE records SET record = x'28b52ffd00112233';")
    check_equal(result.returncode, 1, "a damaged record: " + result.stderr)
    check("bytes are damaged" in result.stderr and "resume bytes --retry-errors" in result.stderr,
          "it is named, with the remedy: " + result.stderr)
    exported = proctor("export", "bytes", "--format", "proctor", "--out", "e.jsonl", cwd=scratch.path)
    check(exported.returncode == 1 and "bytes are damaged" in exported.stderr, "export: " + exported.stderr)
    check_equal(len(lines(scratch("e.jsonl"))), 1, "the rest is exported")
    again = proctor("resume", "bytes", "--retry-errors", cwd=scratch.path)
    check_equal((again.returncode, len(lines(scratch("bytes/trajectories.jsonl")))), (0, 2), "played again: " + again.stderr)


def places(scratch):
    """Relative paths of the file begin in its `directory`, --out in the shell's; without either the next free."""
    config = write_inputs(scratch, f"directory: {scratch.path}\nout: mine/first\n")
    os.mkdir(scratch("elsewhere"))
    result = proctor("run", config, "--set", "name=first", cwd=scratch("elsewhere"))
    check_equal(result.returncode, 0, "a run from elsewhere: " + result.stderr)
    check(os.path.exists(scratch("mine/first/trajectories.db")), "out follows directory: " + result.stderr)
    check(f"proctor show {scratch('mine/first')}" in result.stderr, "the hint works from here: " + result.stderr)
    result = proctor("run", config, "--out", "second", cwd=scratch("elsewhere"))
    check_equal(result.returncode, 0, "--out: " + result.stderr)
    check(os.path.exists(scratch("elsewhere/second/trajectories.db")), "--out follows the shell: " + result.stderr)
    check("proctor show second" in result.stderr, "as it was typed: " + result.stderr)
    config = write_inputs(scratch)
    with open(config, encoding="utf-8") as file:
        text = file.read()
    for name in ("runs/-", "runs/--2"):
        result = proctor("run", "-", stdin=text, cwd=scratch.path)
        check_equal(result.returncode, 0, "a configuration from stdin: " + result.stderr)
        check(f"proctor show {name})" in result.stderr, "the next free directory: " + result.stderr)
    record = lines(scratch("runs/--2/trajectories.jsonl"))[0]
    check_equal(record["run_id"], "--2", "the run's name")


def full_disk(scratch):
    config = write_inputs(scratch)
    proctor("run", config, "--out", "shown", cwd=scratch.path)
    for command in (["run", config, "--dry-run"], ["tools"], ["supervisors"], ["doctor"],
                    ["show", scratch("shown")], ["lint", scratch("shown")], ["--help"]):
        with open("/dev/full", "w") as full:
            result = subprocess.run([BINARY, *command], stdout=full, stderr=subprocess.PIPE, text=True,
                                    cwd=scratch.path, timeout=120)
        check_equal(result.returncode, 1, f"{command} into a full disk: {result.stderr}")
        check("stdout: cannot be written" in result.stderr, f"{command}: {result.stderr!r}")


def not_text(scratch):
    """What config.yaml could not keep is refused before anything is made."""
    config = write_inputs(scratch)
    odd = os.fsencode(scratch.path) + b"/caf\xe9"
    os.mkdir(odd)
    shutil.copy(scratch("tasks.jsonl"), odd + b"/tasks.jsonl")
    for arguments, cwd, key in ((["--out", b"r\xff\xfe"], scratch.path, "out"),
                                (["--out", "made", "--tasks", odd + b"/tasks.jsonl"], scratch.path, "tasks"),
                                (["--out", scratch("made"), "--tasks", scratch("tasks.jsonl"), "--set",
                                  f"models.policy=script:{scratch('script.jsonl')}"], odd, "directory")):
        before = sorted(os.listdir(os.fsencode(scratch.path)))
        refused(proctor_in_bytes("run", config, *arguments, cwd=cwd), 2, f"{key}: 0x", "is no UTF-8 text")
        check_equal(sorted(os.listdir(os.fsencode(scratch.path))), before, f"nothing is made: {key}")


def proctor_in_bytes(*arguments, cwd):
    """Arguments and directories that are no text; what is said is."""
    return subprocess.run([BINARY, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120)


def without_threads(scratch):
    """A thread that cannot be made is one sentence, wherever it is missing."""
    config = write_inputs(scratch)
    # A thread's stack is as large as `ulimit -s`: so many of these fit into the memory.
    for stack, memory, more in (("64000000", "48000000", []), ("20000000", "36000000", []),
                                ("1000000", "40000000", ["--set", "io_threads=100"])):
        limits = f'ulimit -s {stack} && ulimit -v {memory} && exec "$0" "$@"'
        result = subprocess.run(["sh", "-c", limits, BINARY, "run", config, "--out", "short", *more],
                                cwd=scratch.path, capture_output=True, text=True, timeout=60)
        refused(result, 3, "a thread cannot be made: ", "ulimit -u")
        check(not os.path.exists(scratch("short")), f"nothing is made: {more}")


def no_room(scratch):
    """A limit on the size of files is a full disk, and no signal."""
    config = write_inputs(scratch)
    proctor("run", config, "--out", "shown", cwd=scratch.path)
    for command, files in (("run " + config + " --out small", 16), ("export shown --format proctor --out small.jsonl", 1)):
        limited = f'trap "" XFSZ; trap - XFSZ; ulimit -f {files}; exec "$0" ' + command
        result = subprocess.run(["sh", "-c", limited, BINARY], cwd=scratch.path, capture_output=True, text=True)
        refused(result, 1, "File too large")
    closed = subprocess.run(["sh", "-c", '"$0" export shown --format proctor >&-', BINARY], cwd=scratch.path,
                            capture_output=True, text=True)
    refused(closed, 1, "stdout: cannot be written")
    quiet = subprocess.run(["sh", "-c", '"$0" export shown --format proctor --out out.jsonl >&-', BINARY],
                           cwd=scratch.path, capture_output=True, text=True)
    check_equal(quiet.returncode, 0, "nothing is written to a closed stdout: " + quiet.stderr)


def no_files_left(scratch):
    """A disk that takes no further file is full, wherever the run first meets it."""
    config = write_inputs(scratch)
    os.mkdir(scratch("small"))
    for files in range(2, 10):
        mounted = f'mount -t tmpfs -o nr_inodes={files} tmpfs small || exit 77; exec "$0" run {config} --out small/run'
        result = subprocess.run(["unshare", "-m", "sh", "-c", mounted, BINARY], cwd=scratch.path,
                                capture_output=True, text=True)
        if result.returncode == 77 or "unshare:" in result.stderr:
            skip("nothing may be mounted here", "SANDBOX_MUST_WORK")
        refused(result, 1, "No space left on device")


def unwritable(scratch):
    """Output that cannot be written is 1 in all commands; what cannot be read is 2, and is said to be that."""
    config = write_inputs(scratch)
    scratch.write("corpus.jsonl", [{"id": "a", "text": "b"}])
    check_equal(proctor("run", config, "--out", "shown", cwd=scratch.path).returncode, 0, "a run")
    for command in (("run", config), ("export", "shown", "--format", "proctor"),
                    ("label", "shown", "--supervise", "groundedprm:check=tool"), ("index", "build", "corpus.jsonl")):
        refused(proctor(*command, "--out", "/proc/none/out.jsonl", cwd=scratch.path), 1, "/proc/none")
    os.rename(scratch("shown/trajectories.db"), scratch("shown/kept"))
    os.mkdir(scratch("shown/trajectories.db"))
    refused(proctor("resume", "shown", cwd=scratch.path), 2, "shown/trajectories.db: cannot be read: Is a directory")
    if os.geteuid() == 0:
        os.rmdir(scratch("shown/trajectories.db"))
        os.rename(scratch("shown/kept"), scratch("shown/trajectories.db"))
        os.chmod(scratch("shown/trajectories.db"), 0o600)
        os.chmod(scratch.path, 0o755)
        result = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", BINARY, "resume", "shown"],
                                cwd=scratch.path, capture_output=True, text=True)
        if "setpriv" not in result.stderr:
            refused(result, 2, "shown/trajectories.db: cannot be read: Permission denied")


def deep_calls(scratch):
    config = write_inputs(scratch, "tools: [python]\nlimits: {turns: 3}\n")
    for depth in (40, 60):
        call = '<tool_call>{"name": "python", "arguments": {"code": "1", "x": ' + '{"a": ' * depth + "{}" + \
               "}" * depth + "}}</tool_call>"
        scratch.write("script.jsonl", [{"match": {"turn": 0}, "content": call},
                                       {"content": "<answer>4</answer>"}])
        run = scratch(f"deep-{depth}")
        result = proctor("run", config, "--out", run, cwd=scratch.path)
        check_equal(result.returncode, 0, f"calls {depth} deep: " + result.stderr)
        check_equal(proctor("lint", run).returncode, 0, f"lint of calls {depth} deep")
        labelled = proctor("label", run + "/trajectories.jsonl", "--supervise", "groundedprm:check=tool",
                           "--out", scratch("labelled.jsonl"))
        check(labelled.returncode in (0, 1), "label: " + labelled.stderr)
        turn = lines(run + "/trajectories.jsonl")[0]["turns"][0]
        check_equal(turn["assistant"]["parse_error"] is None, depth == 40, f"parse_error at {depth}")


def crowded(scratch):
    config = write_inputs(scratch, "limits: {wall_ms: 600}\n", tasks=[{"id": f"t{i}", "prompt": "x"} for i in range(8)])
    scratch.write("script.jsonl", [{"content": "4", "delay_ms": 250}])
    one = "models.policy={uri: \"script:script.jsonl\", max_in_flight: 1}"
    proctor("run", config, "--set", one, "--set", "format=plain", "--out", scratch("crowd"), cwd=scratch.path)
    outcomes = [record["outcome"] for record in lines(scratch("crowd/trajectories.jsonl"))]
    check_equal({outcome["status"] for outcome in outcomes}, {"answered", "stopped"}, "no place is no model that hangs")
    for outcome in outcomes:
        check(outcome["status"] == "answered" or "waiting for a place" in outcome["error"], str(outcome["error"]))


def small_things(scratch):
    write_inputs(scratch)
    with open(scratch("tasks.jsonl"), encoding="utf-8") as file:
        text = file.read()
    with open(scratch("tasks.jsonl"), "w", encoding="utf-8-sig") as file:
        file.write(text)
    result = proctor("run", scratch("run.yaml"), "--out", "bom", cwd=scratch.path)
    check_equal(result.returncode, 0, "a byte order mark: " + result.stderr)
    refused(proctor("run", scratch("run.yaml"), "--filter", "!=x", "--dry-run", cwd=scratch.path), 2, "--filter")
    os.symlink(scratch("target.jsonl"), scratch("link.jsonl"))
    scratch.write("target.jsonl", "old\n")
    proctor("export", scratch("bom"), "--format", "proctor", "--out", scratch("link.jsonl"))
    check(os.path.islink(scratch("link.jsonl")), "a link stays one")
    check_equal(len(lines(scratch("target.jsonl"))), 2, "what the link points at is written")
    os.unlink(scratch("target.jsonl"))
    proctor("export", scratch("bom"), "--format", "proctor", "--out", scratch("link.jsonl"))
    check(os.path.islink(scratch("link.jsonl")), "a link to nothing stays one")
    check_equal(len(lines(scratch("target.jsonl"))), 2, "what the link points at is made")
    proctor("export", scratch("bom"), "--format", "proctor", "--out", scratch("packed.jsonl.zst"))
    for path in ("-", "packed.jsonl"):
        shutil.copy(scratch("packed.jsonl.zst"), scratch("packed.jsonl"))
        with open(scratch("packed.jsonl.zst"), "rb") as packed:
            shown = subprocess.run([BINARY, "show", path], stdin=packed, capture_output=True, cwd=scratch.path, text=True)
        check("2 finished" in shown.stdout, f"compressed, without the name for it: {path}: {shown.stderr}")
    with open(scratch("packed.jsonl.zst"), "rb") as packed:
        data = packed.read()
    shown = subprocess.Popen([BINARY, "show", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for piece in (data[:1], data[1:3], data[3:]):
        shown.stdin.write(piece)
        shown.stdin.flush()
        time.sleep(0.1)
    check(b"2 finished" in shown.communicate(timeout=60)[0], "the pipe brings a byte at first")


if __name__ == "__main__":
    for test in (bounds, complaints, renamed_tools, candidates, resume_from_anywhere, damaged, places, full_disk, not_text,
                 without_threads, no_room, no_files_left, unwritable,
                 deep_calls,
                 crowded,
                 small_things):
        with Scratch() as folder:
            test(folder)
    finish()
