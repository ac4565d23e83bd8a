#!/usr/bin/env bash
# scripts/fuzz.sh TIME: runs every fuzz target of every module for TIME each.
set -euo pipefail
cd "$(dirname "$0")/.."

fuzztime=$1
count=0

# A package folder per line, of those whose tests name a fuzz target.
fuzz_folders() {
  grep -rlE '^func Fuzz[A-Z]' --include='*_test.go' --exclude-dir=third_party . | xargs -r -n1 dirname | sort -u
}

for folder in $(fuzz_folders); do
  targets=$(cd "$folder" && go test -list '^Fuzz' . | grep '^Fuzz') || continue
  # Minimising an input that is merely interesting would use up most of a short run.
  for target in $targets; do
    echo "== $folder $target ($fuzztime)"
    (cd "$folder" && go test -run '^$' -fuzz "^$target\$" -fuzztime "$fuzztime" -fuzzminimizetime 1x .)
    count=$((count + 1))
  done
done

if [ "$count" = 0 ]; then
  echo "fuzz: no fuzz target found" >&2
  exit 1
fi
echo "fuzz: $count targets, nothing found"
