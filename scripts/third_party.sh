#!/usr/bin/env bash
# Native libraries (OpenSSL and ngtcp2) for ngmq's cgo packages.
#
#   scripts/third_party.sh [build]   make them available, building the pinned copy if needed
#   scripts/third_party.sh way       print the way that would be taken, and why
#   scripts/third_party.sh fetch     only obtain and check the pinned sources
#   scripts/third_party.sh licenses DIR   copy their licences from the sources to DIR/openssl and DIR/ngtcp2
#   scripts/third_party.sh env       print shell exports for a plain `go build`
#
# Environment:
#   SYSTEM_LIBS        1: insist on the system's libraries; 0: insist on the pinned copy;
#                      unset: the system's when new enough, else the pinned copy
#   THIRD_PARTY_CACHE  a folder of release tarballs to look in first
#   OPENSSL_VERSION    build this version of third_party/pins.other instead of the pinned one; the same with
#   NGTCP2_VERSION     (they mean the pinned copy: SYSTEM_LIBS=1 does not go with them)
#   CC                 the C compiler (gcc)
#
# The pipeline: choose_way (system.sh) -> obtain_source (fetch.sh, debian.sh) -> build_pinned (build.sh)
# -> publish (stamp.sh): third_party/build/env.sh and a stamp header in every cgo package.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
THIRD_PARTY=$ROOT/third_party
BUILD=$THIRD_PARTY/build
PINS=$THIRD_PARTY/pins # choose_pins may take another file
OTHER_PINS=$THIRD_PARTY/pins.other
NATIVE=$BUILD/native # a symlink to native-<key>, swapped in one step
LOGS=$BUILD/log

# shellcheck source=scripts/third_party/common.sh
. "$ROOT/scripts/third_party/common.sh"
# shellcheck source=scripts/third_party/system.sh
. "$ROOT/scripts/third_party/system.sh"
# shellcheck source=scripts/third_party/fetch.sh
. "$ROOT/scripts/third_party/fetch.sh"
# shellcheck source=scripts/third_party/debian.sh
. "$ROOT/scripts/third_party/debian.sh"
# shellcheck source=scripts/third_party/build.sh
. "$ROOT/scripts/third_party/build.sh"
# shellcheck source=scripts/third_party/stamp.sh
. "$ROOT/scripts/third_party/stamp.sh"

main() {
  choose_pins
  case "${1:-build}" in
    build) make_available ;;
    way) choose_way && say "$WAY_TEXT" ;;
    fetch) prepare_build_dir && obtain_sources ;;
    licenses) prepare_build_dir && copy_license openssl "$2" && copy_license ngtcp2 "$2" ;;
    env) make_available && cat "$BUILD/env.sh" ;;
    *) fail_usage "$1" ;;
  esac
}

make_available() {
  choose_way
  say "$WAY_TEXT"
  prepare_build_dir
  exec 9>"$BUILD/lock"
  flock 9 # one build at a time in one checkout
  if [ "$WAY" = pinned ]; then
    build_pinned
  fi
  publish
}

main "$@"
