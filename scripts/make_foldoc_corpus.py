#!/usr/bin/env python3
"""Turns Debian's dict-foldoc into a search corpus: {"id","title","text"}, one entry a line.

The package's text is under the GNU FDL and stays out of version control; this makes it anew, the
same bytes from the same package. Blind spot: tables and ASCII art in entries lose their layout.
"""

import argparse
import gzip
import json
import os
import re
import sys
import unicodedata

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DIGITS = {c: i for i, c in enumerate(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")}
# dictd's own records about the dictionary.
DICTD_RECORDS = ("00-database", "     The Free On-line Dictionary", "The original data is available")
# Braces around program text hold a space or a semicolon that no link has.
LINK = re.compile(r"\{(?=\S)([^{};]{1,400})(?<=\S)\}")
DISPLAY = re.compile(r"(.*\S)\s+\((.*)\)", re.S)
TOPIC = re.compile(r"\A<([a-z0-9][^<>]*)>\s*", re.S)
DATE = re.compile(r"\s*\((?:19|20)\d\d-\d\d(?:-\d\d)?\)\s*\Z")


def number(digits):
    """dictd writes offsets and lengths in base 64."""
    value = 0
    for digit in digits:
        value = value * 64 + DIGITS[digit]
    return value


def places(index_path):
    """(offset, length) of every entry, in file order; aliases share one place."""
    found = set()
    with open(index_path, encoding="utf-8") as index:
        for line in index:
            _, offset, length = line.rstrip("\n").split("\t")
            found.add((number(offset), number(length)))
    return sorted(found)


def unlink(text):
    """{shell} becomes shell; {left (left parenthesis)} becomes left; {(http://x)} becomes http://x."""

    def shown(match):
        inside = " ".join(match.group(1).split())
        if inside.startswith("(") and inside.endswith(")"):
            return inside[1:-1]
        display = DISPLAY.fullmatch(inside)
        return display.group(1) if display else inside

    return LINK.sub(shown, text)


def clean(body):
    """One line a paragraph; the topic "<language>" goes in front as "(language)"."""
    body = DATE.sub("", body.strip())
    topic = TOPIC.match(body)
    if topic:
        body = "(%s) %s" % (topic.group(1), body[topic.end():])
    paragraphs = (" ".join(p.split()) for p in re.split(r"\n\s*\n", unlink(body)))
    return "\n".join(p for p in paragraphs if p)


def slug(headword):
    """Punctuation stays, so that C, C++ and C# are three ids."""
    return "-".join(unicodedata.normalize("NFC", headword).lower().split())


def entries(dictionary, index_path):
    taken = set()
    for offset, length in places(index_path):
        raw = dictionary[offset:offset + length].decode("utf-8").strip("\n")
        head, _, body = raw.partition("\n\n")
        headwords = [line.strip() for line in head.split("\n") if line.strip()]
        if not headwords or raw.startswith(DICTD_RECORDS):
            continue
        text = clean(body)
        if not text:
            continue
        if len(headwords) > 1:
            text = "Also: %s.\n%s" % ("; ".join(headwords[1:]), text)
        name = base = "foldoc:" + slug(headwords[0])
        twin = 2
        while name in taken:
            name, twin = "%s~%d" % (base, twin), twin + 1
        taken.add(name)
        yield {"id": name, "title": headwords[0], "text": text}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--source", default="/usr/share/dictd", help="folder of foldoc.dict.dz")
    data = os.environ.get("PROCTOR_DATA", os.path.join(ROOT, "data"))
    parser.add_argument("--out", default=os.path.join(data, "foldoc/corpus.jsonl"))
    options = parser.parse_args()

    dictionary_path = os.path.join(options.source, "foldoc.dict.dz")
    index_path = os.path.join(options.source, "foldoc.index")
    if not (os.path.exists(dictionary_path) and os.path.exists(index_path)):
        print("make_foldoc_corpus: no %s; install the Debian package dict-foldoc "
              "(apt-get install dict-foldoc)" % dictionary_path, file=sys.stderr)
        return 3
    with gzip.open(dictionary_path) as file:
        dictionary = file.read()

    os.makedirs(os.path.dirname(os.path.abspath(options.out)), exist_ok=True)
    partial = options.out + ".partial"
    count = 0
    with open(partial, "w", encoding="utf-8") as out:
        for entry in entries(dictionary, index_path):
            out.write(json.dumps(entry, ensure_ascii=False) + "\n")
            count += 1
    os.replace(partial, options.out)
    print("%s: %d entries" % (options.out, count))
    return 0


if __name__ == "__main__":
    sys.exit(main())
