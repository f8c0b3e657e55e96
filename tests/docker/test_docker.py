#!/usr/bin/env python3
"""The image of docker/Dockerfile, built and attacked: the reduced world under Docker's default profile,
the full one with the flags that docs/docker.md gives. Takes a Docker that answers (.ci/docker sees to it),
and build/release/tests/integration_tests made on the release the image is of.

  tests/docker/test_docker.py [BASE-IMAGE]

Blind spots: what AppArmor and SELinux refuse, where the host has neither; the Compose files, where there is no
Docker Compose (version 2): then they are only held against the documented flags.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time

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


def run(flags, *command, stdin=None, options=(), timeout=900):
    """The image's proctor (or another entry point among the options) as docs/docker.md starts it."""
    return docker("run", "--rm", "--interactive", "--network", "none", *flags, *options, IMAGE, *command,
                  stdin=stdin, timeout=timeout)


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
    """All that tests/integration/sandbox asks of a world: the hostile guests of tests/guests, endings, sessions."""
    # As process 1 the test would have the number of every guest's own init, hence --init.
    mounts = [f"{ROOT}/build/release/tests/integration_tests:/integration_tests:ro",
              f"{ROOT}/tests/guests:{ROOT}/tests/guests:ro"]
    options = ["--init", "--env", "SANDBOX_MUST_WORK=1", "--env", f"PROCTOR_HOME={HOME}",
               "--entrypoint", "/integration_tests", *(f"--volume={mount}" for mount in mounts)]
    ran = run(flags, f"--gtest_filter=Worlds/*/{world}", options=options, timeout=1800)
    passed = re.search(r"\[  PASSED  \] (\d+) tests", ran.stdout)
    check(ran.returncode == 0 and passed and int(passed.group(1)) >= 80,
          f"{name}: the attack suite: {(ran.stdout + ran.stderr)[-3000:]}")
    print(f"{name}: attack suite, {passed.group(1) if passed else 0} tests passed")


def beside_a_neighbour(name, flags):
    """Processes of the same user number in another container, which this one does not see, take from no program's."""
    crowd = "for i in {1..400}; do sleep 900 & done; echo all; wait"
    neighbour = docker("run", "--detach", "--rm", "--init", "--network", "none", "--entrypoint", "bash", IMAGE,
                       "-c", crowd).stdout.strip()
    try:
        for _ in range(120):
            if "all" in docker("logs", neighbour).stdout:
                break
            time.sleep(0.5)
        ran = run(flags, "exec", "--lang", "bash", "-",
                  stdin="for i in {1..20}; do sleep 1 & done; wait; echo done\n")
        record = json.loads(ran.stdout or "{}")
        check_equal(record.get("stdout"), "done\n", f"{name}: beside a neighbour ({record.get('stderr')})")
    finally:
        docker("kill", neighbour)


def look_at_doctor(name, ran, missing):
    """Which layers it misses, and that it names docker run's flags for namespaces."""
    layers = {}
    for line in map(json.loads, ran.stdout.splitlines()):
        kind, _, layer = line["what"].strip().partition(" ")
        if kind == "layer":
            layers[layer] = line["remedy"]
    check_equal(set(layers), missing, f"{name}: doctor's missing layers ({ran.stderr})")
    for layer in NAMESPACES & missing:
        for flag in security_options(documented_flags()):
            if "=" in flag:
                check(f"--security-opt {flag} " in layers[layer], f"{name}: {flag} in {layer}: {layers[layer]!r}")
    check("docker run" in layers.get("cgroup", ""), f"{name}: a remedy of containers: {layers}")


def security_options(flags):
    return [value for flag, value in zip(flags, flags[1:]) if flag == "--security-opt"]


def compose(flags):
    """docker/compose*.yaml have the documented flags, and give the worlds that they say."""
    files = [os.path.join(ROOT, "docker", name) for name in ("compose.yaml", "compose.full.yaml")]
    given = []
    for path in files:
        with open(path, encoding="utf-8") as file:
            given += re.findall(r'"([^"]+)"', re.search(r"security_opt: \[(.*)\]", file.read()).group(1))
    wanted = {flag.replace("docker/", "") for flag in security_options(flags)}
    check_equal({flag.replace(":true", "") for flag in given}, wanted, "the flags of the Compose files")
    if docker("compose", "version").returncode != 0:
        print("no Docker Compose here: its files were not run")
        return
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as image:
        image.write(f"services: {{proctor: {{image: '{IMAGE}'}}}}\n")
        image.flush()
        for n, missing in ((1, NAMESPACES | {"cgroup", "uid"}), (2, {"cgroup", "uid"})):
            project = ["compose", "--project-name", "proctor-test"]
            for path in (*files[:n], image.name):
                project += ["--file", path]
            ran = docker(*project, "run", "--rm", "--no-TTY", "proctor", "doctor", "--json")
            look_at_doctor(f"compose, {n} files", ran, missing)
            docker(*project, "down", "--volumes")
        print("compose: both worlds")


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
    script = os.path.join(ROOT, "tests/docker/policy.jsonl")
    ran = run(flags, "run", "examples/quickstart.yaml", "--model", "policy=script:/policy.jsonl?tokens=bytes",
              "--limit", "2", "--out", "runs/scripted", options=[f"--volume={script}:/policy.jsonl:ro"])
    check_equal(ran.returncode, 0, f"{name}: examples/quickstart.yaml with a script ({ran.stderr[-500:]})")
    check_equal(re.findall(r"^(\w+) +2 +2 +100%", ran.stdout, re.M), ["code", "math", "qa"],
                f"{name}: suites of examples/quickstart.yaml: {ran.stdout[:1000]}")
    # One task of the quickstart: the embedded model, and hidden tests that g++ compiles.
    ran = run(flags, "run", "examples/quickstart.yaml", "--filter", "suite=code,id=code-cpp-gcd", "--out", "runs/one")
    check_equal(ran.returncode, 0, f"{name}: a task of examples/quickstart.yaml ({ran.stderr[-500:]})")
    look_at_doctor(name, run(flags, "doctor", "--json"), missing)
    beside_a_neighbour(name, flags)
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
    compose(flags)
    finish()


if __name__ == "__main__":
    main()
