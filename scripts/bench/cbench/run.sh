#!/usr/bin/env bash
# scripts/bench/cbench/run.sh [OPTIONS]: builds cbench against the ngtcp2 and OpenSSL that
# pkg-config finds (PKG_CONFIG_PATH) into bin/cbench and runs it with OPTIONS; --help lists them.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bin=$here/../../../bin
libs=(libngtcp2_crypto_ossl libngtcp2 libssl libcrypto)

for lib in "${libs[@]}"; do
  if ! pkg-config --exists "$lib"; then
    echo "cbench: pkg-config does not find $lib: run make deps, and set PKG_CONFIG_PATH as the Makefile does" >&2
    exit 1
  fi
done
mkdir -p "$bin"
# shellcheck disable=SC2046,SC2086 # flags are words
"${CC:-cc}" -std=gnu11 -O2 -Wall -Wextra ${CFLAGS:-} -o "$bin/cbench" "$here"/*.c \
  $(pkg-config --cflags --libs "${libs[@]}") -ldl -lpthread
exec "$bin/cbench" "$@"
