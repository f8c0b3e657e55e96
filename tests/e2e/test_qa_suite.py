#!/usr/bin/env python3
"""The questions of the qa suite hold against the corpus made from the installed dictionary.

Without Debian's dict-foldoc there is nothing to check against: skipped, or with PROCTOR_MODEL_MUST_WORK=1 failed.
"""

import json
import os
import subprocess
import sys
import tempfile

from support import skip

HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DICTIONARY = "/usr/share/dictd/foldoc.dict.dz"


def run(*command):
    return subprocess.run([sys.executable, *command], capture_output=True, text=True)


def script(name):
    return os.path.join(HOME, "scripts", name)


def check(corpus, *more):
    return run(script("check_qa.py"), "--corpus", corpus, *more)


def spoiled(folder, name, change):
    """The suite's tasks with one thing wrong."""
    path = os.path.join(folder, name + ".jsonl")
    with open(os.path.join(HOME, "env/suites/qa/tasks.jsonl"), encoding="utf-8") as tasks:
        records = [json.loads(line) for line in tasks]
    change(records)
    with open(path, "w", encoding="utf-8") as out:
        out.writelines(json.dumps(record) + "\n" for record in records)
    return path


def recall(proctor, folder, corpus):
    """Of the questions, the share whose first gold document is among the ten best hits."""
    index = os.path.join(folder, "index")
    built = subprocess.run([proctor, "index", "build", corpus, "--out", index],
                           capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    with open(os.path.join(HOME, "env/suites/qa/tasks.jsonl"), encoding="utf-8") as tasks:
        records = [json.loads(line) for line in tasks]
    queries = "".join(json.dumps({"id": r["id"], "query": r["prompt"]}) + "\n" for r in records)
    asked = subprocess.run([proctor, "index", "query", index, "--queries", "-"], input=queries,
                           capture_output=True, text=True)
    assert asked.returncode == 0, asked.stderr
    answers = [json.loads(line) for line in asked.stdout.splitlines()]
    assert [a["id"] for a in answers] == [r["id"] for r in records]
    found = sum(r["gold"]["documents"][0] in [hit["id"] for hit in a["hits"]]
                for r, a in zip(records, answers))
    return found / len(records)


def main():
    proctor = os.path.abspath(sys.argv[1])
    if not os.path.exists(DICTIONARY):
        skip("no %s (apt-get install dict-foldoc)" % DICTIONARY, "PROCTOR_MODEL_MUST_WORK")
    with tempfile.TemporaryDirectory() as folder:
        corpus = os.path.join(folder, "corpus.jsonl")
        made = run(script("make_foldoc_corpus.py"), "--out", corpus)
        assert made.returncode == 0, made.stderr
        with open(corpus, "rb") as file:
            first = file.read()
        assert len(first.splitlines()) > 10000, made.stdout
        again = run(script("make_foldoc_corpus.py"), "--out", corpus)
        with open(corpus, "rb") as file:
            assert again.returncode == 0 and file.read() == first, "the corpus is not the same twice"

        checked = check(corpus)
        assert checked.returncode == 0, checked.stderr
        assert int(checked.stdout.split()[0]) >= 36, checked.stdout

        # The checker itself can fail.
        def no_document(records):
            records[0]["gold"]["documents"] = ["foldoc:nowhere"]

        def wrong_answer(records):
            records[0]["gold"]["answers"] = ["Nobody Inparticular"]

        def given_away(records):
            records[0]["prompt"] += " Was it %s?" % records[0]["gold"]["answers"][0]

        def broken_chain(records):
            two = next(r for r in records if r["metadata"]["hops"] == 2)
            two["gold"]["bridge"] = "Nowhere"

        for change in (no_document, wrong_answer, given_away, broken_chain):
            bad = check(corpus, "--tasks", spoiled(folder, change.__name__, change))
            assert bad.returncode == 1 and "1 wrong" in bad.stdout, (change.__name__, bad.stdout)

        missing = run(script("make_foldoc_corpus.py"), "--source", folder, "--out", corpus)
        assert missing.returncode == 3 and "dict-foldoc" in missing.stderr

        share = recall(proctor, folder, corpus)
        assert share >= 0.9, "only %.2f of the questions find their first document" % share
        print("%s; first gold document among ten hits: %.2f" % (checked.stdout.strip(), share))
    return 0


if __name__ == "__main__":
    sys.exit(main())
