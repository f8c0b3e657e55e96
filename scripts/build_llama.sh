#!/usr/bin/env bash
# Builds the llama.cpp beside PREFIX once, as static libraries without sanitizers, for all presets to
# link.
#   scripts/build_llama.sh PREFIX [CMAKE-OPTION...]      e.g. .deps/llama-cpu -DGGML_NATIVE=ON
# Does nothing when PREFIX was built from the same source with the same options. The build calls it;
# it may also be called ahead of the build. PROCTOR_JOBS bounds the compilers at work.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
prefix=$(mkdir -p "$1" && cd "$1" && pwd)
shift
source_directory="$(dirname "$prefix")/llama.cpp"
recipe=1  # one more when the options below change, so that old builds are made anew
stamp="$(cat "$source_directory/FETCHED") recipe $recipe $*"

exec 9>"$prefix/.lock"
flock 9
if [ -e "$prefix/lib/libllama.a" ] && [ "$(cat "$prefix/STAMP" 2>/dev/null)" = "$stamp" ]; then
  # Older than this script they would count as out of date, and everything be linked anew each time.
  [ "$prefix/lib/libllama.a" -nt "$0" ] || touch "$prefix"/lib/*.a
  exit 0
fi

launcher=()
if command -v ccache >/dev/null; then
  export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1
  launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
fi
# An own pool of threads (GGML_OPENMP=OFF) sleeps when idle; OpenMP's would spin beside the sandboxes.
cmake -S "$source_directory" -B "$prefix/build" -G Ninja --log-level=WARNING \
  -DCMAKE_BUILD_TYPE=Release -DCMAKE_POSITION_INDEPENDENT_CODE=ON -DBUILD_SHARED_LIBS=OFF \
  -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_INSTALL_LIBDIR=lib \
  -DGGML_OPENMP=OFF -DGGML_CCACHE=OFF -DLLAMA_ALL_WARNINGS=OFF -DLLAMA_BUILD_COMMIT=vendored \
  -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_TOOLS=OFF \
  -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_OPENSSL=OFF \
  "${launcher[@]}" "$@"
cmake --build "$prefix/build" -j "${PROCTOR_JOBS:-$(nproc)}"
cmake --install "$prefix/build" >/dev/null
rm -rf "$prefix/build"
echo "$stamp" >"$prefix/STAMP"
