"""The main job from outside: run, its caps and records, interrupt and resume."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))
from support import (BINARY, Scratch, Server, check, check_equal, completion, finish,  # noqa: E402
                     lines, proctor, refused)


def strip(record):
    """The record without times, usage and costs, which may differ between two runs."""
    for turn in record["turns"]:
        turn.pop("timing", None)
        for observation in turn["observations"]:
            observation.pop("usage", None)
            observation["data"].pop("usage", None)
    for label in record["labels"]:
        label.pop("cost", None)
    for key in ("created", "usage"):
        record.pop(key, None)
    return record


def by_id(path):
    return {record["id"]: strip(record) for record in lines(path)}


def offline(scratch):
    out = scratch("offline")
    result = proctor("run", "examples/offline/run.yaml", "--out", out)
    check_equal(result.returncode, 0, "examples/offline: " + result.stderr)
    check("supervisor" in result.stdout and "groundedprm" in result.stdout, "summary table")
    check(re.search(r"^tasks +3 +6 +67% +50% ", result.stdout, re.M), "it is graded: " + result.stdout)
    records = {r["id"]: r for r in lines(out + "/trajectories.jsonl")}
    check_equal(len(records), 6, "three tasks, two samples")
    good, bad = records["offline-eggs-0"], records["offline-eggs-1"]

    def first_error(record):
        return [l["value"] for l in record["labels"] if l["name"] == "first_error"]

    check_equal(first_error(good), [-1], "no wrong step in the right solution")
    check_equal(first_error(bad), [0], "the first step of the wrong solution is wrong")
    turn = records["offline-sum-0"]["turns"][0]
    check_equal(turn["observations"][0]["content"].strip(), "385", "the program really ran")
    check_equal(records["offline-lost-0"]["outcome"]["status"], "stopped", "the judge stops")
    check(records["offline-sum-0"]["tokens"]["ids"], "token ids are there")
    check_equal(proctor("lint", out).returncode, 0, "lint of the run")
    again = scratch("again/offline")
    os.makedirs(scratch("again"))
    check_equal(proctor("run", "examples/offline/run.yaml", "--out", again).returncode, 0, "again")
    check_equal(by_id(again + "/trajectories.jsonl"), by_id(out + "/trajectories.jsonl"),
                "the same seed gives the same records")
    elsewhere = proctor("run", os.path.abspath("examples/offline/run.yaml"), cwd=scratch.path)
    refused(elsewhere, 2, "run.yaml:3: tasks: there is no file examples/offline/tasks.jsonl",
            f"below the working directory ({os.path.realpath(scratch.path)})")
    dry = proctor("run", "examples/offline/run.yaml", "--dry-run")
    check(dry.returncode == 0 and "3 tasks, 6 rollouts" in dry.stdout, "dry run: " + dry.stdout)
    check("model calls of groundedprm, judge" in dry.stdout, "what is not in it: " + dry.stdout)
    limited = scratch("limited")
    result = proctor("run", "examples/offline/run.yaml", "--out", limited, "--filter", "id=e*",
                     "--set", "samples=1")
    check_equal(len(lines(limited + "/trajectories.jsonl")), 1, "--filter")


class Counting:
    """Answers slowly, always the same, and counts how many ask at once."""

    def __init__(self, text, seconds):
        self.text, self.seconds = text, seconds
        self.inside, self.most, self.lock = 0, 0, threading.Lock()

    def __call__(self, handler, _):
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        time.sleep(self.seconds)
        with self.lock:
            self.inside -= 1
        handler.reply(200, completion(self.text))


def caps(scratch):
    """However many tasks there are, no more than `concurrency` rollouts run, and no more calls of
    the policy and of the judge than their models may have in flight."""
    policy, judge = Counting("<answer>4</answer>", 0.01), Counting("<score>9</score>", 0.05)
    tasks = scratch.write("many.jsonl", [{"id": f"t{i}", "prompt": f"x{i}"} for i in range(60)])
    with Server(policy) as server, Server(judge) as other:
        config = scratch.write("caps.yaml", f"""
tasks: {tasks}
format: hermes
concurrency: 7
models:
  policy: {{uri: "{server.uri}", max_in_flight: 3}}
  judge: {{uri: "{other.uri}", max_in_flight: 2}}
supervise: [{{judge: {{rubric: "Is it right?"}}}}]
""")
        result = proctor("run", config, "--out", scratch("caps"))
    check_equal(result.returncode, 0, "caps: " + result.stderr)
    check(policy.most <= 3, f"the policy saw {policy.most} requests at once, allowed are 3")
    check_equal(judge.most, 2, "requests that the judge saw at once")
    summary = lines(scratch("caps") + "/summary.json")[0]["in_flight"]
    check_equal(summary["rollouts"]["highest"], 7, "highest number of rollouts seen")
    check_equal(summary["model.policy"]["highest"], 3, "highest number of model calls")
    check_equal((summary["model.judge"]["highest"], summary["model.judge"]["capacity"]), (2, 2),
                "highest number of the judge's calls, and its cap")


def few_open_files(scratch):
    """Where few files may be open, fewer requests are under way at once, and all is written."""
    tasks = scratch.write("files.jsonl", [{"id": f"t{i}", "prompt": f"x{i}"} for i in range(150)])
    policy = Counting("<answer>4</answer>", 0.3)
    with Server(policy) as server:
        config = scratch.write("files.yaml", f"""
tasks: {tasks}
format: hermes
concurrency: 150
models: {{policy: "{server.uri}"}}
""")
        result = subprocess.run(["prlimit", "--nofile=128:128", BINARY, "run", config, "--out", scratch("files")],
                                capture_output=True, text=True)
    check_equal(result.returncode, 0, "few open files: " + result.stderr)
    check_equal(len(lines(scratch("files") + "/trajectories.jsonl")), 150, "records with few open files")
    check_equal(policy.most, 32, "requests at once, a quarter of the open files")
    check("32 requests at a time to models.policy instead of 150" in result.stderr, "it is said: " + result.stderr)
    with Server(Counting("<answer>4</answer>", 0)) as server:
        quoted = f'models.policy={{uri: "{server.uri}", max_in_flight: "8"}}'
        result = subprocess.run(["prlimit", "--nofile=128:128", BINARY, "run", config, "--set", quoted, "--limit", "9",
                                 "--out", scratch("quoted")], capture_output=True, text=True)
    check_equal(result.returncode, 0, "a number in quotes: " + result.stderr)
    check("models.policy instead" not in result.stderr, "eight were asked for: " + result.stderr)


def too_few_open_files(scratch):
    """What cannot be kept up is refused before it begins, or lowered in one line."""
    tasks = scratch.write("low.jsonl", [{"id": f"t{i}", "prompt": f"x{i}"} for i in range(12)])
    call = '<tool_call>{"name": "python", "arguments": {"code": "print(2)"}}</tool_call>'

    def answer(handler, body):
        time.sleep(0.05)
        begun = any(message["role"] == "assistant" for message in body["messages"])
        handler.reply(200, completion("<answer>4</answer>" if begun else call))

    with Server(answer) as server:
        config = scratch.write("low.yaml", f"tasks: {tasks}\nformat: hermes\ntools: [python]\n"
                                           f"models: {{policy: '{server.uri}'}}\n")

        def limited(most, out):
            return subprocess.run(["prlimit", f"--nofile={most}:{most}", BINARY, "run", config, "--out", out],
                                  capture_output=True, text=True)
        result = limited(44, scratch("low-44"))
        refused(result, 3, "only 44 files may be open at once (ulimit -n)")
        needed = int(re.search(r"needs (\d+)", result.stderr)[1])
        check_equal(result.stderr.count("\n"), 1, "one sentence: " + result.stderr)
        check(not os.path.exists(scratch("low-44")), "nothing is begun")
        for most in (needed, 120):
            result = limited(most, scratch(f"low-{most}"))
            check_equal(result.returncode, 0, f"with {most} open files: " + result.stderr)
            said = f"only {most} files may be open at once (ulimit -n): {most // 4} requests at a time to models.policy"
            check(said in result.stderr, "what was lowered: " + result.stderr)
    result = proctor("run", "examples/offline/run.yaml", "--out", scratch("usual"))
    check("may be open" not in result.stderr, "nothing is lowered: " + result.stderr)


def at_once(scratch):
    """Runs that start at the same moment get a directory each."""
    scratch.write("at.jsonl", [{"id": "a", "prompt": "x"}])
    scratch.write("at-script.jsonl", [{"delay_ms": 200, "content": "<answer>1</answer>"}])
    scratch.write("at.yaml", "tasks: at.jsonl\nmodels: {policy: 'script:at-script.jsonl'}\nformat: hermes\n")
    several = [subprocess.Popen([BINARY, "run", "at.yaml", "--quiet"], cwd=scratch.path, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True) for _ in range(6)]
    told = [process.communicate(timeout=60)[1] for process in several]
    check_equal([process.returncode for process in several], [0] * 6, f"all of them: {told}")
    check_equal(sorted(os.listdir(scratch("runs"))), sorted(["at"] + [f"at-{n}" for n in range(2, 7)]), "directories")
    for name in os.listdir(scratch("runs")):
        check_equal(len(lines(scratch(f"runs/{name}/trajectories.jsonl"))), 1, name)
    os.mkdir(scratch("none"))
    scratch.write("none/bad.yaml", "tasks: nowhere.jsonl\nmodels: {policy: 'script:x.jsonl'}\n")
    refused(proctor("run", "bad.yaml", cwd=scratch("none")), 2, "nowhere.jsonl")
    check_equal(os.listdir(scratch("none")), ["bad.yaml"], "a run that does not begin leaves nothing")


def fewer(scratch):
    """A plan that has shrunk is told of."""
    out = scratch("fewer")
    check_equal(proctor("run", "examples/offline/run.yaml", "--out", out).returncode, 0, "six rollouts")
    with open(out + "/config.yaml") as file:
        config = file.read()
    with open(out + "/config.yaml", "w") as file:
        file.write(config.replace("samples: 2", "samples: 1"))
    result = proctor("resume", out)
    check_equal(result.returncode, 0, "fewer: " + result.stderr)
    check_equal(result.stderr.count("6 rollouts were planned, and the configuration now has 3"), 1, result.stderr)
    check("were planned" not in proctor("resume", out).stderr, "it is told once")


def without_usage(scratch):
    """A server that counts no tokens leaves two limits without effect, and that is said."""
    uncounted = completion("<answer>4</answer>")
    del uncounted["usage"]
    tasks = scratch.write("usage.jsonl", [{"id": "a", "prompt": "x"}, {"id": "b", "prompt": "x"}])
    with Server(lambda handler, _: handler.reply(200, uncounted)) as server:
        config = scratch.write("usage.yaml", f"tasks: {tasks}\nmodels: {{policy: '{server.uri}'}}\nformat: hermes\n")
        result = proctor("run", config, "--out", scratch("usage"))
    check_equal(result.returncode, 0, "without usage: " + result.stderr)
    check("2 turns came without token counts (usage) and without token ids" in result.stderr,
          "what could not be held: " + result.stderr)


def secret_header(scratch):
    """A header's value from the environment reaches the server, and no file of the run."""
    seen = []
    tasks = scratch.write("secret.jsonl", [{"id": "a", "prompt": "x"}])

    def answer(handler, _):
        seen.append(handler.headers.get("X-Api-Key"))
        handler.reply(200, completion("<answer>4</answer>"))

    with Server(answer) as server:
        config = scratch.write("secret.yaml", f"tasks: {tasks}\nformat: hermes\nmodels:\n  policy:\n    uri: '{server.uri}'\n"
                                              "    headers: {X-Api-Key: {env: TEST_API_KEY}}\n")
        result = proctor("run", config, "--out", scratch("secret"), env={"TEST_API_KEY": "open-sesame"})
    check_equal(result.returncode, 0, "a header from the environment: " + result.stderr)
    check_equal(set(seen), {"open-sesame"}, "what the server got")
    for name in os.listdir(scratch("secret")):
        with open(scratch("secret/" + name), "rb") as file:
            check(b"open-sesame" not in file.read(), "the secret is not in " + name)


def interrupted(scratch):
    tasks = scratch.write("slow.jsonl", [{"id": f"t{i}", "prompt": "x"} for i in range(8)])
    script = scratch.write("slow-script.jsonl", [
        {"match": {"turn": 0}, "delay_ms": 300, "content":
            '<tool_call>{"name": "python", "arguments": {"code": "print(2)"}}</tool_call>'},
        {"match": {"turn": 1}, "delay_ms": 300, "content": "<answer>2</answer>"}])
    config = scratch.write("slow.yaml", f"tasks: {tasks}\nmodels: {{policy: 'script:{script}'}}\n"
                           "format: hermes\ntools: [python]\nconcurrency: 3\n")
    whole, cut = scratch("w/slow"), scratch("c/slow")
    os.makedirs(scratch("w"))
    os.makedirs(scratch("c"))
    check_equal(proctor("run", config, "--out", whole).returncode, 0, "undisturbed")
    process = subprocess.Popen([BINARY, "run", config, "--out", cut], stderr=subprocess.PIPE)
    time.sleep(1.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    check_equal(process.returncode, 130, "interrupted")
    check(b"proctor resume" in errors, "it says how to go on: " + errors.decode()[-200:])
    done = len(lines(cut + "/trajectories.jsonl"))
    check(0 < done < 8, f"finished work is kept ({done} of 8)")
    result = proctor("resume", cut)
    check_equal(result.returncode, 0, "resume: " + result.stderr)
    check_equal(by_id(cut + "/trajectories.jsonl"), by_id(whole + "/trajectories.jsonl"),
                "resumed and undisturbed runs have the same records")
    check_equal(proctor("resume", cut).returncode, 0, "resuming a finished run does nothing")
    store = sqlite3.connect(cut + "/trajectories.db")
    store.executescript("".join(f"ALTER TABLE trajectories DROP COLUMN {column};" for column in (
        "failure", "parse_errors", "tool_calls", "tool_errors", "prompt_tokens", "completion_tokens", "cost"))
        + "DROP TABLE verdict_sums; DROP TABLE reason_sums; ALTER TABLE journal RENAME COLUMN judgements TO supervision;"
        "PRAGMA user_version = 1;")
    store.close()
    check("`proctor resume` upgrades it" in proctor("show", cut).stderr, "an older store, read")
    check_equal(proctor("resume", cut).returncode, 0, "resume upgrades an older store")
    check_equal(proctor("show", cut).returncode, 0, "which can be read then")


class SandboxKiller:
    """A policy that says `turns` one after the other; before turn TURN of task TASK it kills the
    guardian of the sandbox, once: nobody can start another."""

    def __init__(self, turns, task, turn):
        self.turns, self.task, self.turn = turns, task, turn
        self.process, self.asked = None, 0

    def __call__(self, handler, body):
        self.asked += 1
        messages = body["messages"]
        turn = sum(message["role"] == "assistant" for message in messages)
        mine = any(message["role"] == "user" and message["content"] == self.task
                   for message in messages)
        if self.process and mine and turn == self.turn:
            self.kill()
        handler.reply(200, completion(self.turns[turn]))

    def kill(self):
        pid, self.process = self.process.pid, None
        with open(f"/proc/{pid}/task/{pid}/children") as children:
            guardians = [int(child) for child in children.read().split()
                         if open(f"/proc/{child}/comm").read().startswith("proctor-guard")]
        check_equal(len(guardians), 1, "guardians to kill")
        for guardian in guardians:
            os.kill(guardian, signal.SIGKILL)
            while open(f"/proc/{guardian}/stat").read().rsplit(")", 1)[1].split()[0] != "Z":
                time.sleep(0.01)

    def run(self, *arguments):
        self.process = subprocess.Popen([BINARY, *arguments], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        process = self.process
        process.stdout, process.stderr = process.communicate(timeout=100)
        return process


def sandbox_gone(scratch):
    """Our own failure is no observation and no wrong answer: it is counted, and tried again."""
    call = '<tool_call>{"name": "python", "arguments": {"code": "print(2)"}}</tool_call>'
    tasks = scratch.write("three.jsonl", [
        {"id": name, "prompt": name, "gold": {"answers": ["2"]}} for name in ("a", "b", "c")])
    for sessions in ("false", "true"):
        policy = SandboxKiller([call, call, "<answer>2</answer>"], "b", 1)
        out = scratch("gone-" + sessions)
        with Server(policy) as server:
            config = scratch.write("gone.yaml", f"""
tasks: {tasks}
models: {{policy: "{server.uri}"}}
format: hermes
checker: answers
tools: [{{python: {{sessions: {sessions}}}}}]
concurrency: 1
""")
            result = policy.run("run", config, "--out", out)
            check_equal(result.returncode, 1, "sandbox gone: " + result.stderr)
            check("2 errors (roll out again what ended in error: proctor resume " in result.stderr,
                  "the remedy is named: " + result.stderr)
            check_equal([(r["outcome"]["status"], r["outcome"]["correct"], len(r["turns"]))
                         for r in lines(out + "/trajectories.jsonl")],
                        [("answered", True, 3), ("error", None, 1), ("error", None, 0)],
                        "rollouts with the sandbox killed in the second one")
            check_equal([seen["content"] for record in lines(out + "/trajectories.jsonl")
                         for turn in record["turns"] for seen in turn["observations"]],
                        ["2"] * 3, "what policies were shown")
            result = proctor("resume", out, "--retry-errors")
        check_equal(result.returncode, 0, "a fresh sandbox: " + result.stderr)
        check_equal([r["outcome"]["correct"] for r in lines(out + "/trajectories.jsonl")],
                    [True] * 3, "rolled out again")


def ungraded(scratch):
    """What could not be graded is graded later, without another rollout."""
    program = "<answer>\n```python\ndef two():\n    return 2\n```\n</answer>"
    tasks = scratch.write("programs.jsonl", [
        {"id": name, "prompt": name, "checker": "unit_tests",
         "gold": {"language": "python", "entry_point": "two",
                  "tests": [{"args": [], "expect": 2}]}} for name in ("a", "b", "c")])
    policy = SandboxKiller([program], "b", 0)
    out = scratch("ungraded")
    with Server(policy) as server:
        config = scratch.write("ungraded.yaml", f"""
tasks: {tasks}
models: {{policy: "{server.uri}"}}
format: hermes
concurrency: 1
""")
        result = policy.run("run", config, "--out", out)
        check_equal(result.returncode, 1, "checkers failed: " + result.stderr)
        check("2 errors (grade what was not graded: proctor resume " in result.stderr,
              "the remedy is named: " + result.stderr)
        check_equal([r["outcome"]["correct"] for r in lines(out + "/trajectories.jsonl")],
                    [True, None, None], "graded before the sandbox was killed")
        shown, one = proctor("show", out), proctor("show", out, "ungraded-b")
        check_equal(len(re.findall(r"answered +not graded", shown.stdout)), 2, "the list says it: " + shown.stdout)
        check("not graded: " in one.stdout, "and so does each: " + one.stdout + one.stderr)
        asked = policy.asked
        result = proctor("resume", out, "--retry-errors")
        check_equal(policy.asked, asked, "requests to the policy, none of them new")
    check_equal(result.returncode, 0, "graded later: " + result.stderr)
    check("2 graded now" in result.stderr, "how many were graded: " + result.stderr)
    records = lines(out + "/trajectories.jsonl")
    check_equal([(r["outcome"]["correct"], "checker_error" in r["outcome"]["metrics"])
                 for r in records], [(True, False)] * 3, "grades")


def retry_cut_off(scratch):
    tasks = scratch.write("two.jsonl", [{"id": name, "prompt": name} for name in ("a", "b", "c")])
    config = scratch.write("two.yaml", f"tasks: {tasks}\nmodels: {{policy: 'script:{scratch('two-script.jsonl')}'}}\n"
                           "format: hermes\nconcurrency: 1\n")
    out = scratch("two")
    scratch.write("two-script.jsonl", [{"error": "gone"}])
    check_equal(proctor("run", config, "--out", out).returncode, 1, "all ended in error")
    scratch.write("two-script.jsonl", [{"delay_ms": 5000, "content": "<answer>1</answer>"}])
    process = subprocess.Popen([BINARY, "resume", out, "--retry-errors"], stderr=subprocess.PIPE)
    time.sleep(1.2)
    process.kill()
    process.communicate(timeout=30)
    shown = proctor("show", out).stdout
    check_equal(re.findall(r"^(two-a)\S* +(\S+)", shown, re.M), [("two-a", "unfinished")], "once, as it is now: " + shown)
    check("unfinished" in proctor("show", out, "two-a").stdout, "so it is by itself")
    exported = proctor("export", out, "--format", "proctor")
    check("of 3 rollouts are not finished" in exported.stderr, "so say all: " + exported.stderr)
    check("two-a" not in exported.stdout, "what waits to be replaced is not handed out")
    scratch.write("two-script.jsonl", [{"content": "<answer>1</answer>"}])
    result = proctor("resume", out)
    check_equal(result.returncode, 0, "any resume goes on with a retry: " + result.stderr)
    check_equal([r["outcome"]["status"] for r in lines(out + "/trajectories.jsonl")], ["answered"] * 3, "all played")


with Scratch() as folder:
    retry_cut_off(folder)
    offline(folder)
    caps(folder)
    few_open_files(folder)
    too_few_open_files(folder)
    at_once(folder)
    fewer(folder)
    without_usage(folder)
    secret_header(folder)
    interrupted(folder)
    sandbox_gone(folder)
    ungraded(folder)
finish()
