#!/usr/bin/env python3
"""Checks the questions of env/suites/qa against the corpus they are about.

Each gold document exists; an answer stands in the last gold document and not in the question; of a
two-hop question, the bridge stands in the first document, names the second, and is not given away.
Blind spot: whether the question really asks for the answer, only a reader can tell.
"""

import argparse
import json
import os
import re
import sys

HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def words(text):
    """For comparing: lower case, punctuation gone but for what makes a sign like @ an answer."""
    plain = re.sub(r"'s\b", "", text.lower())
    plain = re.sub(r"(?<=\d)-(?=\d)", " ", plain)  # the year of a date is a word
    return " %s " % " ".join(re.sub(r"[^\w@+#\s]", "", plain).split())


def mentions(text, phrase):
    inside = words(phrase)
    if not re.search(r"\w", inside):
        return inside.strip() in text
    return inside in words(text)


def names(document):
    """Its title and, from the first line of its text, its other names."""
    found = [document["title"]]
    first = document["text"].split("\n", 1)[0]
    if first.startswith("Also: "):
        found += first[len("Also: "):].rstrip(".").split("; ")
    return found


def complaints(task, corpus):
    gold = task.get("gold") or {}
    answers, documents = gold.get("answers") or [], gold.get("documents") or []
    hops = (task.get("metadata") or {}).get("hops")
    question = task.get("prompt") or ""
    if not question or not answers:
        return ["needs a prompt and gold.answers"]
    if hops not in (1, 2) or len(documents) != hops:
        return ["metadata.hops must be 1 or 2, with as many gold.documents"]
    unknown = [name for name in documents if name not in corpus]
    if unknown:
        return ["no such document: " + name for name in unknown]

    found = []
    last = corpus[documents[-1]]
    if not any(mentions(last["text"], answer) for answer in answers):
        found.append("no answer stands in %s" % documents[-1])
    found += ["the question gives away '%s'" % a for a in answers if mentions(question, a)]
    if hops == 1:
        return found
    bridge = gold.get("bridge")
    if not bridge:
        return found + ["needs gold.bridge"]
    first = corpus[documents[0]]
    if not mentions(first["text"], bridge):
        found.append("the bridge '%s' does not stand in %s" % (bridge, documents[0]))
    if bridge.lower() not in [name.lower() for name in names(last)]:
        found.append("the bridge '%s' is no name of %s" % (bridge, documents[1]))
    if mentions(question, bridge):
        found.append("the question gives away the bridge '%s'" % bridge)
    if any(mentions(first["text"], answer) for answer in answers):
        found.append("%s has the answer already: one hop is enough" % documents[0])
    return found


def read_lines(path):
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, json.loads(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", default=os.path.join(HOME, "env/suites/qa/tasks.jsonl"))
    parser.add_argument("--corpus", default=os.path.join(HOME, "data/foldoc/corpus.jsonl"))
    options = parser.parse_args()
    if not os.path.exists(options.corpus):
        print("check_qa: no %s; make it with scripts/make_foldoc_corpus.py" % options.corpus,
              file=sys.stderr)
        return 3

    corpus = {document["id"]: document for _, document in read_lines(options.corpus)}
    count, wrong, ids, hops = 0, 0, set(), {1: 0, 2: 0}
    for line, task in read_lines(options.tasks):
        found = complaints(task, corpus)
        if task.get("id") in ids:
            found.append("the id '%s' is there already" % task["id"])
        ids.add(task.get("id"))
        for complaint in found:
            print("%s:%d: %s" % (options.tasks, line, complaint), file=sys.stderr)
        count, wrong = count + 1, wrong + bool(found)
        if not found:
            hops[task["metadata"]["hops"]] += 1
    print("%d questions (%d of one hop, %d of two), %d wrong" % (count, hops[1], hops[2], wrong))
    return 1 if wrong or not count else 0


if __name__ == "__main__":
    sys.exit(main())
