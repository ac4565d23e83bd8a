#!/usr/bin/env bash
# The recipe of the README, tried: a capture of ngmq talking to ngmqd over QUIC is decrypted by tshark with the key
# logs that the two write. As root, because capturing is; in a network namespace of its own, so that it sees and
# changes no other traffic.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

port=14567 url=quic://127.0.0.1:14567 topic=wireshark/topic message='these words were encrypted'
work=

main() {
  if [ "${1:-}" != inside ]; then
    [ "$(id -u)" = 0 ] || fail "capturing needs root: sudo make test-wireshark"
    exec unshare --net -- "$0" inside
  fi
  work=$(mktemp -d)
  trap 'end "$server" "$capture"; rm -rf "$work"' EXIT
  ip link set lo up
  # Without this the loopback interface carries runs of datagrams as one, which no analyser takes apart.
  ethtool -K lo tx-udp-segmentation off
  server='' capture=''
  serve
  record
  talk
  arrived
  end "$capture"
  capture=''
  check server.keys
  check client.keys
  echo "wireshark: tshark decrypts CONNECT and PUBLISH with the key log of either side"
}

serve() {
  bin/ngmqd --quic 127.0.0.1:$port --tcp off --data-dir "$work" --keylog-file "$work/server.keys" >/dev/null 2>"$work/server.log" &
  server=$!
  await "ready" "$work/server.log"
}

record() {
  dumpcap -q -i lo -f "udp port $port" -w "$work/capture.pcapng" 2>"$work/capture.log" &
  capture=$!
  await "File:" "$work/capture.log"
}

talk() {
  SSLKEYLOGFILE=$work/client.keys bin/ngmq pub --url $url --cafile "$work/dev-ca.crt" -i wireshark-client \
    -t $topic -m "$message" -q 1
}

# arrived waits until the capture is in the file: the kernel hands it over in blocks.
arrived() {
  for _ in $(seq 100); do
    if grep -q "$(hex "$message")" <<<"$(decrypt -o "tls.keylog_file:$work/server.keys")"; then return; fi
    sleep 0.1
  done
  fail "the message is not in the capture: $(cat "$work/capture.log")"
}

# check decrypts with one key log, and with none.
check() {
  local text
  text=$(decrypt -o "tls.keylog_file:$work/$1")
  for expected in MQTT wireshark-client $topic "$message"; do
    grep -q "$(hex "$expected")" <<<"$text" || fail "with $1 tshark does not show \"$expected\": $text"
  done
  text=$(decrypt)
  if grep -q "$(hex MQTT)" <<<"$text"; then fail "tshark needs no key log"; fi
}

# decrypt prints the data of all streams in hexadecimal digits.
decrypt() {
  tshark -r "$work/capture.pcapng" -d udp.port==$port,quic "$@" -Y quic.stream_data -T fields -e quic.stream_data 2>/dev/null
}

hex() { printf '%s' "$1" | od -An -v -tx1 | tr -d ' \n'; }

# await waits until a file has a text.
await() {
  for _ in $(seq 200); do
    if grep -qs "$1" "$2"; then return; fi
    sleep 0.05
  done
  fail "no \"$1\" in $2: $(cat "$2")"
}

# end stops processes that this script has started.
end() {
  local pid
  for pid in "$@"; do
    if [ -n "$pid" ] && kill -INT "$pid" 2>/dev/null; then wait "$pid" || true; fi
  done
}

fail() {
  printf 'wireshark: %s\n' "$1" >&2
  exit 1
}

main "$@"
