#!/usr/bin/env python3
"""`proctor index build` and `index query`, from outside: hits, forms of queries, bad input."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time

CORPUS = [
    {"id": "b", "title": "B", "text": "A systems language written by Ken Thompson."},
    {"id": "c", "title": "C", "text": "A language that followed B."},
    {"id": "ä", "text": "Größe\nzählt \"nicht\""},
]


def main():
    proctor = os.path.abspath(sys.argv[1])

    def run(*arguments, stdin=None, **more):
        return subprocess.run([proctor, "index", *arguments], input=stdin, capture_output=True,
                              text=True, cwd=folder, **more)

    def refused(*arguments, code=2, says=(), stdin=None):
        done = run(*arguments, stdin=stdin)
        assert done.returncode == code, (arguments, done.returncode, done.stderr)
        assert done.stdout == "", (arguments, done.stdout)
        assert done.stderr.startswith("proctor: ") and done.stderr.count("\n") <= 2, done.stderr
        for words in (says,) if isinstance(says, str) else says:
            assert words in done.stderr, (arguments, words, done.stderr)

    def write(name, text):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def lines(records):
        return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)

    with tempfile.TemporaryDirectory() as folder:
        write("corpus.jsonl", lines(CORPUS))
        built = run("build", "corpus.jsonl", "--out", "made/index")
        assert built.returncode == 0 and "3 documents" in built.stdout, built
        assert sorted(os.listdir(os.path.join(folder, "made"))) == ["index"]
        from_stdin = run("build", "-", "--out", "piped", stdin=lines(CORPUS))
        assert from_stdin.returncode == 0, from_stdin.stderr
        for name in ("index.bin", "documents.bin"):
            with open(os.path.join(folder, "piped", name), "rb") as one, \
                 open(os.path.join(folder, "made/index", name), "rb") as other:
                assert one.read() == other.read(), name

        asked = run("query", "made/index", "who wrote the language B?")
        hits = [json.loads(line) for line in asked.stdout.splitlines()]
        assert asked.returncode == 0 and [hit["id"] for hit in hits] == ["b", "c"], asked
        assert sorted(hits[0]) == ["id", "score", "text", "title"], hits[0]
        assert hits[0]["title"] == "B" and hits[0]["text"] == CORPUS[0]["text"]
        assert hits[0]["score"] > hits[1]["score"] > 0
        assert run("query", "made/index", "--k", "1", "language").stdout.count("\n") == 1
        umlauts = run("query", "made/index", "größe")
        assert json.loads(umlauts.stdout) == {**json.loads(umlauts.stdout), "id": "ä", "title": "",
                                              "text": CORPUS[2]["text"]}
        nothing = run("query", "made/index", "unheard")
        assert (nothing.returncode, nothing.stdout) == (0, ""), nothing

        write("queries", 'language B\n{"id":7,"query":"zählt"}\nunheard\n')
        many = run("query", "made/index", "--k", "2", "--queries", "queries")
        answers = [json.loads(line) for line in many.stdout.splitlines()]
        assert many.returncode == 0, many.stderr
        assert [(a["id"], a["query"]) for a in answers] == [
            (None, "language B"), (7, "zählt"), (None, "unheard")], answers
        assert [[hit["id"] for hit in a["hits"]] for a in answers] == [["b", "c"], ["ä"], []]

        # Bad input is one sentence, and leaves nothing behind.
        refused("build", "corpus.jsonl", "--out", "made/index", says="is there already")
        refused("build", "nowhere.jsonl", "--out", "x", says="nowhere.jsonl")
        refused("build", "corpus.jsonl", says="--out")
        write("twice.jsonl", lines(CORPUS + CORPUS[:1]))
        refused("build", "twice.jsonl", "--out", "x",
                says=("twice.jsonl:4: ", "'b'", "on line 1"))
        write("no_text.jsonl", lines(CORPUS[:1] + [{"id": "x", "contents": "y"}]))
        refused("build", "no_text.jsonl", "--out", "x", says=("no_text.jsonl:2: ", "text"))
        write("broken.jsonl", lines(CORPUS[:1]) + "{\n")
        refused("build", "broken.jsonl", "--out", "x", says="broken.jsonl:2: ")
        refused("build", "broken.jsonl", "--out", "x/y/z", says="broken.jsonl:2: ")
        write("empty.jsonl", "")
        refused("build", "empty.jsonl", "--out", "x", says="no records")
        assert not [name for name in os.listdir(folder) if name.startswith("x")], os.listdir(folder)

        # Interrupted, it leaves nothing behind either.
        process = subprocess.Popen([proctor, "index", "build", "-", "--out", "x"], cwd=folder, text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdin.write(lines(CORPUS))
        process.stdin.flush()
        deadline = time.monotonic() + 60
        while not [name for name in os.listdir(folder) if name.startswith("x.partial")]:
            assert time.monotonic() < deadline, "nothing is begun"
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate('{"id": "d", "text": "d"}\n', timeout=30)
        assert process.returncode == 130 and "interrupted" in told, (process.returncode, told)
        assert not [name for name in os.listdir(folder) if name.startswith("x")], os.listdir(folder)

        # Nor does a benchmark.
        process = subprocess.Popen([proctor, "bench", "search"], text=True, env={**os.environ, "TMPDIR": folder},
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while not [name for name in os.listdir(folder) if name.startswith("proctor-bench-")]:
            assert time.monotonic() < deadline, "nothing is begun"
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
        assert process.returncode == 130 and "bench: interrupted" in told, (process.returncode, told)
        assert not [name for name in os.listdir(folder) if name.startswith("proctor-")], os.listdir(folder)

        # What a killed one leaves goes with the next of that name; what another one makes, or nobody of ours, stays.
        def begun(out):
            process = subprocess.Popen([proctor, "index", "build", "-", "--out", out], cwd=folder,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       text=True)
            process.stdin.write(lines(CORPUS))
            process.stdin.flush()
            part = f"{out}.partial-{process.pid}"
            deadline = time.monotonic() + 60
            while not os.path.exists(os.path.join(folder, part, "documents.bin")):
                assert time.monotonic() < deadline, "nothing is begun"
                time.sleep(0.01)
            return process, part

        process, left = begun("y")
        process.kill()
        process.communicate()
        other, at_work = begun("y")
        for name in ("y.partial-1", "y.partial-old"):
            os.mkdir(os.path.join(folder, name))
            write(name + "/notes", "mine")
        built = run("build", "corpus.jsonl", "--out", "y")
        assert built.returncode == 0, built.stderr
        there = sorted(name for name in os.listdir(folder) if name.startswith("y"))
        assert there == sorted(["y", at_work, "y.partial-1", "y.partial-old"]), (left, there)
        assert sorted(os.listdir(os.path.join(folder, "y"))) == ["documents.bin", "index.bin"]
        _, told = other.communicate(timeout=30)
        assert other.returncode == 1 and told.startswith("proctor: y: cannot create"), (other.returncode, told)
        assert not os.path.exists(os.path.join(folder, at_work))

        refused("query", "made/index", says="empty")
        refused("query", "made/index", "   ", says="empty")
        refused("query", "made/index", "--k", "0", "b")
        refused("query", "made/index", "--queries", "nowhere", says="nowhere")
        write("blank", "b\n\nc\n")
        done = run("query", "made/index", "--queries", "blank")
        assert done.returncode == 0 and done.stdout.count("\n") == 2, done  # as all readers of lines do
        with open(os.path.join(folder, "latin"), "wb") as file:
            file.write("größe\n".encode("latin-1"))
        refused("query", "made/index", "--queries", "latin", says=("latin:1: ", "no UTF-8"))
        # Once nobody reads on, no more is asked.
        feed = subprocess.Popen([proctor, "index", "query", "made/index", "--queries", "-"], cwd=folder,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        feed.stdout.close()
        try:
            for _ in range(200000):
                feed.stdin.write(b"language\n" * 100)
            gone = False
        except BrokenPipeError:
            gone = True
        assert gone and feed.wait(timeout=30) == 1
        told = feed.stderr.read()
        assert told == b"", told
        write("bad", '{"id":1}\n')
        refused("query", "made/index", "--queries", "bad", says=("bad:1: ", "query"))
        refused("query", "nowhere", "b", says="index build")
        refused("query", ".", "b", says="not a search index")
        os.truncate(os.path.join(folder, "piped/index.bin"), 300)
        refused("query", "piped", "b", says=("index.bin", "cut short"))
        refused("query", "made/index", "b", "--queries", "queries")
        refused()

        for arguments in (("--help",), ("build", "--help"), ("query", "--help")):
            helped = run(*arguments)
            assert helped.returncode == 0 and "Example" in helped.stdout, helped
    return 0


if __name__ == "__main__":
    sys.exit(main())
