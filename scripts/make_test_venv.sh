#!/usr/bin/env bash
# Makes the environment with the llama-server that tests talk to (.deps/llama-server), pinned by
# scripts/requirements-tests.txt. Does nothing when it is as pinned.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
what=$deps/llama-server
requirements=$root/scripts/requirements-tests.txt

if cmp -s "$requirements" "$what/.made-from"; then exit; fi
echo "making $what" >&2
rm -rf "$what"
python3 -m venv "$what"
"$what/bin/pip" install --quiet --disable-pip-version-check --no-deps --require-hashes \
  -r "$requirements"
cp "$requirements" "$what/.made-from"
