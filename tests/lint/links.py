#!/usr/bin/env python3
"""Checks that every relative link in the Markdown files leads to something, that every source folder
explains itself in a README, and that the commands in README.md are the ones CI runs.

Blind spot: links to other sites are not followed.
"""

import pathlib
import re
import subprocess
import sys

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.M | re.S)
FOLDERS = ["runtime", "runtime/core", "runtime/app", "sandbox", "policies", "tools", "env", "supervisors",
           "tests"]
TEST_COMMAND = "./scripts/test"


def anchors_of(text):
    """The ids that a page's headings get."""
    found = set()
    for heading in re.findall(r"^#+\s+(.*)$", FENCE.sub("", text), re.M):
        plain = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
        found.add(plain.strip().replace(" ", "-"))
    return found


def complaints(root):
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "-co", "--exclude-standard", "*.md"],
                            capture_output=True, text=True, check=True).stdout.split("\n")
    for name in filter(None, listed):
        path = root / name
        if not path.exists():
            continue
        text = path.read_text(encoding="utf-8")
        for target in LINK.findall(FENCE.sub("", text)):
            if re.match(r"[a-z]+:", target):
                continue
            file, _, anchor = target.partition("#")
            goal = (path.parent / file) if file else path
            if not goal.exists():
                yield f"{name}: the link {target} leads nowhere"
            elif anchor and goal.suffix == ".md" and anchor not in anchors_of(goal.read_text("utf-8")):
                yield f"{name}: {target}: there is no such heading"
    for folder in FOLDERS:
        if (root / folder).is_dir() and not (root / folder / "README.md").exists():
            yield f"{folder}/README.md is missing: what lives here, the front door, how to add one"
    readme = root / "README.md"
    if not readme.exists() or TEST_COMMAND not in readme.read_text("utf-8").splitlines():
        yield f"README.md does not have the line {TEST_COMMAND}, which .ci/run runs"
    if TEST_COMMAND not in (root / ".ci/run").read_text("utf-8"):
        yield f".ci/run does not run {TEST_COMMAND}"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    found = list(complaints(root))
    for complaint in found:
        print(complaint)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
