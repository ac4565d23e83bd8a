#!/usr/bin/env bash
# scripts/bench.sh COUNT FILE: runs every Go benchmark COUNT times, then scripts/bench/run: ngmqd under load beside the
# bare C stack.
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
echo "# scripts/bench/run" | tee -a "$file"
scripts/bench/run | tee -a "$file"
echo "bench: kept in $file"
