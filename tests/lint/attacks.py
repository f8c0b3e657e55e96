#!/usr/bin/env python3
"""Checks the table of attacks in tests/guests/README.md: all numbers are there, the tests and guests it names
exist, every guest is named, and what a guest reports under a number is so in the table.

Blind spot: whether a test does what its row says.
"""

import pathlib
import re
import sys

ATTACKS = range(1, 111)
ANSWERS = {"contained", "killed", "not promised", "–"}
REPORTED = re.compile(r"(?:\bescaped\(|\battempt\(|\bcall\(|\bconnect\(|\bclone\(|\buntil_refused\(|escaped: |^for number.*?\(\()(\d+)")


def complaints(root):
    table, tests = root / "tests/guests/README.md", root / "tests/integration/sandbox"
    source = "".join(path.read_text(encoding="utf-8") for path in sorted(tests.glob("*.cpp")))
    known = {"%s.%s" % name for name in re.findall(r"TEST_P\((\w+),\s*(\w+)\)", source)}
    guests = {path.name for path in table.parent.iterdir()} - {"README.md", "attack.py"}
    rows, named = {}, {}
    for line in table.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not cells or not cells[0].isdigit():
            continue
        number = int(cells[0])
        if len(cells) != 7 or number in rows:
            yield "attack %d: not one row of seven cells" % number
            continue
        rows[number] = cells
        held = re.findall(r"`(\w+\.\w+)`", cells[3])
        for test in held:
            if test not in known:
                yield "attack %d: there is no test %s" % (number, test)
        if not set(cells[4:]) <= ANSWERS or (not held) != (set(cells[4:]) == {"–"}):
            yield "attack %d: its answers are not those of a test" % number
        for guest in re.findall(r"`(\w+\.(?:py|sh|c|js))\b", cells[2]):
            named.setdefault(guest, set()).add(number)
    for number in ATTACKS:
        if number not in rows:
            yield "attack %d has no row" % number
    for guest in sorted(set(named) ^ guests):
        yield "%s is %s" % (guest, "in no row" if guest in guests else "named and not there")
    for guest in sorted(guests & set(named)):
        text = (table.parent / guest).read_text(encoding="utf-8")
        for number in sorted({int(n) for n in REPORTED.findall(text)} - named[guest]):
            yield "%s reports attack %d, whose row does not name it" % (guest, number)


def main():
    found = list(complaints(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
    print("\n".join(found) or "the table of attacks is as the tests are")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
