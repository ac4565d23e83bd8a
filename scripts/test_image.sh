#!/usr/bin/env bash
# scripts/test_image.sh: builds the image of the Dockerfile and tests what users of it rely on.
#
# With a container engine (docker) the engine builds and runs it. Where none runs, scripts/image carries out the same
# Dockerfile in chroot (as root): a Debian root by debootstrap with this machine's Go stands for the golang image, and
# the container has a network namespace of its own. Both read the files of the checkout as they are.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/debian_root.sh
. scripts/debian_root.sh

max_size=$((64 << 20)) # bytes; two programs with OpenSSL inside, the C library, certificates
patience=20            # seconds for anything that is waited for
name=ngmq-test-$$
version=${2:-$(git describe --tags --always --dirty 2>/dev/null || echo dev)} # kept from build to check
work=$PWD/third_party/build/image
base=$work/golang
# What the golang image has; the Dockerfile's build stage installs the rest by itself.
base_packages=(git gcc g++ libc6-dev make pkg-config curl wget)

main() {
  if docker info >/dev/null 2>&1; then
    engine=docker
    echo "test_image: with docker"
    trap 'docker rm -f "$name" >/dev/null 2>&1 || true' EXIT
    build_docker
    check_image
    return
  fi
  engine=chroot
  echo "test_image: no container engine answers here, so the Dockerfile is carried out in chroot"
  need_debian_root
  command -v ip >/dev/null || stop "ip is missing: apt-get install -y iproute2"
  mkdir -p "$work"
  debian_root "$base" trixie "${base_packages[@]}"
  (cd scripts/image && go build -o "$work/image" .)
  unshare --mount "$0" --build "$version"
  unshare --mount --net "$0" --check "$version"
}

##### an engine, or chroot in its place

build_docker() { docker build --build-arg VERSION="$version" -t "$name" .; }

build_chroot() {
  local goroot gomod
  goroot=$(go env GOROOT) gomod=$(go env GOMODCACHE)
  go mod download
  echo "test_image: $(go version) of this machine stands for that of the golang image"
  "$work/image" build -work "$work" -base "golang=$base" -bind "$goroot:/usr/local/go" -bind "$gomod:/go/pkg/mod" \
    -arg VERSION="$version" .
}

# in_container COMMAND..., or the HEALTHCHECK without a command.
in_container() {
  case "$engine" in
    docker) if [ $# -gt 0 ]; then docker exec "$name" "$@"; else docker exec "$name" /usr/bin/ngmqd health; fi ;;
    chroot) "$work/image" exec -work "$work" "$@" ;;
  esac
}

# start runs the image's own command, with everybody allowed.
start() {
  case "$engine" in
    docker)
      docker run -d --read-only --name "$name" -e NGMQ_ALLOW_ANONYMOUS=1 -p 127.0.0.1::14567/udp "$name" >/dev/null
      port=$(docker port "$name" 14567/udp | sed 's/.*://')
      ;;
    chroot)
      "$work/image" run -work "$work" -env NGMQ_ALLOW_ANONYMOUS=1 >"$work/log" 2>&1 &
      container=$! port=14567
      ;;
  esac
}

# uid prints that of the server's process.
uid() {
  case "$engine" in
    docker) docker inspect -f '{{.State.Pid}}' "$name" ;;
    chroot) pgrep -P "$container" ;;
  esac | xargs -I{} sed -nE 's/^Uid:[[:space:]]+([0-9]+).*/\1/p' /proc/{}/status
}

# stop_container ends it as an engine does and gives its status.
stop_container() {
  case "$engine" in
    docker) docker stop -t 10 "$name" >/dev/null && return "$(docker inspect -f '{{.State.ExitCode}}' "$name")" ;;
    chroot) kill -TERM "$container" && wait "$container" ;;
  esac
}

copy_ca() {
  case "$engine" in
    docker) docker cp -q "$name:/data/dev-ca.crt" "$1" ;;
    chroot) cp "$work/container.volumes/data/dev-ca.crt" "$1" ;;
  esac
}

log() { if [ "$engine" = docker ]; then docker logs "$name"; else cat "$work/log"; fi 2>/dev/null; }

size() {
  case "$engine" in
    docker) docker image inspect -f '{{.Size}}' "$name" ;;
    chroot) sed -nE 's/.*"Size": ([0-9]+).*/\1/p' "$work/image.json" ;;
  esac
}

# run_bare runs the image without any setting.
run_bare() {
  if [ "$engine" = docker ]; then docker run --rm "$name" "$@"; else "$work/image" run -work "$work" "$@"; fi
}

##### what must hold

check_image() {
  local bytes
  bytes=$(size)
  [ "$bytes" -le "$max_size" ] || broken "the image has $bytes bytes, at most $max_size"
  passed "the image has $((bytes >> 20)) MiB"
  check_refusal
  [[ $(run_bare version) == "ngmqd $version"* ]] || broken "it is not version $version"
  start
  wait_until in_container || broken "it does not become healthy"
  passed "the health check succeeds"
  [ "$(uid)" = 10001 ] || broken "it runs as user $(uid)"
  passed "it runs as user 10001 with a read-only root"
  check_message
  began=$SECONDS
  stop_container || broken "status $? after SIGTERM"
  passed "SIGTERM ends it with status 0 within $((SECONDS - began + 1)) s"
  if [ "$engine" = chroot ] && in_container 2>/dev/null; then broken "healthy, though it has ended"; fi
}

# Nobody gets an open broker by accident.
check_refusal() {
  local said status=0
  said=$(run_bare 2>&1) || status=$?
  [[ $status = 1 && $said == *NGMQ_ALLOW_ANONYMOUS=1* ]] || broken "without settings: status $status, $said"
  passed "without settings it ends with status 1 and names NGMQ_ALLOW_ANONYMOUS=1"
}

# A message from outside, over QUIC, with the development CA out of the volume.
check_message() {
  local dir url=quic://localhost:$port got
  dir=$(mktemp -d)
  copy_ca "$dir/ca.crt"
  bin/ngmq pub --url "$url" --cafile "$dir/ca.crt" -t from/outside -m "over QUIC" -q 1 -r || broken "publish"
  got=$(bin/ngmq sub --url "$url" --cafile "$dir/ca.crt" -t from/outside -C 1 -W "$patience") || broken "subscribe"
  [ "$got" = "over QUIC" ] || broken "received '$got'"
  rm -r "$dir"
  in_container /usr/bin/ngmq pub -h 127.0.0.1 -t from/inside -m "over TCP" || broken "ngmq in the image"
  passed "messages over QUIC from outside and over TCP from inside"
}

wait_until() {
  local end=$((SECONDS + patience))
  until "$@" 2>/dev/null; do
    [ "$SECONDS" -lt "$end" ] || { "$@"; return; }
    sleep 0.2
  done
}

passed() { printf 'test_image: ok: %s\n' "$1"; }

broken() {
  printf 'test_image: FAILED: %s\n' "$1" >&2
  log >&2 || true
  [ -z "${container:-}" ] || kill -TERM "$container" || true
  exit 1
}

case "${1:-}" in
  --build) build_chroot ;;
  --check)
    engine=chroot
    ip link set lo up
    check_image
    echo "test_image: passed (in chroot)"
    ;;
  *) main ;;
esac
