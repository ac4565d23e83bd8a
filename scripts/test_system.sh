#!/usr/bin/env bash
# scripts/test_system.sh: the tests of the root module against the libraries of a system. In a Debian 13 root with
# libngtcp2 from its backports (1.22: another version than the pinned one), SYSTEM_LIBS=1 builds and tests.
#
# Needs root. The system is installed once into third_party/build/debian13 by debootstrap, from the mirror that this
# machine's apt uses; the checkout is cloned into it (what is committed is what is tested), Go and its modules are
# this machine's. Mounts live in a mount namespace and end with the script.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

root=$PWD/third_party/build/debian13
codename=trixie
base=ca-certificates,make,git,gcc,libc6-dev,pkg-config,perl,xz-utils,curl,debian-archive-keyring

main() {
  [ "$(id -u)" = 0 ] || stop "debootstrap and chroot need root: run this as root"
  command -v debootstrap >/dev/null || stop "debootstrap is missing: apt-get install -y debootstrap"
  [ -e "$root/.installed" ] || make_root
  go mod download
  rm -rf "$root/src"
  git clone -q . "$root/src"
  mkdir -p "$root/usr/local/go" "$root/gomod"
  unshare --mount bash -euo pipefail -c "$(declare -f run_inside); run_inside '$root'"
}

# make_root installs Debian and the libraries.
make_root() {
  local mirror
  mirror=$(apt-get update --print-uris | sed -nE "s|^'(.*debian)/dists/[^/]+/InRelease'.*|\1|p" | head -n 1)
  [ -n "$mirror" ] || stop "this machine's apt names no Debian mirror"
  rm -rf "$root"
  mkdir -p "$root"
  debootstrap --variant=minbase --include="$base" "$codename" "$root" "$mirror" >"$root.log" 2>&1 ||
    stop "debootstrap failed, see $root.log"
  cp -r /etc/apt/apt.conf.d/. "$root/etc/apt/apt.conf.d/"
  cp /etc/resolv.conf "$root/etc/"
  printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
  echo "deb $mirror $codename-backports main" >"$root/etc/apt/sources.list.d/backports.list"
  {
    chroot "$root" apt-get update -q
    chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
      libssl-dev libngtcp2-dev/"$codename"-backports libngtcp2-crypto-ossl-dev/"$codename"-backports \
      libngtcp2-16/"$codename"-backports libngtcp2-crypto-ossl0/"$codename"-backports
  } >>"$root.log" 2>&1 || stop "the libraries could not be installed, see $root.log"
  touch "$root/.installed"
}

# run_inside ROOT runs in a mount namespace of its own.
run_inside() {
  mount --bind "$(go env GOROOT)" "$1/usr/local/go"
  mount --bind "$(go env GOMODCACHE)" "$1/gomod"
  mount --bind /dev "$1/dev"
  mount -t proc proc "$1/proc"
  chroot "$1" env -i HOME=/root PATH=/usr/local/go/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    GOMODCACHE=/gomod GOPROXY=off SYSTEM_LIBS=1 \
    bash -euo pipefail -c 'cd /src; git config --global --add safe.directory /src; make build test-root test-outside; bin/ngmqd version; ldd bin/ngmqd'
}

stop() {
  printf 'test_system: %s\n' "$1" >&2
  exit 1
}

main "$@"
