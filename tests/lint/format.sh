#!/usr/bin/env bash
# Layout is clang-format's decision. Names the files that differ; `scripts/format` rewrites them.
set -euo pipefail
cd "${1:-.}"
differing=$(git ls-files -co --exclude-standard '*.h' '*.cpp' | while read -r file; do
  [ ! -f "$file" ] || echo "$file"
done | xargs -P "$(nproc)" -n 16 clang-format-19 --dry-run -Werror 2>&1 |
  sed -n 's/^\([^:]*\):[0-9].*clang-format.*/\1/p' | sort -u || true)
[ -z "$differing" ] || { sed 's/$/: not as clang-format has it (scripts\/format)/' <<<"$differing"; exit 1; }
