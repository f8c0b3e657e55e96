# What the scripts share. Sourced, never run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Where things are made, and read by the program: PROCTOR_DATA and PROCTOR_DEPS name other folders.
data=$(realpath -m "${PROCTOR_DATA:-$root/data}")
deps=$(realpath -m "${PROCTOR_DEPS:-$root/.deps}")

# Names of scripts/packages.txt as this system has them. A line is "NAME", "NAME|OTHER" where releases
# differ (the first one that apt knows is taken), each with "# tests" behind it where only tests need it.
packages() {  # build | tests
  local line choices name
  while IFS= read -r line; do
    case "$line" in
      '' | '#'*) continue ;;
      *'# tests'*) [ "$1" = tests ] || continue ;;
    esac
    IFS='|' read -ra choices <<<"${line%%#*}"
    for name in "${choices[@]}"; do
      name=${name//[[:space:]]/}
      if [ ${#choices[@]} -eq 1 ] || installed "$name" || known_to_apt "$name"; then
        echo "$name"
        continue 2
      fi
    done
    echo "${choices[0]//[[:space:]]/}"
  done <"$root/scripts/packages.txt"
}

installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
known_to_apt() { [ -n "$(apt-cache show "$1" 2>/dev/null | head -1)" ]; }

missing_packages() {
  local name
  packages "$1" | while read -r name; do installed "$name" || echo "$name"; done
}

# Root rights without a question: directly, or through a sudo that asks for nothing.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}
may_be_root() { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }

# Compilers at work at once: one a core, but no more than memory bears (1.5 GB each).
jobs_that_fit() {
  local cores memory
  cores=$(nproc)
  memory=$(awk '/MemAvailable/ {print int($2 / 1500000)}' /proc/meminfo)
  [ "$memory" -ge 1 ] || memory=1
  echo $((cores < memory ? cores : memory))
}

# Configures, which takes seconds and finds what was fetched since the last time, and builds:
# PRESET TARGET...
build_preset() {
  local preset=$1
  shift
  cmake --preset "$preset" -DPROCTOR_DEPS="$deps" &&
    PROCTOR_JOBS=$(jobs_that_fit) cmake --build --preset "$preset" -j "$(jobs_that_fit)" --target "$@"
}
