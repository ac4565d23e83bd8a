# shellcheck shell=bash
# A Debian system in a folder, by debootstrap from the mirror that this machine's apt uses. Sourced by test_system.sh
# and test_image.sh.

# need_debian_root stops unless such a system can be made and entered.
need_debian_root() {
  [ "$(id -u)" = 0 ] || stop "debootstrap and chroot need root: run this as root"
  command -v debootstrap >/dev/null || stop "debootstrap is missing: apt-get install -y debootstrap"
}

# debian_root ROOT CODENAME PACKAGE... installs CODENAME with the packages, unless that was done before. Packages may be
# of CODENAME-backports ("name/trixie-backports").
debian_root() {
  local root=$1 codename=$2 mirror
  shift 2
  [ ! -e "$root/.installed" ] || return 0
  mirror=$(apt-get update --print-uris | sed -nE "s|^'(.*debian)/dists/[^/]+/InRelease'.*|\1|p" | head -n 1)
  [ -n "$mirror" ] || stop "this machine's apt names no Debian mirror"
  rm -rf "$root"
  mkdir -p "$root"
  echo "installing Debian $codename in $root"
  debootstrap --variant=minbase --include=ca-certificates,debian-archive-keyring "$codename" "$root" "$mirror" \
    >"$root.log" 2>&1 || stop "debootstrap failed, see $root.log"
  cp -r /etc/apt/apt.conf.d/. "$root/etc/apt/apt.conf.d/"
  cp /etc/resolv.conf "$root/etc/"
  printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
  echo "deb $mirror $codename-backports main" >"$root/etc/apt/sources.list.d/backports.list"
  {
    chroot "$root" apt-get update -q
    chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
  } >>"$root.log" 2>&1 || stop "the packages could not be installed, see $root.log"
  touch "$root/.installed"
}

stop() {
  printf '%s: %s\n' "$(basename "$0" .sh)" "$1" >&2
  exit 1
}
