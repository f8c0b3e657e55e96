"""kill -9 at fifty random moments: what was finished stays as it is, what was begun goes on from its
last turn, and in the end the records are those of a run that nobody disturbed."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from support import BINARY, Scratch, check, check_equal, finish, lines, proctor  # noqa: E402

KILLS = 50
TASKS = 10
CONFIG = """name: killed
tasks: {tasks}
models:
  policy: {{uri: "script:{policy}?tokens=bytes", context: 1800}}
context: truncate
format: hermes
tools: [{{search: {{index: {index}, k: 2}}}}]
supervise:
  - groundedprm: {{check: tool}}
samples: 2
limits: {{turns: 6}}
concurrency: 4
seed: 7
"""


def call(query):
    return ("<tool_call>" + json.dumps({"name": "search", "arguments": {"query": query}}) +
            "</tool_call>")


def write_inputs(scratch):
    tasks, rules = [], []
    for number in range(TASKS):
        name = f"task-{number}"
        # Every other conversation does not fit as a whole: results are cut to make room.
        longer = " Think." * (60 * (number % 2))
        tasks.append({"id": name, "prompt": f"What is {number} * 7 + 1?" + longer,
                      "gold": {"answers": [str(number * 7 + 1)]}})
        for turn in range(3):
            rules.append({"match": {"task_id": name, "turn": turn}, "delay_ms": 20,
                          "content": f"Step {turn + 1}: {number} * 7 = {number * 7 + turn // 2}.\n" +
                                     call(f"word{number} word{turn}")})
        rules.append({"match": {"task_id": name, "turn": 3}, "delay_ms": 20,
                      "content": f"It is <answer>{number * 7 + 1}</answer>"})
    corpus = scratch.write("corpus.jsonl", [
        {"id": f"doc{n}", "title": f"word{n}", "text": f"word{n} comes before word{n + 1}"}
        for n in range(TASKS + 4)])
    built = proctor("index", "build", corpus, "--out", scratch("index"))
    check_equal(built.returncode, 0, "index build: " + built.stderr)
    return scratch.write("run.yaml", CONFIG.format(
        index=scratch("index"), tasks=scratch.write("tasks.jsonl", tasks),
        policy=scratch.write("policy.jsonl", rules)))


def without_times(value):
    """A record as it would be at any other time, on any other machine."""
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items()
                if key not in ("timing", "created") and not key.endswith("_ms")
                and key != "peak_memory_bytes"}
    if isinstance(value, list):
        return [without_times(item) for item in value]
    return value


def first_difference(got, wanted, path=""):
    """Where two records part, in one short line; None where they are equal."""
    if isinstance(got, dict) and isinstance(wanted, dict):
        for key in [*wanted, *(key for key in got if key not in wanted)]:
            if key not in got or key not in wanted:
                return f"{path}.{key} is only in the {'undisturbed' if key in wanted else 'resumed'} one"
            found = first_difference(got[key], wanted[key], f"{path}.{key}")
            if found:
                return found
        return None
    if isinstance(got, list) and isinstance(wanted, list):
        if len(got) != len(wanted):
            return f"{path} has {len(got)} items, undisturbed {len(wanted)}"
        for index, (mine, other) in enumerate(zip(got, wanted)):
            found = first_difference(mine, other, f"{path}[{index}]")
            if found:
                return found
        return None
    return None if got == wanted else f"{path} is {str(got)[:80]!r}, undisturbed {str(wanted)[:80]!r}"


def records(run, scratch):
    """Finished records by id, as exported."""
    out = scratch("export.jsonl")
    if os.path.exists(out):
        os.unlink(out)
    result = proctor("export", run, "--format", "proctor", "--out", out)
    check_equal(result.returncode, 0, "export: " + result.stderr)
    found = lines(out)
    check_equal(len({record["id"] for record in found}), len(found), "ids are unique")
    return {record["id"]: record for record in found}


def journalled_turns(run):
    """(trajectory, turn) of what is begun ─▶ when the turn started."""
    database = sqlite3.connect(os.path.join(run, "trajectories.db"))
    try:
        rows = database.execute("SELECT rollouts.id, journal.turn FROM journal JOIN rollouts "
                                "ON journal.key / 65536 = rollouts.number").fetchall()
    finally:
        database.close()
    turns = {}
    for trajectory, text in rows:
        turn = json.loads(text)
        turns[trajectory, turn["index"]] = turn["timing"]["started"]
    return turns


def run_until_killed(arguments, seconds):
    """The exit code; -9 when the kill came first. The moment is counted from the start."""
    process = subprocess.Popen([BINARY, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True)
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        output, _ = process.communicate()
    if process.returncode not in (0, -signal.SIGKILL):
        check(False, f"{arguments[0]} ended with {process.returncode}: {output[-500:]}")
    return process.returncode


def main(scratch):
    chance = random.Random(20260101)
    config = write_inputs(scratch)
    undisturbed_at = scratch("undisturbed")
    began = time.monotonic()
    result = proctor("run", config, "--out", undisturbed_at)
    length = time.monotonic() - began
    check_equal(result.returncode, 0, "the undisturbed run: " + result.stderr)
    undisturbed = records(undisturbed_at, scratch)
    check_equal(len(undisturbed), 2 * TASKS, "records of the undisturbed run")
    cut = sum(any("cut_before_turn" in seen for turn in record["turns"]
                  for seen in turn["observations"]) for record in undisturbed.values())
    check_equal(cut, TASKS, "records with results that were cut")

    kills, runs, seen_finished, seen_journalled = 0, 0, 0, 0
    while kills < KILLS and runs < 4 * KILLS:
        runs += 1
        run = scratch(f"run-{runs}")
        finished, journalled = {}, {}
        code = None
        while code != 0:
            made = os.path.exists(os.path.join(run, "trajectories.db"))
            if made and proctor("show", run, "--limit", "0").returncode == 2:
                # Killed before the store was made: nothing was promised, nothing is there.
                made = False
            arguments = ["resume", run] if made else ["run", config, "--out", run]
            left = KILLS - kills
            code = run_until_killed(arguments, chance.uniform(0.05, length) if left else 300)
            if code == 0:
                break
            if code != -signal.SIGKILL:
                return
            kills += 1
            if not os.path.exists(os.path.join(run, "trajectories.db")):
                continue
            if proctor("show", run, "--limit", "0").returncode == 2:
                continue
            now = records(run, scratch)
            for name, record in finished.items():
                check(now.get(name) == record, f"{name} was finished before a kill and is unchanged")
            finished = now
            journalled.update(journalled_turns(run))
        final = records(run, scratch)
        check_equal(set(final), set(undisturbed), "the trajectories there are")
        for name, record in finished.items():
            check(final.get(name) == record, f"{name} was finished before a kill and is unchanged")
        for (name, turn), started in journalled.items():
            check_equal(final[name]["turns"][turn]["timing"]["started"], started,
                        f"turn {turn} of {name} was journalled and is not done again")
        for name in undisturbed:
            parted = first_difference(without_times(final.get(name)),
                                      without_times(undisturbed[name]))
            check(parted is None, f"{name} in run {runs}: {parted}")
        lint = proctor("lint", run)
        check_equal(lint.returncode, 0, "lint: " + lint.stderr)
        seen_finished += len(finished)
        seen_journalled += len(journalled)
    check_equal(kills, KILLS, "kills")
    # Kills that all come before the first turn, or after the last, would prove nothing.
    check(seen_finished >= 20, f"kills met {seen_finished} finished records")
    check(seen_journalled >= 20, f"kills met {seen_journalled} journalled turns")
    print(f"{kills} kills in {runs} runs; {seen_finished} finished records and {seen_journalled} "
          f"journalled turns were there at a kill")


if __name__ == "__main__":
    with Scratch() as folder:
        main(folder)
    finish()
