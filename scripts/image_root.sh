#!/usr/bin/env bash
# scripts/image_root.sh DIR: what the Dockerfile's final image holds, after `make build`. DIR/root belongs to root,
# DIR/owned to the user that the server runs as.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

root=$1/root
licenses=$root/usr/share/licenses
user=10001 # as in the Dockerfile

main() {
  mkdir -p "$root"/{etc/ssl/certs,tmp,usr/bin} "$licenses" "$(dirname "$root")/owned/data"
  chmod 1777 "$root/tmp"
  install -m 755 bin/ngmqd bin/ngmq "$root/usr/bin/"
  cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  echo "ngmq:x:$user:$user::/data:/usr/sbin/nologin" >"$root/etc/passwd"
  echo "ngmq:x:$user:" >"$root/etc/group"
  copy_libraries
  debian_license ca-certificates
  module_licenses
  scripts/third_party.sh licenses "$licenses"
}

# copy_libraries copies what the programs load at run time to where they look for it.
copy_libraries() {
  local file
  ldd bin/ngmqd bin/ngmq | sed -nE 's|^[^/]*(/[^ ]+) \(0x.*|\1|p' | sort -u | while read -r file; do
    cp -L --parents "$file" "$root"
  done
  debian_license libc6
}

# debian_license PACKAGE
debian_license() { install -D -m 644 "/usr/share/doc/$1/copyright" "$licenses/$1/copyright"; }

# module_licenses: Go itself, and the modules that the programs are linked with.
module_licenses() {
  local path dir
  install -D -m 644 "$(go env GOROOT)/LICENSE" "$licenses/go/LICENSE"
  . ./third_party/build/env.sh
  go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}' ./cmd/... | sort -u |
    while read -r path dir; do
      mkdir -p "$licenses/$path"
      find "$dir" -maxdepth 1 -type f \( -iname 'LICENSE*' -o -iname 'COPYING*' -o -iname 'NOTICE*' \) \
        -exec install -m 644 -t "$licenses/$path" {} +
      [ -n "$(ls "$licenses/$path")" ] || { echo "image_root: $path has no licence file" >&2; exit 1; }
    done
}

main
