"""Drives `proctor label`, `supervisors` and `tools` from outside: labels, exit codes, sentences."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time

PROCTOR = os.path.abspath(sys.argv[1])


def run(*arguments, stdin=None, timeout=60):
    done = subprocess.run([PROCTOR, *arguments], input=stdin, capture_output=True, text=True, timeout=timeout)
    assert "terminate called" not in done.stderr and "bug:" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def expect(code, *arguments, stdin=None, says=None):
    got, out, err = run(*arguments, stdin=stdin)
    assert got == code, f"{arguments}: expected {code}, got {got}\n{out[:500]}\n{err}"
    for part in [says] if isinstance(says, str) else says or []:
        assert part in err, f"{arguments}: {part!r} is not in: {err}"
    return out, err


def write(name, rows):
    with open(name, "w") as file:
        for row in rows:
            file.write((row if isinstance(row, str) else json.dumps(row)) + "\n")
    return name


def read(name):
    with open(name) as file:
        return [json.loads(line) for line in file]


def trajectory(name, turns, answer, sample=0, group="g", task="t1", gold=("Alan Turing",)):
    """turns: (text, observation or None)."""
    return {
        "schema": "proctor.trajectory/1", "id": name, "task_id": task, "group_id": group, "sample": sample,
        "task": {"id": task, "prompt": "Who?", "gold": {"answers": list(gold)}},
        "prefix": [{"role": "user", "content": "Who?"}],
        "turns": [{
            "index": index,
            "assistant": {"content": text, "tool_calls": [{"id": "c0", "name": "search", "arguments": {"query": "x"}}] if seen else []},
            "observations": [{"tool_call_id": "c0", "name": "search", "content": seen}] if seen else [],
        } for index, (text, seen) in enumerate(turns)],
        "outcome": {"status": "answered", "answer": answer}, "kept": {"as": "it is"},
    }


def values(record, name):
    return [round(label["value"], 6) for label in record["labels"] if label["name"] == name and label["value"] is not None]


GROUP = [
    trajectory("r1", [("", "r1 first"), ("", "r1 second"), ("x", None)], "Alan Mathison Turing", 0),
    trajectory("r2", [("", "r2 first"), ("x", None)], "turing, alan!", 1),
    trajectory("r3", [("x", None)], "Grace Hopper", 2),
]
SCORES = [
    {"match": {"contains": ["r1 second"]}, "score": [-0.2, -0.4]},
    {"match": {"contains": ["r1 first"]}, "score": [-1, -2]},
    {"match": {"contains": ["r2 first"]}, "score": [-2.5, -3.5]},
    {"score": [-2, -3]},
]


def igpo():
    write("group.jsonl", GROUP)
    write("scorer.jsonl", SCORES)
    model = ["--model", "scorer=script:scorer.jsonl"]
    out, err = expect(0, "label", "group.jsonl", "--supervise", "igpo", *model, "--out", "out.jsonl", says="3 of 3")
    assert out == ""
    records = read("out.jsonl")
    assert [record["id"] for record in records] == ["r1", "r2", "r3"]
    assert values(records[0], "advantage") == [0.563941, 1.168872, 0.908667]
    assert values(records[1], "advantage") == [0.364966, 1.36806]
    assert values(records[2], "advantage") == [-0.928907]
    assert values(records[0], "gain") == [0.141045, 0.517688]
    assert records[0]["kept"] == {"as": "it is"}
    assert records[0]["versions"]["supervisors"]["igpo"]
    assert round(records[0]["turns"][0]["scores"]["igpo.gain"], 6) == 0.141045

    # A second instance under a name of its own stands beside the first; labelling again replaces.
    expect(0, "label", "out.jsonl", "--supervise", "igpo:as=half,gamma=0.5", *model, "--out", "two.jsonl")
    expect(0, "label", "two.jsonl", "--supervise", "igpo:as=half,gamma=0.5", *model, "--out", "three.jsonl")
    both = read("three.jsonl")[0]
    count = lambda record, name: sum(label["supervisor"] == name for label in record["labels"])
    assert count(both, "igpo") == count(both, "half") == count(records[0], "igpo")

    # Interleaved groups come out in the order of the input.
    other = [dict(record, id="o" + record["id"], group_id="other") for record in GROUP]
    mixed = [record for pair in zip(GROUP, other) for record in pair]
    out, _ = expect(0, "label", "-", "--supervise", "igpo", *model, stdin="".join(json.dumps(r) + "\n" for r in mixed))
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["id"] for line in lines] == [record["id"] for record in mixed]
    assert values(lines[1], "advantage") == [0.563941, 1.168872, 0.908667]

    # A bad log-probability: no labels of igpo on that trajectory, out of the pool, exit 1.
    write("bad.jsonl", [{"match": {"contains": ["r1 second"]}, "score": [0.5, -1]}, *SCORES[1:]])
    expect(1, "label", "group.jsonl", "--supervise", "igpo", "--model", "scorer=script:bad.jsonl", "--out", "b.jsonl", says="r1")
    broken, good, _ = read("b.jsonl")
    assert not [label for label in broken["labels"] if label["supervisor"] == "igpo"]
    assert [label["name"] for label in broken["labels"]] == ["failed_supervision"]
    assert [label["evidence"]["n"] for label in good["labels"] if label["name"] == "advantage"] == [3, 3]

    # Tasks without gold answers keep nobody else from being labelled.
    bare = [trajectory(name, [("", "r1 first")], "y", group="bare", task="t2", gold=()) for name in ("x", "z")]
    write("some.jsonl", [bare[0], *GROUP, bare[1]])
    _, err = expect(0, "label", "some.jsonl", "--supervise", "igpo", *model, "--out", "some_out.jsonl", says="labelled 3 of 5")
    assert ("igpo passed by 2 trajectories without task.gold.answers (a list with at least one answer that is not empty), "
            "the first is 'x'") in err, err
    some = read("some_out.jsonl")
    assert not some[0]["labels"] and not some[4]["labels"]
    assert values(some[1], "advantage") == values(records[0], "advantage")

    # No log-probabilities: exit 3 and nothing written.
    write("mute.jsonl", [{"content": "hello"}])
    expect(3, "label", "group.jsonl", "--supervise", "igpo", "--model", "scorer=script:mute.jsonl", "--out", "none.jsonl", says="needs_logprobs")
    expect(3, "label", "group.jsonl", "--supervise", "igpo", "--out", "none.jsonl", says="needs_logprobs")
    # Records that are passed by are no sign that all is there.
    write("goldless.jsonl", [trajectory(f"w{n}", [("x", None)], "y", group=f"w{n}", task=f"w{n}", gold=()) for n in range(3)] + GROUP)
    expect(3, "label", "goldless.jsonl", "--supervise", "igpo", "--model", "scorer=script:mute.jsonl", "--jobs", "1",
           "--out", "none.jsonl", says="needs_logprobs")
    assert not os.path.exists("none.jsonl")


def bad_input():
    write("scorer.jsonl", SCORES)
    common = ["--model", "scorer=script:scorer.jsonl", "--out", "none.jsonl"]
    igpo = ["--supervise", "igpo", *common]
    write("nogold.jsonl", [trajectory(name, [("x", None)], "y", gold=gold) for name, gold in (("x", ()), ("z", ("",)))])
    expect(2, "label", "nogold.jsonl", *igpo, says="nogold.jsonl: igpo needs task.gold.answers (a list with at least one "
           "answer that is not empty), which none of its trajectories has")
    write("tasks.jsonl", [GROUP[0], dict(GROUP[1], task_id="t2")])
    expect(2, "label", "tasks.jsonl", *igpo, says=["tasks.jsonl:2", "mixes the tasks"])
    write("sample.jsonl", [dict(GROUP[0], sample=-1)])
    expect(2, "label", "sample.jsonl", *igpo, says="sample.jsonl:1: sample: is negative")
    lost = {"supervisor": "somebody", "name": "x", "level": "turn", "turn": 9, "value": 1}
    write("lost.jsonl", [GROUP[0], dict(GROUP[1], labels=[lost])])
    expect(2, "label", "lost.jsonl", *igpo, says="lost.jsonl:2: labels[0]: there is no turn 9")
    twice = ["--model", "scorer=script:scorer.jsonl"]
    expect(2, "label", "group.jsonl", *igpo, *twice, says="--model scorer is given twice")
    for seed in ("-5", "99999999999999999999"):
        expect(2, "label", "group.jsonl", *igpo, "--seed", seed, says="--seed")
    write("broken.jsonl", [GROUP[0], "{\"id\": "])
    expect(2, "label", "broken.jsonl", *igpo, says="broken.jsonl:2")
    write("typed.jsonl", [dict(GROUP[0], turns=[{"assistant": {"content": 7}}])])
    expect(2, "label", "typed.jsonl", *igpo, says=["typed.jsonl:1", "turns[0].assistant.content"])
    write("same.jsonl", [GROUP[0], GROUP[1], GROUP[0]])
    expect(2, "label", "same.jsonl", *igpo, says=["same.jsonl:3: ", "the id 'r1' is that of an earlier record"])
    expect(2, "label", "-", *igpo, stdin="nonsense\n", says="stdin:1")
    expect(2, "label", "nowhere.jsonl", *igpo, says="nowhere.jsonl")
    write("good.jsonl", GROUP)
    expect(2, "label", "good.jsonl", "--supervise", "igop", *common, says="did you mean 'igpo'")
    expect(2, "label", "good.jsonl", "--supervise", "igpo:gama=1", *common, says="did you mean 'gamma'")
    expect(2, "label", "good.jsonl", "--supervise", "igpo:gamma=2", *common, says="gamma")
    expect(2, "label", "good.jsonl", "--supervise", "igpo:order=discount_first", *common, says=["good.jsonl:1", "tokens"])
    expect(2, "label", "good.jsonl", "--supervise", "igpo", "--supervise", "igpo:gamma=0", *common, says="as=ALIAS")
    expect(2, "label", "good.jsonl", "--supervise", "igpo", "--model", "scoer=script:scorer.jsonl", says="scorer")
    expect(2, "label", "good.jsonl", "--supervise", "igpo", "--model", "scorer=script:no.jsonl", says="no.jsonl")
    expect(1, "label", "good.jsonl", *igpo[:-1], "/no/such/folder/out.jsonl", says="/no/such/folder/out.jsonl")
    expect(2, "label", "good.jsonl", says="--supervise")
    assert not os.path.exists("none.jsonl")


def groundedprm():
    record = trajectory("c", [("First 3 + 4 = 7.\n\nThen 7 * 2 = 15.\n\nThe answer is 15.", None)], "15", gold=("14",))
    write("chains.jsonl", [record])
    out, _ = expect(0, "label", "chains.jsonl", "--supervise", "groundedprm:check=tool")
    labelled = json.loads(out)
    assert values(labelled, "tool_verdict") == [1, -1, 0], labelled["labels"]
    # u: (v2 * 1 + F) / 1 = -2, then F, F.
    assert values(labelled, "rollout_value") == [-2, -1, -1]
    assert values(labelled, "step") == [0, -1.5, -0.5]
    first = [label for label in labelled["labels"] if label["name"] == "first_error"][0]
    assert (first["value"], first["verdict"], first["level"]) == (1, "found", "trajectory")
    expect(2, "label", "chains.jsonl", "--supervise", "groundedprm:check=tools", says="auto, tool, judge, none")

    # The judge path, with the query run in the sandbox.
    write("words.jsonl", [trajectory("w", [("Seven and eight make fifteen.", None)], "15", gold=("15",))])
    write("judge.jsonl", [
        {"match": {"purpose": "teacher"}, "content": "{'query': '7 + 8'}"},
        {"match": {"purpose": "judge", "contains": ["answered <<<ANSWER", "\n15\n"]}, "content": "{\"reason\": \"same\", \"result\": \"True\"}"},
    ])
    out, _ = expect(0, "label", "words.jsonl", "--supervise", "groundedprm", "--model", "judge=script:judge.jsonl")
    verdict = [label for label in json.loads(out)["labels"] if label["name"] == "tool_verdict"][0]
    assert verdict["value"] == 1 and verdict["evidence"]["result"] == "15", verdict


def webarbiter_and_judge():
    candidates = [{"content": "", "tool_calls": [{"id": "c0", "name": "click", "arguments": {"id": name}}]} for name in ("good", "bad", "worse")]
    record = trajectory("web", [("", "page")], "x")
    record["turns"][0].update(candidates=candidates, chosen=1)
    write("web.jsonl", [record])
    write("first.jsonl", [{"content": "<criteria>c</criteria><answer>Response 1</answer>"}])
    out, _ = expect(0, "label", "web.jsonl", "--supervise", "webarbiter", "--model", "judge=script:first.jsonl")
    labels = {label["name"]: label for label in json.loads(out)["labels"]}
    assert labels["winner"]["value"] == 0 and labels["flip_rate"]["value"] == 1 and labels["reward"]["value"] == 0.5
    write("empty.jsonl", [record, dict(record, turns=[dict(record["turns"][0], candidates=[])])])
    expect(2, "label", "empty.jsonl", "--supervise", "webarbiter", "--model", "judge=script:first.jsonl", says=["empty.jsonl:2", "candidates"])
    expect(3, "label", "web.jsonl", "--supervise", "webarbiter", says="judge")
    # One that has nothing to say of anything is named; a suite that there is not is refused.
    write("bare.jsonl", [dict(record, turns=[{"assistant": {"content": "x"}}])])
    expect(0, "label", "bare.jsonl", "--supervise", "webarbiter:as=arbiter", "--model", "judge=script:first.jsonl",
           says="arbiter labelled nothing; `proctor supervisors webarbiter`")
    record["task"]["suite"] = "web"
    write("suite.jsonl", [record])
    judge = ["--model", "judge=script:first.jsonl"]
    _, err = expect(0, "label", "suite.jsonl", "--supervise", "webarbiter:suites=web", *judge)
    assert "labelled nothing" not in err, err
    expect(2, "label", "suite.jsonl", "--supervise", "webarbiter:suites=wbe", *judge,
           says="webarbiter: no record belongs to the suite 'wbe': did you mean 'web'?")
    # What one said of records that it does not look at now stays; tasks of no suite are of `tasks`.
    write("suites.jsonl", [record, dict(trajectory("bare", [("", "page")], "x"), turns=record["turns"])])
    expect(0, "label", "suites.jsonl", "--supervise", "webarbiter", *judge, "--out", "suites.jsonl", says="labelled 2 of 2")
    for suite, kept in (("web", 1), ("tasks", 0)):
        before = read("suites.jsonl")
        assert all(one["labels"] for one in before), before
        expect(0, "label", "suites.jsonl", "--supervise", f"webarbiter:suites={suite}", *judge, "--out", "suites.jsonl",
               says=f"labelled 1 of 2 trajectories: {len(before[1 - kept]['labels'])} label")
        assert read("suites.jsonl")[kept] == before[kept], read("suites.jsonl")
        assert [len(one["labels"]) for one in read("suites.jsonl")] == [len(one["labels"]) for one in before]

    write("scores.jsonl", [{"match": {"contains": ["r1 second"]}, "content": "<reason>why</reason><score>3</score>"},
                           {"content": "<reason>well</reason><score>8</score>"}])
    write("group.jsonl", GROUP)
    out, _ = expect(0, "label", "group.jsonl", "--supervise", "judge:rubric=be right", "--model", "judge=script:scores.jsonl")
    assert values(json.loads(out.splitlines()[0]), "score") == [8, 3, 3]
    with open("use.yaml", "w") as file:
        file.write("judge:\n  rubric: |\n    a long one, with commas\n  level: trajectory\n")
    out, _ = expect(0, "label", "group.jsonl", "--supervise", "@use.yaml", "--model", "policy=script:scores.jsonl")
    assert values(json.loads(out.splitlines()[2]), "score") == [8]

    # One too slow to answer anything gave no score, which is said.
    write("slow.jsonl", [{"content": "<score>5</score>", "delay_ms": 60000}])
    out, _ = expect(0, "label", "group.jsonl", "--supervise", "judge:level=trajectory", "--model", "judge=script:slow.jsonl",
                    "--deadline-ms", "300", says="3 labels (3 without an answer of the judge in time), 0 failed supervisions")
    assert [label["verdict"] for line in out.splitlines() for label in json.loads(line)["labels"]] == ["no_answer"] * 3, out

    # One supervisor that fails hurts nobody else; the exit code and the record say so.
    write("gone.jsonl", [{"error": "the server went away"}])
    out, err = expect(1, "label", "group.jsonl", "--supervise", "judge", "--supervise", "groundedprm:check=tool",
                      "--model", "judge=script:gone.jsonl", says="the server went away")
    for line in out.splitlines():
        labels = json.loads(line)["labels"]
        failed = [label for label in labels if label["name"] == "failed_supervision"]
        assert failed and all(label["evidence"]["supervisor"] == "judge" and label["value"] is None for label in failed)
        assert any(label["supervisor"] == "groundedprm" for label in labels)


def prlcoder():
    """The scorer and the teacher of prlcoder, by script; the programs run in the sandbox."""
    code = "def add(a, b):\n    return a + b\n"
    gold = {"entry_point": "add", "solution": code, "tests": [{"args": [2, 3], "expect": 5}, {"args": [0, 4], "expect": 4}]}

    def program(name, text, **task):
        record = trajectory(name, [("```\n" + text + "```", None)], text)
        record["task"]["gold"] = dict(gold, **task)
        return record

    def lines(record, name):
        return {label["line"]: label for label in record["labels"] if label["name"] == name}

    write("add.jsonl", [program("right", code), program("rejected", code, solution="def add(a, b):\n    return 0\n")])
    write("prm.jsonl", [{"match": {"continuation": "+"}, "score": [-0.1]}, {"match": {"continuation": "-"}, "score": [-2.3]}])
    quiet = "prlcoder:operators=none,probes=none"
    out, _ = expect(0, "label", "add.jsonl", "--supervise", quiet + ",prm=scorer", "--model", "scorer=script:prm.jsonl")
    right, rejected = [json.loads(line) for line in out.splitlines()]
    assert values(right, "prm_score") == [0.900250] * 2, right["labels"]
    assert lines(right, "prm_score")[1]["cost"]["model_calls"] == 2
    assert [label["verdict"] for label in rejected["labels"]] == ["bad_task"], rejected["labels"]
    # A log-probability that is none is a failure, and a scorer that has none is missing.
    for bad in ([None], [3.0]):
        write("prm.jsonl", [{"match": {"continuation": "+"}, "score": bad}, {"score": [-2.3]}])
        expect(1, "label", "add.jsonl", "--supervise", quiet + ",prm=scorer", "--model", "scorer=script:prm.jsonl", says="log-probability")
    write("mute.jsonl", [{"content": "hello"}])
    expect(3, "label", "add.jsonl", "--supervise", quiet + ",prm=scorer", "--model", "scorer=script:mute.jsonl", says="needs_logprobs")

    # The teacher: variants of a program that passes, repairs of one that fails.
    def asked(kind):
        return {"contains": ['{"line":2,"type":"%s"}' % kind]}
    write("add.jsonl", [program("right", code)])
    write("teacher.jsonl", [{"match": asked("mutation"), "content": '{"line": 2, "type": "mutation", "code": "return a * b"}'},
                            {"match": asked("refactoring"), "content": '```json\n{"line": 2, "type": "refactoring", "code": "    return b + a"}\n```'},
                            {"content": "no"}])
    teacher = ["--model", "teacher=script:teacher.jsonl"]
    out, _ = expect(0, "label", "add.jsonl", "--supervise", quiet, *teacher)
    variants = lines(json.loads(out), "line")[1]["evidence"]["variants"]
    assert [(v["code"], v["label"], v["kind"]) for v in variants if v["label"] is not None] == [
        ("    return a * b", 0, "wrong"), ("    return b + a", 1, "probably-equivalent")], variants
    assert all(v["teacher"] for v in variants)
    write("bad.jsonl", [program("bad", "def add(a, b):\n    c = 0\n    return a % b + c\n")])
    write("teacher.jsonl", [{"match": {"contains": ["A program fails its tests", '{"line":3,"type":"mutation"}']},
                             "content": '{"line": 3, "type": "mutation", "code": "return a + b + c"}'}, {"content": "no"}])
    record = json.loads(expect(0, "label", "bad.jsonl", "--supervise", quiet + ",teacher=true", *teacher)[0])
    line = lines(record, "line")[2]
    assert (line["verdict"], line["evidence"]["kind"], line["evidence"]["fix"]) == ("incorrect", "repair", "    return a + b + c"), line
    assert line["evidence"]["failing_input"] == {"args": [2, 3]} and line["evidence"]["variants"][0]["kind"] == "repair", line

    # Tests in the form of another tool are none of ours, and refuse no file.
    write("foreign.jsonl", [program("right", code), program("foreign", code, tests=["assert add(1, 1) == 2"], entry_point=None)])
    out, _ = expect(0, "label", "foreign.jsonl", "--supervise", quiet)
    assert [len(json.loads(line)["labels"]) > 0 for line in out.splitlines()] == [True, False]


def conversations():
    write("chat.jsonl", [
        {"messages": [
            {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Sum?"},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "calc", "arguments": "{\"e\": \"2+2\"}"}}]},
            {"role": "tool", "tool_call_id": "a", "content": "4"},
            {"role": "assistant", "content": "2 + 2 = 5, so the answer is 5."}],
         "gold": {"answers": ["4"]}, "source": "elsewhere"},
        {"id": "mine", "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "", "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "calc", "arguments": "{broken"}}]}]},
    ])
    out, _ = expect(0, "label", "chat.jsonl", "--from", "openai-messages", "--supervise", "groundedprm:check=tool")
    first, second = [json.loads(line) for line in out.splitlines()]
    assert first["id"] == "chat-1" and second["id"] == "mine"
    assert first["task"]["prompt"] == "Sum?" and first["source"] == "elsewhere"
    assert first["turns"][0]["observations"][0]["name"] == "calc"
    assert first["outcome"]["answer"] == "5" and first["outcome"]["status"] == "answered"
    assert values(first, "tool_verdict") == [0, -1]
    assert second["turns"][0]["assistant"]["parse_error"].endswith("call to 'calc' are no JSON object; they were: {broken")
    assert second["outcome"]["status"] == "max_turns"
    expect(2, "label", "chat.jsonl", "--supervise", "groundedprm", says="chat.jsonl:1")
    # What comes out is what lint passes: an answer to no call has no id, and no key is taken for one of ours.
    said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "3 + 4 = 7"},
            {"role": "tool", "tool_call_id": "gone", "content": "4"}, {"role": "assistant", "content": "7"}]
    write("odd.jsonl", [{"messages": said}])
    expect(0, "label", "odd.jsonl", "--from", "openai-messages", "--supervise", "groundedprm:check=tool", "--out", "even.jsonl")
    expect(0, "lint", "even.jsonl")
    answers_twice = [{"role": "user", "content": "Hi"},
                     {"role": "assistant", "content": "", "tool_calls": [
                         {"id": "c1", "type": "function", "function": {"name": "calc", "arguments": "{}"}}]},
                     {"role": "tool", "tool_call_id": "c1", "name": "other", "content": "4"},
                     {"role": "tool", "tool_call_id": "c1", "content": "5"}]
    write("twice.jsonl", [{"messages": answers_twice}])
    expect(0, "label", "twice.jsonl", "--from", "openai-messages", "--supervise", "groundedprm:check=tool", "--out", "once.jsonl")
    expect(0, "lint", "once.jsonl")
    # An answer to a call that is not there is that of the next call; one to a call that could not be read keeps its name.
    def called(given, *answers):
        calls = [{"id": f"c{i}", "type": "function", "function": {"name": "calc", "arguments": text}} for i, text in enumerate(given)]
        return {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": None, "tool_calls": calls},
                             *[{"role": "tool", "tool_call_id": name, "content": name} for name in answers],
                             {"role": "assistant", "content": "Done."}]}
    write("lost.jsonl", [called(["{}"], "zzz"), called(["7", "{}"], "c0", "c1")])
    expect(0, "label", "lost.jsonl", "--from", "openai-messages", "--supervise", "groundedprm:check=tool", "--out", "found.jsonl")
    other, unread = [record["turns"][0] for record in read("found.jsonl")]
    assert [(seen["tool_call_id"], seen["name"]) for seen in other["observations"]] == [("c0", "calc")]
    assert [(seen["tool_call_id"], seen["name"]) for seen in unread["observations"]] == [("", "calc"), ("c1", "calc")]
    assert unread["assistant"]["broken_calls"] == [{"id": "c0", "name": "calc", "arguments": "7"}]
    expect(0, "lint", "found.jsonl")
    # A refusal is what was said, and a turn without a word is wrong.
    write("mute.jsonl", [{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": None, **more}]}
                         for more in ({"refusal": "I can't."}, {"refusal": None}, {})])
    expect(0, "label", "mute.jsonl", "--from", "openai-messages", "--supervise", "groundedprm:check=tool", "--out", "told.jsonl")
    refused, *mute = read("told.jsonl")
    assert refused["turns"][0]["assistant"]["content"] == refused["outcome"]["answer"] == "I can't."
    assert refused["turns"][0]["assistant"]["refusal"] is True and values(refused, "tool_verdict") == [0]
    assert [values(record, "tool_verdict") for record in mute] == [[-1], [-1]]
    # Calls as they were at first, and an answer as GSM8K marks it.
    older = [{"role": "user", "content": "Sum?"},
             {"role": "assistant", "content": None, "function_call": {"name": "calc", "arguments": "{\"e\": \"2+2\"}"}},
             {"role": "function", "name": "calc", "content": "4"}, {"role": "assistant", "content": "2 + 2 = 4\n#### 4"}]
    write("older.jsonl", [{"messages": older, "gold": {"answers": [4]}}])
    expect(0, "label", "older.jsonl", "--from", "openai-messages", "--supervise", "groundedprm:check=tool", "--out", "newer.jsonl")
    newer = read("newer.jsonl")[0]
    assert newer["turns"][0]["assistant"]["tool_calls"][0]["arguments"] == {"e": "2+2"}
    assert newer["turns"][0]["observations"][0]["name"] == "calc"
    assert newer["outcome"]["answer"] == "4" and values(newer, "step") == [0.5, 1.5]
    expect(0, "lint", "newer.jsonl")
    write("none.jsonl", [{"messages": said, "outcome": {"status": "answered"}}])
    expect(2, "label", "none.jsonl", "--from", "openai-messages", "--supervise", "groundedprm:check=tool",
           says="none.jsonl:1: outcome.answer: is missing")
    theirs = {"tokens": 17, "labels": ["a"], "created": 1764300000, "conversation": "c1"}
    write("ours.jsonl", [{"messages": said, "model": "m", **theirs}])
    expect(0, "label", "ours.jsonl", "--from", "openai-messages", "--supervise", "groundedprm:check=tool", "--out", "kept.jsonl")
    kept = read("kept.jsonl")[0]
    assert kept["model"] == "m" and kept["conversation"] == theirs
    expect(0, "lint", "kept.jsonl")
    write("no.jsonl", [{"prompt": "x"}])
    expect(2, "label", "no.jsonl", "--from", "openai-messages", "--supervise", "groundedprm", says=["no.jsonl:1", "messages"])


def interruption():
    write("slow.jsonl", [{"match": {"task_id": "fast"}, "content": "<score>5</score>"},
                         {"content": "<score>5</score>", "delay_ms": 60000}])
    fast = trajectory("fast", [("x", None)], "y", task="fast", group="fast")
    write("many.jsonl", [fast] + [trajectory(f"s{i}", [(f"x{i}", None)], "y") for i in range(5)])

    def interrupted(script, out):
        process = subprocess.Popen([PROCTOR, "label", "many.jsonl", "--supervise", "judge", "--model", f"judge=script:{script}", "--out", out],
                                   stderr=subprocess.PIPE, text=True)
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        assert process.returncode == 130, (process.returncode, err)
        return err

    err = interrupted("slow.jsonl", "part.jsonl")
    assert [record["id"] for record in read("part.jsonl.partial")] == ["fast"], err
    assert "part.jsonl.partial" in err and not os.path.exists("part.jsonl"), err
    assert "part.jsonl was not written" in err, err
    # What the next ones keep stands beside it, and goes with it once OUT is whole.
    write("hanging.jsonl", [{"content": "<score>5</score>", "delay_ms": 60000}])
    err = interrupted("hanging.jsonl", "part.jsonl")
    assert "labelled 0 of 6" in err and ".partial" not in err, err
    assert "-> part.jsonl.partial-2 (interrupted" in interrupted("slow.jsonl", "part.jsonl")
    assert [record["id"] for record in read("part.jsonl.partial") + read("part.jsonl.partial-2")] == ["fast", "fast"]
    expect(0, "label", "many.jsonl", "--supervise", "groundedprm:check=tool", "--out", "part.jsonl")
    assert [name for name in os.listdir() if name.startswith("part.")] == ["part.jsonl"], os.listdir()

    # What a killed one leaves goes with the next.
    process = subprocess.Popen([PROCTOR, "label", "many.jsonl", "--supervise", "judge", "--model", "judge=script:slow.jsonl", "--out", "killed.jsonl"],
                               stderr=subprocess.PIPE, text=True)
    time.sleep(2)
    process.kill()
    process.communicate(timeout=20)
    assert [name for name in os.listdir() if name.startswith("killed.jsonl.")], "a part is left"
    write("killed.jsonl.part1", [{"mine": True}])
    expect(0, "label", "many.jsonl", "--supervise", "groundedprm:check=tool", "--out", "killed.jsonl")
    assert sorted(name for name in os.listdir() if name.startswith("killed")) == ["killed.jsonl", "killed.jsonl.part1"], os.listdir()

    # In place: the records that were not reached are still there.
    with open("many.jsonl") as file:
        before = file.read()
    err = interrupted("slow.jsonl", "many.jsonl")
    with open("many.jsonl") as file:
        assert file.read() == before, "an interrupted label leaves its input as it was"
    assert "many.jsonl is as it was" in err, err


def old_labels():
    """Labels of others are kept, and not counted as made; stdin leaves nothing behind, however it ends."""
    record = trajectory("old", [("3 + 4 = 7.", None)], "7")
    record["labels"] = [{"supervisor": "somebody", "name": "x", "level": "turn", "turn": 0, "value": 1}] * 5
    write("old.jsonl", [record])
    out, err = expect(0, "label", "old.jsonl", "--supervise", "groundedprm:check=tool")
    made = [label for label in json.loads(out)["labels"] if label["supervisor"] != "somebody"]
    assert f": {len(made)} label" in err, (made, err)
    with open("old.jsonl") as file:
        text = file.read()
    out, err = expect(0, "label", "-", "--supervise", "groundedprm:check=tool", stdin=text)
    assert json.loads(out)["id"] == "old", out
    _, err = expect(2, "label", "-", "--supervise", "groundedprm:check=tool", stdin=text + "{\n", says="stdin:2: ")
    os.mkdir("kept")
    process = subprocess.Popen([PROCTOR, "label", "-", "--supervise", "groundedprm:check=tool"],
                               stdin=subprocess.PIPE, env={**os.environ, "TMPDIR": os.path.abspath("kept")})
    process.stdin.write(text.encode())
    process.stdin.flush()

    def copies():
        descriptors = f"/proc/{process.pid}/fd"
        return [name for name in os.listdir(descriptors) if "proctor-stdin" in os.readlink(f"{descriptors}/{name}")]

    for _ in range(200):
        if copies():
            break
        time.sleep(0.05)
    assert copies()
    process.terminate()
    process.wait(timeout=20)
    process.stdin.close()
    assert not [name for name in os.listdir("kept") if "stdin" in name], os.listdir("kept")


def memory():
    """Constant in the number of trajectories where groups stand together."""
    peaks = []
    for count in (20, 800):
        write("big.jsonl", [trajectory(f"c{i}", [("3 + 4 = 7. " * 2000, None)], "7", group=f"g{i}") for i in range(count)])
        process = subprocess.Popen([PROCTOR, "label", "big.jsonl", "--supervise", "groundedprm:check=tool", "--out", "/dev/null"],
                                   stderr=subprocess.PIPE, text=True)
        process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0
        peaks.append(usage.ru_maxrss)
    assert peaks[1] < peaks[0] + 60_000, f"peak memory grew from {peaks[0]} to {peaks[1]} KiB"


def listings():
    out, _ = expect(0, "supervisors")
    for name in ("igpo", "webarbiter", "judge", "groundedprm"):
        assert name in out
    out, _ = expect(0, "supervisors", "igpo")
    assert "gamma" in out and "0 to 1" in out and "p0 (trajectory)" in out and "scorer" in out
    out, _ = expect(0, "supervisors", "--json")
    assert {json.loads(line)["name"] for line in out.splitlines()} >= {"igpo", "judge"}
    out, _ = expect(0, "supervisors", "webarbiter", "--json")
    assert json.loads(out)["labels"][0] == "winner (turn)"
    expect(2, "supervisors", "igop", says="did you mean 'igpo'")
    out, _ = expect(0, "tools")
    assert "search" in out
    expect(0, "tools", "search")
    expect(2, "tools", "serach", says="did you mean 'search'")


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    for test in (igpo, bad_input, groundedprm, webarbiter_and_judge, prlcoder, conversations, interruption, old_labels, memory, listings):
        test()
        print("ok", test.__name__)
