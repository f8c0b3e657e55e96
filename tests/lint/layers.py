#!/usr/bin/env python3
"""Reads the #include lines and fails on an arrow that points back.

Lower folders never include higher ones, and from outside only a folder's front door is included.
Blind spot: a declaration repeated by hand instead of an include is not seen.
"""

import pathlib
import re
import sys

# Each folder may include itself and what stands in a row above its own.
ROWS = [["runtime/core"], ["sandbox", "policies"], ["tools"], ["env"], ["supervisors"], ["runtime"],
        ["runtime/app"]]
# What others may include. runtime/core is shared by everyone as a whole; runtime and its commands are
# one house; tests look into every room.
FRONT_DOORS = {
    "sandbox": {"sandbox.h", "base64.h"},
    "policies": {"model.h", "format.h", "judge.h", "answer.h"},
    "tools": {"tool.h", "index.h"},
    "env": {"suite.h", "gold.h", "program_tests.h"},
    "supervisors": {"supervisor.h", "steps.h", "grading.h"},
}

FOLDERS = sorted((folder for row in ROWS for folder in row), key=len, reverse=True)
RANK = {folder: rank for rank, row in enumerate(ROWS) for folder in row}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def folder_of(path):
    for folder in FOLDERS:
        if path.startswith(folder + "/"):
            return folder
    return None


def complaints(root):
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        own = folder_of(name)
        if own is None or path.suffix not in {".h", ".cpp", ".cu", ".cuh"}:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            included = match[1]
            where = f"{name}:{number}: includes {included}"
            other = folder_of(included)
            if other is None:
                if included.startswith("tests/"):
                    yield f"{where}: shipped code does not include tests"
                elif not (root / included).exists() and "/" not in included:
                    yield f"{where}: write the path from the repository's root"
                continue
            if not (root / included).exists():
                yield f"{where}: there is no such file"
            if other == own:
                continue
            if RANK[other] > RANK[own]:
                yield f"{where}: {own} must not know {other}"
            elif RANK[other] == RANK[own]:
                yield f"{where}: {own} and {other} do not know each other"
            elif other in FRONT_DOORS and included.removeprefix(other + "/") not in FRONT_DOORS[other]:
                doors = ", ".join(sorted(FRONT_DOORS[other]))
                yield f"{where}: only the front door of {other} may be included from outside ({doors})"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    found = list(complaints(root))
    for complaint in found:
        print(complaint)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
