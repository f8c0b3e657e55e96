#!/usr/bin/env bash
# Generates data/math/tasks.jsonl, with what scripts/make_venv.sh installs. Does nothing when generator
# and pins are those it was made from.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
"$root/scripts/make_venv.sh"
made_from() { cat "$root/scripts/make_math_tasks.py" "$root/scripts/requirements-tasks.txt"; }
if [ -e "$data/math/tasks.jsonl" ] && made_from | cmp -s - "$data/math/.made-from"; then exit; fi
echo "making $data/math" >&2
PROCTOR_DATA=$data PROCTOR_DEPS=$deps "$data/venv/bin/python3" "$root/scripts/make_math_tasks.py"
made_from >"$data/math/.made-from"
