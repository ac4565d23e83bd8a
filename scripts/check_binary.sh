#!/usr/bin/env bash
# scripts/check_binary.sh FILE: when the pinned libraries are used, the program must not load others at run time
# (a system OpenSSL 3.0 beside ours would clash).
set -euo pipefail
cd "$(dirname "$0")/.."

if grep -q /native/lib third_party/build/env.sh && loaded=$(ldd "$1" | grep -E 'lib(ssl|crypto|ngtcp2)'); then
  echo "$1 loads native libraries dynamically, though static ones are built in third_party/build:" >&2
  echo "$loaded" >&2
  exit 1
fi
