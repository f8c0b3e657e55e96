#!/usr/bin/env bash
# Layout is clang-format's decision. Names the files that differ; `scripts/format` rewrites them.
set -euo pipefail
cd "${1:-.}"
mapfile -t files < <(git ls-files -co --exclude-standard '*.h' '*.cpp' | sort)
status=0
for file in "${files[@]}"; do
  [ -f "$file" ] || continue
  clang-format-19 --dry-run -Werror "$file" >/dev/null 2>&1 || { echo "$file: not as clang-format has it"; status=1; }
done
exit $status
