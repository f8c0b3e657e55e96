"""Bad input gets one sentence and the right exit code; finished work stays."""

import json
import os
import re
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from support import (Scratch, Server, check, check_equal, completion, finish, lines,  # noqa: E402
                     proctor, refused)

CONFIG = """tasks: {tasks}
models: {{policy: "{policy}"}}
format: hermes
limits: {{turns: 2}}
"""


class Inputs:
    """A good configuration with its tasks and script, others made from it, and a run that is done."""

    def __init__(self, scratch):
        self.tasks = scratch.write("tasks.jsonl", [{"id": "a", "prompt": "2+2?"}, {"id": "b", "prompt": "x"}])
        self.script = scratch.write("script.jsonl", [{"content": "<answer>4</answer>"}])
        self.scratch = scratch
        self.good = self.config()
        self.out = scratch("out")
        result = proctor("run", self.good, "--out", self.out)
        check_equal(result.returncode, 0, "a good run: " + result.stderr)
        self.corpus = scratch.write("corpus.jsonl", [{"id": "a", "text": "sea"}])

    def config(self, name="run.yaml", policy=None, tasks_path=None, extra=""):
        return self.scratch.write(name, CONFIG.format(tasks=tasks_path or self.tasks,
                                                      policy=policy or f"script:{self.script}") + extra)


def command_line(inputs):
    """The command line and the configuration."""
    scratch, config, good, out = inputs.scratch, inputs.config, inputs.good, inputs.out
    refused(proctor("run", good, "--out", out), 2, out, "resume")
    refused(proctor("run", scratch("nowhere.yaml")), 2, "nowhere.yaml", "No such file")
    refused(proctor("run", config("k.yaml", extra="smaples: 3\n"), "--out", scratch("o1")), 2,
            "k.yaml:5", "smaples", "did you mean 'samples'")
    refused(proctor("run", config("l.yaml"), "--set", "limits.turn=3",
                    "--out", scratch("o2")), 2, "limits.turn", "did you mean 'turns'")
    refused(proctor("run", config("v.yaml", extra="samples: many\n"), "--out", scratch("o3")), 2,
            "v.yaml:5", "samples", "integer")
    refused(proctor("run", scratch.write("broken.yaml", "a: [1\nb: 2\n")), 2, "broken.yaml:")
    refused(proctor("run", good, "--model", "polcy=script:x", "--out", scratch("o4")), 2, "polcy",
            "did you mean 'policy'")
    refused(proctor("run", good, "--set", "models.policy=opnai:x", "--out", scratch("o5")), 2,
            "opnai")
    for field, key in (("temperature", "temperature"), ("max_completion_tokens", "max_tokens")):
        policy = '{uri: "openai:http://127.0.0.1:1/v1#m", extra_body: {' + field + ": 0}}"
        refused(proctor("run", good, "--set", "models.policy=" + policy, "--out", scratch("o6b")), 2,
                "models.policy.extra_body." + field, "write sampling." + key)
    refused(proctor("run", good, "--set", "format=hermse", "--out", scratch("o6")), 2, "hermes")
    refused(proctor("run", good, "--set", "tools=[serach]", "--out", scratch("o7")), 2, "search")
    refused(proctor("run", good, "--set", "supervise=[prlcodre]", "--out", scratch("o8")), 2,
            "prlcoder")
    check_equal(proctor("run").returncode, 2, "run without a config")
    check_equal(proctor("rnu").returncode, 2, "an unknown command")
    refused(proctor("run", good, "--filter", "suite", "--out", scratch("o9")), 2, "FIELD=VALUE")
    refused(proctor("run", good, "--filter", "id=zzz", "--out", scratch("o10")), 2, "no task")


def files(inputs):
    """Files that are not there, or are not what they should be."""
    scratch, config, good, corpus = inputs.scratch, inputs.config, inputs.good, inputs.corpus
    refused(proctor("run", config("t.yaml", tasks_path=scratch("none.jsonl"))), 2, "none.jsonl")
    bad = scratch.write("bad.jsonl", '{"id":"a","prompt":"x"}\n{"id":"b","prompt":\n')
    refused(proctor("run", config("b.yaml", tasks_path=bad)), 2, "bad.jsonl:2", "JSON")
    twice = scratch.write("twice.jsonl", [{"id": "a", "prompt": "x"}, {"id": "a", "prompt": "y"}])
    refused(proctor("run", config("w.yaml", tasks_path=twice)), 2, "twice.jsonl:2", "'a'")
    refused(proctor("run", config("s.yaml", policy=f"script:{scratch('no.jsonl')}")), 2, "no.jsonl")
    notgguf = scratch.write("model.gguf", "this is no model")
    refused(proctor("run", config("g.yaml", policy=f"llama:{notgguf}"), "--out", scratch("o11")), 2,
            "model.gguf", "GGUF")
    refused(proctor("run", config("m.yaml", policy=f"llama:{scratch('no.gguf')}"), "--out",
                    scratch("o12")), 2, "no.gguf")
    refused(proctor("resume", scratch("nothing")), 2, "nothing", "run directory", "no such directory")
    refused(proctor("resume", good), 2, "run.yaml", "it is a file")
    refused(proctor("index", "query", scratch("nothing"), "x"), 2, "nothing", "no such folder")
    index = scratch("index")
    proctor("index", "build", corpus, "--out", index)
    refused(proctor("index", "query", index, "--queries", scratch.path), 2, "is a directory")
    refused(proctor("index", "query", index, "--queries", scratch("none")), 2, "none: No such file")
    queries = scratch.write("queries.jsonl", '{"query":"sea","id":7}\n\n{"query":" "}\n')
    asked = proctor("index", "query", index, "--queries", queries)
    refused(asked, 2, "queries.jsonl:3", "empty")
    check_equal(json.loads(asked.stdout)["id"], 7, "the lines before it are answered")
    loop = scratch("loop.jsonl")
    os.symlink(loop, loop)
    refused(proctor("run", config("loop.yaml", tasks_path=loop)), 2, "loop.jsonl")
    refused(proctor("exec", "--lang", "python", loop), 2, "loop.jsonl")


def golds(inputs):
    """Gold that cannot be graded by is refused before anything runs."""
    scratch, config = inputs.scratch, inputs.config
    for name, task, words in (
            ("slip", {"checker": "answers", "gold": {"answer": "4"}}, ["gold.answers", "did you mean 'answers'"]),
            ("none", {"checker": "answers"}, ["gold.answers", "the task has no gold"]),
            ("empty", {"checker": "answers", "gold": {"answers": []}}, ["gold.answers", "missing or empty"]),
            ("words", {"checker": "numeric", "gold": {"answer": "forty"}}, ["'forty' is neither a number"]),
            ("untested", {"checker": "unit_tests", "gold": {"tests": []}}, ["gold.tests", "missing or empty"]),
            ("text", {"checker": "unit_tests", "gold": {"tests": "abc"}}, ["gold.tests", "expected a list"]),
            ("rust", {"checker": "unit_tests", "gold": {"language": "rust"}}, ["gold.language", "'rust'"]),
            ("foreign", {"checker": "game24", "gold": {"answers": ["4"]}}, ["gold.numbers"])):
        path = scratch.write(f"gold-{name}.jsonl", [{"id": "a", "prompt": "x"}, {"id": "b", "prompt": "x", **task}])
        refused(proctor("run", config("gold.yaml", tasks_path=path), "--out", scratch("gold")), 2,
                f"gold-{name}.jsonl:2: checker {task['checker']}: ", *words)
        check(not os.path.exists(scratch("gold")), f"no run directory: {name}")


def values(inputs):
    """Values that mean something else than what was typed."""
    scratch, good, out, corpus = inputs.scratch, inputs.good, inputs.out, inputs.corpus
    refused(proctor("run", good, "--set", "samples=", "--out", scratch("o20")), 2, "samples=", "value is missing")
    for command in (("run", good), ("label", out, "--supervise", "groundedprm"), ("index", "build", corpus),
                    ("export", out, "--format", "proctor")):
        result = proctor(*command, "--out", "")
        check(result.returncode == 2 and "--out" in result.stderr, f"{command[0]} --out '': {result.stderr}")
    for layers, code, words in (("[uids]", 2, "did you mean 'uid'?"), ("[pid]", 3, "'pid' is required")):
        refused(proctor("run", good, "--set", "require=" + layers, "--out", scratch("o24"),
                        env={"PROCTOR_SANDBOX_WORLD": "reduced"}), code, words)
    dry = proctor("run", good, "--set", "models.policy.price_in=1", "--dry-run", "--json")
    check(dry.returncode == 0 and json.loads(dry.stdout)["cost"]["most"] > 0,
          "a setting beside a URI alone: " + dry.stderr)
    refused(proctor("run", good, "--set", "models.policy={ur: x}", "--out", scratch("o21")), 2, "'ur'",
            "did you mean 'uri'?")
    refused(proctor("run", good, "--set", "supervise=[{groundedprm: {suites: [nope]}}]", "--out", scratch("o22")), 2,
            "groundedprm", "no task belongs to the suite 'nope'")
    idle = proctor("run", good, "--set", "supervise=[webarbiter]", "--out", scratch("o23"))
    check_equal(idle.returncode, 0, "webarbiter without candidates: " + idle.stderr)
    dry = proctor("run", good, "--set", "supervise=[webarbiter]", "--dry-run")
    check_equal(dry.returncode, 0, "webarbiter, --dry-run: " + dry.stderr)
    for result in (idle, dry):
        check_equal(result.stderr.count("webarbiter will label nothing in this run: it compares candidates, and one is sampled a turn"), 1,
                    "one sentence at the start: " + result.stderr)
    check("labelled nothing" not in idle.stderr, "and no second one: " + idle.stderr)


def servers(inputs):
    """Model servers that are gone, refuse, babble or hang."""
    scratch, config = inputs.scratch, inputs.config
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    dead = config("d.yaml", policy=f"openai:http://127.0.0.1:{port}/v1#m")
    refused(proctor("run", dead, "--out", scratch("o13")), 3, f"127.0.0.1:{port}")
    check(not os.path.exists(scratch("o13")), "no run directory before the server was reached")

    def failing(answer, name, *words, status="error", code=1, extra_set=()):
        directory = scratch(name)
        with Server(answer) as server:
            path = config(name + ".yaml", policy=server.uri)
            result = proctor("run", path, "--out", directory, "--set",
                             "models.policy={uri: \"" + server.uri + "\", retries: 1, "
                             "timeout_ms: 3000}", *extra_set)
        check_equal(result.returncode, code, f"{name}: {result.stderr[-300:]}")
        if code == 1:
            records = lines(directory + "/trajectories.jsonl")
            check_equal(len(records), 2, name + ": both rollouts are recorded")
            for record in records:
                check_equal(record["outcome"]["status"], status, name)
                for word in words:
                    check(word in (record["outcome"]["error"] or ""),
                          f"{name}: {word!r} in {record['outcome']['error']!r}")
        return result

    def hangs(_handler, _body):
        time.sleep(4)

    failing(lambda h, b: h.reply(401, {"error": {"message": "bad key"}}), "s401", "401")
    result = failing(lambda h, b: h.reply(404, {"error": {"message": "no such model"}}), "s404", "404",
                     extra_set=("--set", "supervise=[groundedprm]"))
    check("labelled nothing" not in result.stderr, "there was no turn to label: " + result.stderr)
    failing(lambda h, b: h.reply(500, {"error": {"message": "boom"}}), "s500", "500")
    failing(lambda h, b: h.reply(429, {"error": {"message": "slow"}}, headers=[("Retry-After", "0")]),
            "s429", "429")
    failing(lambda h, b: h.reply(200, "<html>garbage"), "sgarbage")
    failing(lambda h, b: h.reply(200, "\x1f", headers=[("Content-Encoding", "gzip")]), "sgzip",
            "the answer is compressed (gzip)")
    failing(lambda h, b: h.reply(304, ""), "s304", "answered 304", "is a cache in between?")
    unlisted = Server(hangs, models=lambda h: h.reply(200, {"object": "list", "data": []}))
    with unlisted as server:
        path = config("unlisted.yaml", policy=server.uri.removesuffix("#m"))
        refused(proctor("run", path, "--out", scratch("o24")), 2, "add #MODEL")

    def half_stream(handler, _):
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(b'data: {"choices":[{"index":0,"delta":{"content":"ha"}}]}\n\ndata: {"cho')
        handler.close_connection = True

    failing(half_stream, "shalf")

    failing(hangs, "shangs", ": no answer in ", extra_set=("--set", "limits.wall_ms=700"))

    # The server is back: what ended in error is rolled out again where that is asked for.
    with Server(lambda h, b: h.reply(200, completion("<answer>4</answer>"))) as server:
        directory = scratch("s500")
        mended = open(directory + "/config.yaml", encoding="utf-8").read()
        mended = re.sub(r"openai:http://127.0.0.1:\d+/v1#m", server.uri, mended)
        open(directory + "/config.yaml", "w", encoding="utf-8").write(mended)
        result = proctor("resume", directory)
        check_equal(result.returncode, 1, "finished rollouts stay as they are")
        check("2 errors" in result.stderr and f"proctor resume {directory} --retry-errors" in result.stderr,
              "the remedy is named: " + result.stderr)
        result = proctor("resume", directory, "--retry-errors")
        check_equal(result.returncode, 0, "--retry-errors: " + result.stderr)
        check_equal([record["outcome"]["status"] for record in lines(directory + "/trajectories.jsonl")],
                    ["answered", "answered"], "--retry-errors")

    def nothing(handler, _):
        handler.close_connection = True

    failing(nothing, "snothing")

    tries = {"n": 0}

    def second_time(handler, _):
        tries["n"] += 1
        if tries["n"] <= 2:
            handler.reply(429, {"error": {"message": "slow"}}, headers=[("Retry-After", "0")])
        else:
            handler.reply(200, completion("<answer>4</answer>"))

    failing(second_time, "sretry", code=0)


def judges(inputs):
    """A judge whose server fails is no judge without a verdict, however short its deadline."""
    scratch = inputs.scratch
    with Server(lambda h, b: h.reply(500, {"error": {"message": "boom"}})) as server:
        config = inputs.config("j.yaml", extra="supervise: [judge]\n")
        model = ("--model", "judge=" + server.uri)
        run = proctor("run", config, "--out", scratch("judged"), *model, "--set", "limits.supervisor_ms=1200")
        label = proctor("label", scratch("judged"), "--supervise", "judge", *model, "--deadline-ms", "1200",
                        "--out", scratch("judged.jsonl"))
    check(f"made up for with: proctor label {scratch('judged')} --supervise" in run.stderr, "what to do: " + run.stderr)
    why = "/v1/chat/completions answered 500 (boom); no answer before the deadline"
    for result, path in ((run, scratch("judged") + "/trajectories.jsonl"), (label, scratch("judged.jsonl"))):
        command = result.args[1]
        check_equal(result.returncode, 1, f"{command}: {result.stderr}")
        check("2 failed supervisions" in result.stderr, f"{command} counts them: {result.stderr}")
        check(why in result.stderr, f"{command} says why: {result.stderr}")
        check("labelled nothing" not in result.stderr, f"{command}: one that failed had no say: {result.stderr}")
        for record in lines(path):
            check_equal([(l["name"], l["verdict"]) for l in record["labels"]],
                        [("failed_supervision", "unavailable")], command)
            check(record["labels"][0]["rationale"].endswith(why), f"{command}: {record['labels'][0]['rationale']}")
    check("failed_supervision" in run.stdout and "unavailable 2" in run.stdout, "the table: " + run.stdout)
    shown = proctor("show", scratch("judged"))
    check("  2 times: judge failed: " in shown.stdout and why in shown.stdout, "show says why: " + shown.stdout)
    failures = json.loads(proctor("show", scratch("judged"), "--json").stdout)["failures"]
    check(list(failures.values()) == [2] and next(iter(failures)).endswith(why), f"and show --json: {failures}")
    with open(scratch("judged") + "/summary.json") as file:
        check_equal(json.load(file)["failures"], failures, "and summary.json")


def doctor(inputs):
    """What a server does is asked for, not taken from its list of models."""
    def look(code, *words, chat=lambda h, b: h.reply(200, completion("4")), uri=lambda server: server.uri, env=None,
             **server):
        with Server(chat, **server) as answering:
            result = proctor("doctor", "--json", "--model", "judge=" + uri(answering), env=env)
        check_equal(result.returncode, code, "doctor: " + result.stdout + result.stderr)
        found = [row for row in map(json.loads, result.stdout.splitlines()) if row["what"] == "model judge"]
        for word in words:
            check(found and word in found[0]["found"], f"doctor: {word!r} in {found}")

    rows = proctor("doctor", "--json", env={"PATH": "/nowhere"}).stdout.splitlines()
    found = {row["what"]: row for row in map(json.loads, rows)}
    check_equal((found["language bash"]["state"], found["language bash"]["found"]), ("ok", "/bin/bash"),
                "doctor tells what guests get, whatever PATH is")
    gone = {"models": lambda h: h.reply(404, {"error": {"message": "no such page"}})}
    closed = {"models": lambda h: h.reply(401, {"error": {"message": "who are you"}})}
    look(0, "generate (seen); tool calls", "(not tried)")
    look(0, "generate (seen)", **gone)
    look(3, "answered 401 (who are you): it wants an API key; put ?key_env=NAME into the model URI", **closed)
    look(3, "answered 404 (no m)", chat=lambda h, b: h.reply(404, {"error": {"message": "no m"}}), **gone)
    look(3, "answered 401 (no)", chat=lambda h, b: h.reply(401, {"error": {"message": "no"}}))
    look(0, "did not want to give one token", "answered 400 (too short)",
         chat=lambda h, b: h.reply(400, {"error": {"message": "too short"}}))
    with_key = {"uri": lambda server: server.uri.replace("#", "?key_env=E2E_KEY#")}
    look(3, "the environment variable E2E_KEY (key_env), which holds the API key, is not set", **with_key)
    look(3, "it refuses the API key in E2E_KEY", env={"E2E_KEY": "k"}, **with_key, **closed)


def disk(inputs):
    """A full disk, and a file where a directory should be."""
    scratch, good = inputs.scratch, inputs.good
    if os.geteuid() == 0:
        mount = scratch("full")
        os.mkdir(mount)
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", mount])
        if made.returncode == 0:
            try:
                result = proctor("run", good, "--out", mount + "/run", "--set", "samples=400")
                refused(result, 1, "space")
                # What is under way could not be kept, and is not waited for.
                scratch.write("slow.jsonl", [
                    {"match": {"sample": 0}, "content": "<answer>4</answer>", "delay_ms": 60000},
                    {"content": "<answer>4</answer>"}])
                started = time.monotonic()
                result = proctor("run", good, "--out", mount + "/slow", "--set", "samples=400",
                                 "--model", "policy=script:" + scratch("slow.jsonl"))
                refused(result, 1, "space")
                check(time.monotonic() - started < 30, "a full disk ends what is under way")
            finally:
                subprocess.run(["umount", mount], check=False)
    # A file where the directory should be stops root too, whom no permission stops.
    refused(proctor("run", good, "--out", good + "/below"), 1, "below")
    refused(proctor("exec", "--lang", "bash", "/dev/null/none"), 2, "none")


with Scratch() as folder:
    given = Inputs(folder)
    for subject in (command_line, files, golds, values, servers, judges, doctor, disk):
        subject(given)
finish()
