#!/usr/bin/env bash
# Layout is clang-format's decision. Names the files that differ; `scripts/format` rewrites them.
set -euo pipefail
cd "${1:-.}"
said=$(mktemp)
trap 'rm -f "$said"' EXIT
# A difference is a warning, so that a status other than 0 says that clang-format did not work.
git ls-files -co --exclude-standard '*.h' '*.cpp' | while read -r file; do
  [ ! -f "$file" ] || echo "$file"
done | xargs -r -P "$(nproc)" -n 16 clang-format-19 --dry-run 2>"$said" ||
  { echo "clang-format-19 does not work here:"; head "$said"; exit 1; }
differing=$(sed -n 's/^\([^:]*\):[0-9].*clang-format.*/\1/p' "$said" | sort -u)
[ -z "$differing" ] || { sed 's/$/: not as clang-format has it (scripts\/format)/' <<<"$differing"; exit 1; }
