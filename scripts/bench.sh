#!/usr/bin/env bash
# scripts/bench.sh COUNT FILE: runs every Go benchmark COUNT times, then every scripts/bench/*/run.sh.
# FILE is what benchstat reads: benchstat old.out bench.out
set -euo pipefail
cd "$(dirname "$0")/.."

count=$1
file=$PWD/$2
: >"$file"

bench_folders() {
  grep -rlE '^func Benchmark[A-Z]' --include='*_test.go' --exclude-dir=third_party . | xargs -r -n1 dirname | sort -u
}

for folder in $(bench_folders); do
  (cd "$folder" && go test -run '^$' -bench . -benchmem -count "$count" -timeout 60m .) | tee -a "$file"
done
for program in scripts/bench/*/run.sh; do
  echo "# $program" | tee -a "$file"
  "$program" | tee -a "$file"
done
echo "bench: kept in $file"
