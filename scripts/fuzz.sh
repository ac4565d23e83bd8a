#!/usr/bin/env bash
# scripts/fuzz.sh [TIME]: runs every fuzz target of every module, as many at once as there are cores. Each gets TIME
# (30s, 2m); without it they share the cores for 10 minutes in all.
set -euo pipefail
cd "$(dirname "$0")/.."

minutes=10
jobs=$(nproc)

main() {
  local list count each
  if [ "${1:-}" = --one ]; then
    fuzz_one "${@:2}"
    return
  fi
  list=$(fuzz_targets)
  [ -n "$list" ] || { echo "fuzz: no fuzz target found" >&2; return 1; }
  count=$(wc -l <<<"$list")
  each=${1:-$((minutes * 60 * jobs / count))s}
  echo "fuzz: $count targets, $each each, $jobs at a time"
  # Status 255 makes xargs start no further target.
  xargs -P "$jobs" -L 1 scripts/fuzz.sh --one "$each" <<<"$list" ||
    { echo "fuzz: a target failed, see above" >&2; return 1; }
  echo "fuzz: $count targets, nothing found"
}

# fuzz_targets prints a line "folder target" each. Listing them compiles all test binaries, before the clock runs.
fuzz_targets() {
  local folder
  grep -rlE '^func Fuzz[A-Z]' --include='*_test.go' --exclude-dir=third_party . | xargs -r -n1 dirname | sort -u |
    while read -r folder; do
      (cd "$folder" && go test -list '^Fuzz' .) | sed -n "s|^Fuzz.*|$folder &|p"
    done
}

# fuzz_one TIME FOLDER TARGET shows what go test said once it is done, in one piece.
# Minimising an input that is merely interesting would use up most of a short run.
fuzz_one() {
  local said
  if said=$(cd "$2" && go test -run '^$' -fuzz "^$3\$" -fuzztime "$1" -fuzzminimizetime 1x -parallel 1 . 2>&1); then
    printf '== %s %s\n%s\n' "$2" "$3" "$(tail -n 3 <<<"$said")"
    return
  fi
  if only_time_is_up "$3" "$said"; then
    printf '== %s %s\n%s\n' "$2" "$3" "$(grep '^fuzz: elapsed' <<<"$said" | tail -n 1)"
    return
  fi
  printf '== %s %s FAILED\n%s\n' "$2" "$3" "$said"
  return 255
}

# only_time_is_up TARGET SAID: before Go 1.27 the end of -fuzztime is at times reported as this failure
# (go.dev/issue/75804). A finding names its line and writes the input.
only_time_is_up() {
  [ "$(grep -A 1 '^--- FAIL' <<<"$2")" = "$(grep "^--- FAIL: $1 (" <<<"$2")"$'\n    context deadline exceeded' ] &&
    ! grep -q 'Failing input written' <<<"$2"
}

main "$@"
