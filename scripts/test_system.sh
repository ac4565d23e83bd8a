#!/usr/bin/env bash
# scripts/test_system.sh: the tests of the root module and of scripts/outside against the libraries of a system. In a
# Debian 13 root with libngtcp2 from its backports (1.22: another version than the pinned one), SYSTEM_LIBS=1 builds
# and tests.
#
# Needs root. The system is installed once into third_party/build/debian13; the checkout is cloned into it (what is
# committed is what is tested), Go and its modules are this machine's. Mounts live in a mount namespace and end with
# the script.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/debian_root.sh
. scripts/debian_root.sh

root=$PWD/third_party/build/debian13
packages=(make git gcc libc6-dev pkg-config perl xz-utils curl
  libssl-dev {libngtcp2-dev,libngtcp2-crypto-ossl-dev,libngtcp2-16,libngtcp2-crypto-ossl0}/trixie-backports)

main() {
  need_debian_root
  debian_root "$root" trixie "${packages[@]}"
  go mod download
  rm -rf "$root/src"
  git clone -q . "$root/src"
  mkdir -p "$root/usr/local/go" "$root/gomod"
  unshare --mount bash -euo pipefail -c "$(declare -f run_inside); run_inside '$root'"
}

# run_inside ROOT runs in a mount namespace of its own.
run_inside() {
  mount --bind "$(go env GOROOT)" "$1/usr/local/go"
  mount --bind "$(go env GOMODCACHE)" "$1/gomod"
  mount --rbind /dev "$1/dev" # with devpts: tests use terminals
  mount -t proc proc "$1/proc"
  chroot "$1" env -i HOME=/root PATH=/usr/local/go/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    GOMODCACHE=/gomod GOPROXY=off SYSTEM_LIBS=1 \
    bash -euo pipefail -c 'cd /src; git config --global --add safe.directory /src; make build test-root test-outside; bin/ngmqd version; ldd bin/ngmqd'
}

main "$@"
