#!/usr/bin/env bash
# Shell scripts parse and Python files compile.
set -euo pipefail
cd "${1:-.}"
status=0
while IFS= read -r file; do
  [ -f "$file" ] || continue
  case "$(head -c 64 "$file" | tr -d '\0' | head -1)" in
    '#!'*bash*) bash -n "$file" || status=1 ;;
    '#!'*/sh*) sh -n "$file" || status=1 ;;
  esac
  case "$file" in
    *.sh) bash -n "$file" || status=1 ;;
    *.py) python3 -c 'import ast,sys; ast.parse(open(sys.argv[1], encoding="utf-8").read(), sys.argv[1])' "$file" || status=1 ;;
  esac
done < <(git ls-files -co --exclude-standard | grep -v '\.\(h\|cpp\|md\|jsonl\)$')
exit $status
