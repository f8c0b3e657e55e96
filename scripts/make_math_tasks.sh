#!/bin/sh
# Generates data/math/tasks.jsonl, with what scripts/make_venv.sh installs.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
"$root/scripts/make_venv.sh"
exec "${PROCTOR_DATA:-$root/data}/venv/bin/python3" "$root/scripts/make_math_tasks.py"
