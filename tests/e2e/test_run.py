"""The main job from outside: run, its caps and records, interrupt and resume."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))
from support import (BINARY, Scratch, Server, check, check_equal, completion, finish,  # noqa: E402
                     lines, proctor)


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
    store.executescript("ALTER TABLE journal RENAME COLUMN judgements TO supervision;"
                        "PRAGMA user_version = 1;")
    store.close()
    check("`proctor resume` upgrades it" in proctor("show", cut).stderr, "an older store, read")
    check_equal(proctor("resume", cut).returncode, 0, "resume upgrades an older store")
    check_equal(proctor("show", cut).returncode, 0, "which can be read then")


with Scratch() as folder:
    offline(folder)
    caps(folder)
    interrupted(folder)
finish()
