#!/usr/bin/env bash
# What the machine needs besides Go and git.
#
#   scripts/deps.sh [GROUP...]   install what is missing of the groups (build, test, check, npm, wireshark, netns; the first three by default)
#
# As root, through apt and by package name. Without root it prints the exact command and stops with status 1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# group  Debian package  probe: succeeds when the package is not needed any more
needs() {
  cat <<'EOT'
build gcc                    command -v gcc
build libc6-dev              echo '#include <stdio.h>' | gcc -E -
build make                   command -v make
build perl                   perl -MFindBin -MIPC::Cmd -MFile::Compare -MText::ParseWords -e 1
build pkg-config             command -v pkg-config
build xz-utils               command -v xz
build ca-certificates        test -s /etc/ssl/certs/ca-certificates.crt
build curl                   command -v curl || command -v wget
build debian-archive-keyring test -r /usr/share/keyrings/debian-archive-keyring.gpg
test  mosquitto              command -v mosquitto || test -x /usr/sbin/mosquitto
test  mosquitto-clients      command -v mosquitto_pub && command -v mosquitto_sub && command -v mosquitto_rr
test  curl                   curl --version | grep -w mqtt
test  paho.mqtt.c-examples   command -v paho_c_pub && command -v paho_c_sub
test  microsocks             command -v microsocks
test  python3-paho-mqtt      /usr/bin/python3 -c 'import paho.mqtt.client'
npm   npm                    command -v npm
wireshark tshark             command -v tshark && command -v dumpcap
wireshark ethtool            command -v ethtool
wireshark iproute2           command -v ip
check shellcheck             command -v shellcheck
netns iproute2               PATH=$PATH:/usr/sbin:/sbin; command -v ip && command -v tc
netns nftables               PATH=$PATH:/usr/sbin:/sbin; command -v nft
netns conntrack              PATH=$PATH:/usr/sbin:/sbin; command -v conntrack
EOT
}

main() {
  local groups=" ${*:-build test check} "
  check_go
  local group package probe missing=()
  while read -r group package probe; do
    [[ $groups == *" $group "* ]] || continue
    eval "$probe" >/dev/null 2>&1 || missing+=("$package")
  done < <(needs)
  [ ${#missing[@]} -eq 0 ] || install "${missing[@]}"
  check_go_version # last, because a Go that fetches a newer one by itself needs ca-certificates
}

check_go() {
  command -v go >/dev/null && return
  stop "Go is missing: install Go 1.26 or newer from https://go.dev/dl and put its bin folder on PATH"
}

# check_go_version says before the native libraries are built what the go command would say after.
check_go_version() {
  local need have
  need=$(sed -n 's/^go //p' go.mod)
  have=$(go env GOVERSION) || stop "Go $need or newer is needed; what go says stands above"
  have=${have#go}
  [ "$(printf '%s\n%s\n' "$need" "$have" | sort -V | head -n 1)" = "$need" ] ||
    stop "Go $need or newer is needed, this is $have ($(command -v go)): install it from https://go.dev/dl and put its bin folder first on PATH"
}

install() {
  local command="apt-get update && apt-get install -y --no-install-recommends $*"
  command -v apt-get >/dev/null || stop "missing: $* (Debian package names); install them with your system's package manager"
  if [ "$(id -u)" != 0 ]; then
    stop "missing: $*. Run this as root, then make again:
  $command"
  fi
  printf 'deps: %s\n' "$command" >&2
  apt-get -o Acquire::Retries=3 update -q >&2 || printf 'deps: apt-get update failed in part; going on with the lists there are\n' >&2
  hold_services
  DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=3 install -q -y --no-install-recommends "$@" >&2 ||
    stop "apt-get could not install $*; run it by hand to see why: $command"
  # The tests start mosquitto themselves; as a service it would take the port that ngmqd listens on.
  if [[ " $* " == *" mosquitto "* ]] && command -v systemctl >/dev/null; then
    systemctl disable --quiet mosquitto || true
  fi
}

# hold_services keeps packages from starting services while they are installed, in Debian's own way.
hold_services() {
  local policy=/usr/sbin/policy-rc.d
  [ ! -e "$policy" ] || return 0
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  # shellcheck disable=SC2064 # the path is known here
  trap "rm -f $policy" EXIT
}

stop() {
  printf 'deps: %s\n' "$1" >&2
  exit 1
}

main "$@"
