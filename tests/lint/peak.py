#!/usr/bin/env python3
"""Runs a command and writes its peak resident memory in KiB as the last line of stderr."""

import resource
import subprocess
import sys

status = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(status)
