#!/usr/bin/env bash
# scripts/test_versions.sh [OPENSSL/NGTCP2...]: the tests of the root module and of scripts/outside with other versions
# of the native libraries (third_party/pins.other), a table at the end.
#
# The checkout is cloned (what is committed is what is tested) into third_party/build/versions, where libraries and
# tarballs stay for the next run, so that nothing changes for the other targets. A pair that fails does not stop the others.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

pairs=("$@")
work=$PWD/third_party/build/versions
table=()

main() {
  local pair began failed=0 result
  [ $# -gt 0 ] || pairs=(3.6.3/1.24.0 4.0.2/1.24.0)
  fresh_clone
  for pair in "${pairs[@]}"; do
    printf '\n== OpenSSL %s, ngtcp2 %s\n' "${pair%/*}" "${pair#*/}"
    began=$SECONDS result=passed
    test_pair "${pair%/*}" "${pair#*/}" || result=FAILED failed=1
    table+=("OpenSSL ${pair%/*}, ngtcp2 ${pair#*/}: $result ($((SECONDS - began)) s)")
  done
  printf '\n'
  printf 'test_versions: %s\n' "${table[@]}"
  return "$failed"
}

fresh_clone() {
  mkdir -p "$work/build" "$work/cache"
  rm -rf "$work/src"
  git clone -q . "$work/src"
  ln -s "$work/build" "$work/src/third_party/build"
  ln -s "$work/cache" "$work/src/third_party/cache"
}

# test_pair OPENSSL NGTCP2. What the program says of its libraries must be what was asked for.
test_pair() (
  cd "$work/src" || return
  export OPENSSL_VERSION=$1 NGTCP2_VERSION=$2
  make build && said=$(bin/ngmqd version) && echo "$said" &&
    grep -qx "ngtcp2 $2" <<<"$said" && grep -q "^OpenSSL $1 " <<<"$said" &&
    make test-root test-outside
)

main "$@"
