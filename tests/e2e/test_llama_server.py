#!/usr/bin/env python3
"""Rollouts on a real llama-server: exact ids in a text format, the server's own tool calls, streamed or not.

Needs .deps/llama-server (scripts/setup --tests) and the embedded model's weights; without them it is
skipped, or with PROCTOR_MODEL_MUST_WORK=1 failed.
"""

import json
import os
import subprocess

from support import Scratch, check, check_equal, finish, proctor, skip

HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PYTHON = os.path.join(os.environ.get("PROCTOR_DEPS", os.path.join(HOME, ".deps")),
                      "llama-server/bin/python")
WEIGHTS = os.path.join(os.environ.get("PROCTOR_DATA", os.path.join(HOME, "data")),
                       "models/smollm2.gguf")
SERVER = """
import sys, xllamacpp
settings = xllamacpp.CommonParams()
settings.model.path = sys.argv[1]
settings.n_parallel, settings.n_ctx = 2, 8192
settings.hostnames, settings.port = ["127.0.0.1"], 0
settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(settings)
print(server.listening_address, flush=True)
sys.stdin.read()  # until the test ends
"""
TASKS = [
    {"id": "sum", "prompt": "Calculate 17 * 23 - 5.", "gold": {"answers": ["386"]}},
    {"id": "legs", "prompt": "How many legs do 3 ducks have?", "gold": {"answers": ["6"]}},
]


def play(scratch, address, name, text_format, stream):
    config = {
        "tasks": scratch.write(name + "-tasks.jsonl", TASKS),
        "models": {"policy": {"uri": f"openai:{address}/v1", "stream": stream}},
        "format": text_format,
        "tools": ["python"],
        "sampling": {"temperature": 0.7, "max_tokens": 60},
        "limits": {"turns": 3, "tokens": 240},
        "concurrency": 2,
    }
    out = scratch(name)
    ran = proctor("run", scratch.write(name + ".yaml", json.dumps(config)), "--out", out, timeout=400)
    check_equal(ran.returncode, 0, f"{name}: exit code ({ran.stderr[-300:]})")
    linted = proctor("lint", out)
    check_equal(linted.returncode, 0, f"{name}: lint ({linted.stdout[-300:]}{linted.stderr[-300:]})")
    records = proctor("export", out, "--format", "proctor", "--out", "-")
    return [json.loads(line) for line in records.stdout.splitlines()]


def check_exact(name, record):
    """Every turn continues what was seen before, and each sampled id has its log-probability."""
    check(record.get("tokens"), f"{name} {record['id']}: one flat sequence")
    before = 0
    for turn in record["turns"]:
        tokens = turn["assistant"]["tokens"]
        where = f"{name} {record['id']} turn {turn['index']}"
        check_equal(tokens.get("prompt_from", 0), before, f"{where}: what it continues")
        check_equal(len(tokens["logprobs"]), len(tokens["ids"]), f"{where}: log-probabilities")
        before += len(tokens["prompt_ids"]) + len(tokens["ids"])


def main():
    if not os.path.exists(PYTHON) or not os.path.exists(WEIGHTS):
        skip("no llama-server here; scripts/setup --tests installs it", "PROCTOR_MODEL_MUST_WORK")
    server = subprocess.Popen([PYTHON, "-c", SERVER, WEIGHTS], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        address = server.stdout.readline().strip()
        with Scratch() as scratch:
            for stream in (False, True):
                for text_format in ("hermes", "tags"):
                    name = f"{text_format}-{str(stream).lower()}"
                    for record in play(scratch, address, name, text_format, stream):
                        check_exact(name, record)
                name = f"openai-{str(stream).lower()}"
                for record in play(scratch, address, name, "openai", stream):
                    check(record["outcome"]["status"] != "error",
                          f"{name}: {record['outcome'].get('error')}")
    finally:
        server.kill()
        server.wait()
    finish()


main()
