#!/usr/bin/env python3
"""The image of docker/Dockerfile, built and attacked: the reduced world under Docker's default profile,
the full one with the flags that docs/docker.md gives. Takes a Docker that answers (.ci/docker sees to it),
and build/release/tests/integration_tests made on the release the image is of.

  tests/docker/test_docker.py [BASE-IMAGE]

Blind spot: what AppArmor and SELinux refuse, where the host has neither.
"""

import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/e2e"))
from support import check, check_equal, finish  # noqa: E402

IMAGE = "proctor:test"
HOME = "/usr/share/proctor"
NAMESPACES = {"user", "mount", "pid", "net", "ipc", "uts"}
REACHES_OUT = """
import os
for path in ("%s/env/suites/code/tasks.jsonl", "%s/data/math/tasks.jsonl", "/home/proctor/examples", "/proc/kcore"):
    try:
        print(len(os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(64)) and "escaped: " + path)
    except OSError:
        pass
print("done")
""" % (HOME, HOME)


def docker(*arguments, stdin=None, timeout=900):
    return subprocess.run(["docker", *arguments], cwd=ROOT, input=stdin, capture_output=True, text=True,
                          timeout=timeout, check=False)


def run(flags, *command, stdin=None, options=()):
    """The image's proctor (or another entry point among the options) as docs/docker.md starts it."""
    return docker("run", "--rm", "--interactive", "--network", "none", *flags, *options, IMAGE, *command,
                  stdin=stdin)


def build(base):
    # With the host's network: names and proxies of a build machine are often its own.
    command = ["docker", "build", "--network", "host", "-f", "docker/Dockerfile", "-t", IMAGE,
               "--build-arg", f"BASE={base}", "."]
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        sys.exit("test_docker: the image cannot be built (above)")


def documented_flags():
    with open(os.path.join(ROOT, "docs/docker.md"), encoding="utf-8") as file:
        commands = re.findall(r"^docker run (?:.*\\\n)*.*", file.read(), re.M)
    found = (re.findall(r"--(?:security-opt|cap-drop) \S+", command) for command in commands if "seccomp=" in command)
    return " ".join(next(found, [])).split()


def attack(name, flags, world):
    """The hostile guests of tests/guests, which stay inside or are a failure."""
    # As process 1 the test would have the number of every guest's own init, hence --init.
    mounts = [f"{ROOT}/build/release/tests/integration_tests:/integration_tests:ro",
              f"{ROOT}/tests/guests:{ROOT}/tests/guests:ro"]
    options = ["--init", "--env", "SANDBOX_MUST_WORK=1", "--env", f"PROCTOR_HOME={HOME}",
               "--entrypoint", "/integration_tests", *(f"--volume={mount}" for mount in mounts)]
    ran = run(flags, f"--gtest_filter=Worlds/Escapes.*/{world}", options=options)
    passed = re.search(r"\[  PASSED  \] (\d+) tests", ran.stdout)
    check(ran.returncode == 0 and passed and int(passed.group(1)) >= 10,
          f"{name}: the attack suite: {(ran.stdout + ran.stderr)[-3000:]}")
    print(f"{name}: attack suite, {passed.group(1) if passed else 0} tests passed")


def try_world(name, flags, level, world, missing):
    check(run(flags, "-u", options=["--entrypoint", "id"]).stdout.strip() not in ("", "0"), f"{name}: not root")
    ran = run(flags, "exec", "--lang", "python", "-", stdin=REACHES_OUT)
    check_equal(ran.returncode, 0, f"{name}: exec ({ran.stderr})")
    record = json.loads(ran.stdout or "{}")
    check_equal(record.get("stdout"), "done\n", f"{name}: files that are not the guest's")
    isolation = record.get("isolation", {})
    check_equal(isolation.get("level"), level, f"{name}: level")
    check_equal({layer["layer"] for layer in isolation.get("missing", [])}, missing, f"{name}: missing layers")
    check("landlock" in isolation.get("active", []), f"{name}: Landlock is active")
    print(f"{name}: {level}, active: {' '.join(isolation.get('active', []))}")

    ran = run(flags, "exec", "--lang", "cpp", "-", stdin="#include <cstdio>\nint main() { std::puts(\"hello\"); }\n")
    check_equal(json.loads(ran.stdout or "{}").get("stdout"), "hello\n", f"{name}: a C++ program")
    ran = run(flags, "run", "examples/offline/run.yaml", "--out", "runs/offline")
    check_equal(ran.returncode, 0, f"{name}: examples/offline/run.yaml ({ran.stderr[-500:]})")
    check("6/6 rollouts" in ran.stderr, f"{name}: six rollouts, got {ran.stderr[-500:]}")
    # One task of the quickstart: the embedded model, and hidden tests that g++ compiles.
    ran = run(flags, "run", "examples/quickstart.yaml", "--filter", "suite=code,id=code-cpp-gcd", "--out", "runs/one")
    check_equal(ran.returncode, 0, f"{name}: a task of examples/quickstart.yaml ({ran.stderr[-500:]})")
    attack(name, flags, world)


def main():
    if docker("info").returncode != 0:
        sys.exit("test_docker: no Docker answers here (docker info fails); .ci/docker starts one as root")
    if not os.access(os.path.join(ROOT, "build/release/tests/integration_tests"), os.X_OK):
        sys.exit("test_docker: build/release/tests/integration_tests is missing: "
                 "cmake --build --preset release --target integration_tests")
    build(sys.argv[1] if len(sys.argv) > 1 else "debian:bookworm-slim")
    size = docker("image", "inspect", "--format", "{{.Size}}", IMAGE).stdout
    print(f"the image has {int(size or 0) // 1_000_000} MB")
    flags = documented_flags()
    check("seccomp=docker/seccomp.json" in flags, f"docs/docker.md gives the flags of the full world, got {flags}")
    try_world("default profile", [], "reduced", "reduced", NAMESPACES | {"cgroup", "uid"})
    try_world("documented flags", flags, "full", "userns", {"cgroup", "uid"})
    finish()


if __name__ == "__main__":
    main()
