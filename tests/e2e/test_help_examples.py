#!/usr/bin/env python3
"""The example that each command's --help shows runs as it stands, in the order of the table.

They are typed in an empty folder that has links to examples, env and data, as in a checkout. Examples
that need what a machine may lack still have to say so in one sentence (exit 3); all others exit 0.
"""

import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def shell(command, folder, environment):
    return subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=folder, env=environment,
                          capture_output=True, text=True, timeout=550)


def main():
    binary = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "bin"))
        os.symlink(binary, os.path.join(folder, "bin", "proctor"))
        for name in ("examples", "env", "data"):
            os.symlink(os.path.join(ROOT, name), os.path.join(folder, name))
        environment = dict(os.environ, PATH=os.path.join(folder, "bin") + ":" + os.environ["PATH"])

        help_text = shell("proctor --help", folder, environment)
        assert help_text.returncode == 0, help_text
        # The last group of "  name  summary" lines lists the subcommands.
        names = re.findall(r"^  ([a-z]+)\s{2,}\S", help_text.stdout.split("ubcommands:")[1], re.M)
        assert len(names) >= 12, names
        failures = []
        for name in names:
            shown = shell(f"proctor {name} --help", folder, environment)
            assert shown.returncode == 0, (name, shown.stderr)
            example = re.search(r"Example:\n\s+(.+)", shown.stdout)
            assert example, f"{name} --help has no example:\n{shown.stdout}"
            command = example[1].strip()
            assert f"proctor {name}" in command, f"{name}: the example runs something else: {command}"
            ran = shell(command, folder, environment)
            allowed = (0, 3) if name in ("doctor",) else (0,)
            if ran.returncode not in allowed:
                failures.append(f"{command}\n  exit {ran.returncode}: {ran.stderr[-500:]}")
            if re.search(r"terminate called|Assertion|core dumped", ran.stderr):
                failures.append(f"{command}\n  broke: {ran.stderr[-500:]}")
            print(f"ran: {command}")
        assert not failures, "\n".join(failures)


if __name__ == "__main__":
    main()
