#!/usr/bin/env bash
# Makes the Python environment of the sandbox (data/venv) and the generator of math tasks
# (.deps/reasoning-gym), pinned by scripts/requirements*.txt. Does nothing when they are as pinned.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
python=${PYTHON:-/usr/bin/python3}  # the system's: the sandbox sees /usr, not a home directory

[ -x "$python" ] || python=python3

# make WHAT REQUIREMENTS COMMAND...: runs the command unless WHAT was made from these requirements.
make() {
  local what=$1 requirements=$2
  local stamp=$what/.made-from
  shift 2
  if cmp -s "$requirements" "$stamp"; then return; fi
  echo "making $what" >&2
  rm -rf "$what"
  mkdir -p "$(dirname "$what")"
  "$@"
  cp "$requirements" "$stamp"
}

make_environment() {
  "$python" -m venv "$data/venv"
  "$data/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps \
    -r "$root/scripts/requirements.txt"
}

make_generator() {
  "$data/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps \
    --target "$deps/reasoning-gym" -r "$root/scripts/requirements-tasks.txt"
}

make "$data/venv" "$root/scripts/requirements.txt" make_environment
make "$deps/reasoning-gym" "$root/scripts/requirements-tasks.txt" make_generator
