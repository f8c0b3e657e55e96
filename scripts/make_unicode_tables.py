#!/usr/bin/env python3
"""Writes runtime/core/unicode_tables.inc: which characters make words, and their lower case.

Run by hand when a newer Unicode is wanted; the indexes built before must then be built anew
(raise kIndexVersion). Blind spot: scripts that need a dictionary to find words (Thai, Khmer) come
out as runs of letters.
"""

import sys
import unicodedata

SINGLE = [(0x3040, 0x309F), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF)]
KATAKANA = [(0x30A0, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F)]


def within(point, ranges):
    return any(first <= point <= last for first, last in ranges)


def kind_of(point):
    category = unicodedata.category(chr(point))
    if category in ("Mn", "Me", "Mc") or point in (0x200C, 0x200D, 0x00AD):
        return "extend"
    if category == "Nd":
        return "digit"
    if category[0] == "L" or category == "Nl":
        if within(point, SINGLE):
            return "single"
        return "katakana" if within(point, KATAKANA) else "letter"
    return "connector" if category == "Pc" else None


def word_ranges():
    ranges = []
    for point in range(0x80, 0x110000):
        kind = kind_of(point)
        if kind is None:
            continue
        if ranges and ranges[-1][1] == point - 1 and ranges[-1][2] == kind:
            ranges[-1][1] = point
        else:
            ranges.append([point, point, kind])
    return ranges


def lower_ranges():
    """(first, last, step, difference): capitals often take every second place."""
    ranges = []
    for point in range(0x80, 0x110000):
        small = chr(point).lower()
        if len(small) != 1 or ord(small) == point:
            continue
        difference = ord(small) - point
        if ranges and ranges[-1][3] == difference:
            first, last, step, _ = ranges[-1]
            gap = point - last
            if gap in (1, 2) and (first == last or gap == step):
                ranges[-1][1], ranges[-1][2] = point, gap
                continue
        ranges.append([point, point, 1, difference])
    return ranges


def rows(cells):
    line = ""
    for cell in cells:
        if len(line) + len(cell) + 3 > 100:
            yield line.rstrip()
            line = ""
        line += cell + ", "
    yield line.rstrip()


def main():
    out = ["// Made by scripts/make_unicode_tables.py from Unicode %s; do not edit." %
           unicodedata.unidata_version,
           "// clang-format off",
           "constexpr KindRange kKinds[] = {"]
    out += rows("{0x%X,0x%X,Kind::%s}" % tuple(r) for r in word_ranges())
    out += ["};", "constexpr LowerRange kLower[] = {"]
    out += rows("{0x%X,0x%X,%d,%d}" % tuple(r) for r in lower_ranges())
    out += ["};", "// clang-format on", ""]
    with open("runtime/core/unicode_tables.inc", "w", encoding="utf-8") as file:
        file.write("\n".join(out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
