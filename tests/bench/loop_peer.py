#!/usr/bin/env python3
"""`proctor bench loop` beside a hand-written asyncio loop (aiohttp on uvloop), in the same minutes: the
ratio counts, not the numbers.

    python3 tests/bench/loop_peer.py build/release/proctor build/release/tests/bench/mock_model_server

Needs aiohttp and uvloop: pip install aiohttp==3.11.18 uvloop==0.21.0. The peer asks the same server, runs
the same tool, and appends each turn as a line to a file. Blind spot: it does far less than proctor (no
supervisor, no token ids, no store that survives a crash, no resume), so it is the least a Python loop costs.
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

TOOL = {"type": "function",
        "function": {"name": "echo", "description": "gives the text back",
                     "parameters": {"type": "object", "properties": {"text": {"type": "string"}},
                                    "required": ["text"]}}}


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def rollout(session, url, turns, journal):
    messages = [{"role": "user", "content": "What is six times seven? Use the tool."}]
    for turn in range(turns):
        body = {"model": "mock", "messages": messages, "tools": [TOOL], "max_tokens": 512,
                "temperature": 1.0, "logprobs": True}
        async with session.post(url + "/chat/completions", json=body) as reply:
            said = (await reply.json())["choices"][0]["message"]
        messages.append(said)
        for call in said.get("tool_calls") or []:
            text = json.loads(call["function"]["arguments"])["text"]
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": text})
        journal.write(json.dumps({"turn": turn, "messages": messages[-2:]}) + "\n")
        if not said.get("tool_calls"):
            return turn + 1
    return turns


async def play(url, rollouts, in_flight, turns, folder):
    import aiohttp
    places = asyncio.Semaphore(in_flight)
    done = 0
    with open(os.path.join(folder, "journal.jsonl"), "w", buffering=1) as journal:
        connector = aiohttp.TCPConnector(limit=in_flight)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def one():
                nonlocal done
                async with places:
                    played = await rollout(session, url, turns, journal)
                done += played

            await asyncio.gather(*[one() for _ in range(rollouts)])
    return done


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("proctor")
    parser.add_argument("server")
    parser.add_argument("--rollouts", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    try:
        import aiohttp  # noqa: F401
        import uvloop
    except ImportError as error:
        print("loop_peer: %s; pip install aiohttp==3.11.18 uvloop==0.21.0" % error, file=sys.stderr)
        return 3
    turns = 4
    server = subprocess.Popen([options.server, "--tool", "echo", "--arguments", '{"text":"42"}',
                               "--tool-turns", str(turns - 1)], stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.DEVNULL)
    try:
        url = "http://" + server.stdout.readline().split()[-1] + "/v1"
        for in_flight in (64, 512):
            for _ in range(options.rounds):
                ran = subprocess.run([options.proctor, "bench", "loop", "--rollouts", str(options.rollouts),
                                      "--in-flight", str(in_flight), "--turns", str(turns)],
                                     stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
                ours = json.loads(ran.stdout)["cpu_ms_per_turn"]
                with tempfile.TemporaryDirectory() as folder:
                    cpu, wall = cpu_seconds(), time.time()
                    done = uvloop.run(play(url, options.rollouts, in_flight, turns, folder))
                    cpu, wall = cpu_seconds() - cpu, time.time() - wall
                theirs = 1e3 * cpu / done
                print(json.dumps({"in_flight": in_flight, "proctor_cpu_ms_per_turn": round(ours, 3),
                                  "peer_cpu_ms_per_turn": round(theirs, 3),
                                  "ratio": round(ours / theirs, 2), "peer_turns": done}), flush=True)
    finally:
        server.terminate()
        server.wait(10)
    return 0


if __name__ == "__main__":
    sys.exit(main())
