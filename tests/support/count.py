#!/usr/bin/env python3
"""Adds up a JUnit report of ctest: "passed N" and "failed N", with the end of every failed test's
output, and the names of those that were skipped. Called by scripts/test."""

import collections
import sys
import xml.etree.ElementTree


def main():
    report, log = sys.argv[1:3]
    cases = list(xml.etree.ElementTree.parse(report).getroot().iter("testcase"))
    if not cases:
        print(f"no test ran ({log})", file=sys.stderr)
        return 1
    count = collections.Counter()
    skipped = []
    for case in cases:
        status = case.get("status")
        if status == "run":
            count["passed"] += 1
        elif case.find("skipped") is not None or status in ("notrun", "disabled"):
            reason = (case.findtext("skipped") or case.findtext("system-out") or "").strip()
            lines = [line for line in reason.splitlines() if line.strip()]
            # A test that never started for want of its program is a failure, not a choice.
            if "Unable to find executable" in reason or "not found" in reason.lower()[:40]:
                count["failed"] += 1
                print(f"FAILED: {case.get('name')}: {reason[:200]}")
            else:
                skipped.append(case.get("name") + (f" ({lines[-1].strip()[:100]})" if lines else ""))
        else:
            count["failed"] += 1
            print(f"FAILED: {case.get('name')}  (all of it: {log})")
            output = (case.findtext("system-out") or case.findtext("failure") or "").splitlines()
            for line in output[-40:]:
                print("    " + line)
    if skipped:
        print(f"skipped {len(skipped)}: " + ", ".join(skipped[:20]) + (" ..." if len(skipped) > 20 else ""))
    print("passed", count["passed"])
    print("failed", count["failed"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
