#!/usr/bin/env bash
# scripts/netns.sh: the tests of scripts/netns, in network namespaces.
#
#   scripts/netns.sh check        says on stderr what this machine lacks for them, with status 1
#   scripts/netns.sh run [FLAGS]  checks, then go test with FLAGS; the namespaces are removed in any case
#
# Needs root, ip, tc, nft and conntrack (scripts/deps.sh netns), and a kernel with veth, TUN, tbf and nf_tables with NAT.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/netns"
PATH=$PATH:/usr/sbin:/sbin
prefix=ngmq-$$

main() {
  trap remove EXIT
  check
  [ "$1" = run ] || return 0
  shift
  go test -count=1 -timeout 10m "$@" -prefix "$prefix" .
}

# remove ends what a test that was cut off left behind: the names are this run's own.
remove() {
  local name
  for name in $(ip netns list 2>/dev/null | awk -v p="$prefix" 'index($1, p) == 1 { print $1 }'); do
    ip netns pids "$name" | xargs -r kill
    ip netns del "$name"
  done
}

# check tries in a namespace of its own what the tests will do.
check() {
  [ "$(id -u)" = 0 ] || stop "network namespaces need root"
  ../deps.sh netns || stop "scripts/deps.sh netns failed"
  try "namespaces (ip netns add)" ip netns add "$prefix-check"
  try "veth pairs" ip -n "$prefix-check" link add one type veth peer name two
  try "TUN devices" ip -n "$prefix-check" tuntap add name three mode tun
  try "veth pairs (up)" ip -n "$prefix-check" link set one up
  try "TCP Cubic for a route" ip -n "$prefix-check" route add 192.0.2.1 dev one congctl cubic
  try "tc tbf" ip netns exec "$prefix-check" tc qdisc add dev one root tbf rate 1mbit burst 8kb limit 100kb
  try "nftables with numgen and ECN" nft_try "add table inet t
add chain inet t c { type filter hook forward priority 0; }
add rule inet t c numgen random mod 100 < 5 counter drop
add rule inet t c ip ecn ect0 ip ecn set ce"
  try "nftables with NAT" nft_try "add table inet t
add chain inet t n { type nat hook postrouting priority srcnat; }
add rule inet t n oifname \"one\" masquerade
add rule inet t n ip protocol udp snat ip to 192.0.2.1:1000-2000"
  try "conntrack" ip netns exec "$prefix-check" conntrack -F
  ip netns del "$prefix-check"
}

nft_try() { ip netns exec "$prefix-check" nft -f - <<<"$1"; }

# try NAME COMMAND...
try() {
  local name=$1 out
  shift
  out=$("$@" 2>&1) || stop "no $name on this machine: ${out%%$'\n'*}"
}

stop() {
  printf 'netns: %s\n' "$1" >&2
  exit 1
}

main "$@"
