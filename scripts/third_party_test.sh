#!/usr/bin/env bash
# Tests of third_party.sh and deps.sh. They run copies of the scripts in a scratch tree, with stand-ins for
# pkg-config, curl and apt, so they build nothing and need no network.
set -euo pipefail

REPO=$(cd "$(dirname "$0")/.." && pwd)
SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT
unset SYSTEM_LIBS THIRD_PARTY_CACHE PKG_CONFIG_PATH OPENSSL_VERSION NGTCP2_VERSION

##### scratch tree and stand-ins

# fresh_tree makes $TREE with the scripts and pins for two tiny tarballs, and $FAKE with the stand-ins.
# shellcheck disable=SC2016 # expanded by the stand-ins
fresh_tree() {
  TREE=$SCRATCH/tree FAKE=$SCRATCH/fake
  rm -rf "$TREE" "$FAKE"
  mkdir -p "$TREE"/{scripts,third_party,crypto,ngtcp2} "$FAKE"/{bin,good,bad,upstream,debian,system}
  cp -r "$REPO"/scripts/third_party* "$TREE/scripts/"
  tarball openssl 3.5.7 'exit 0' 'true'
  tarball ngtcp2 1.24.0 'exit 0' 'true'
  write_pins
  stand_in pkg-config 'for m; do :; done
    case ":${PKG_CONFIG_PATH:-}:" in *third_party/build*) echo 9.9.9 && exit ;; esac
    [ "$1" = --modversion ] && cat "'"$FAKE"'/system/$m"'
  stand_in curl 'while [ "$1" != -o ]; do shift; done; cp "'"$FAKE"'/upstream/$(basename "$3")" "$2"'
  stand_in apt-get 'case " $* " in
      *" --print-uris "*) echo "'\''http://mirror.invalid/debian/dists/$(. /etc/os-release && echo $VERSION_CODENAME)/InRelease'\'' x 0" ;;
      *" update "*) [ ! -e "'"$FAKE"'/expired" ] || [[ $* == *" Acquire::Check-Date=false"* ]] ;;
      *" source "*) for p; do :; done; v=${p#*=}; cp "'"$FAKE"'/debian/${p%=*}-$v" "${p%=*}_${v%-*}.orig.tar.gz" ;;
    esac'
  stand_in apt-cache 'for p; do :; done; for f in "'"$FAKE"'/debian/$p-"*; do [ ! -e "$f" ] || echo "Version: ${f##*/$p-}"; done'
}

stand_in() {
  printf '#!/bin/bash\n%s\n' "$2" >"$FAKE/bin/$1"
  chmod +x "$FAKE/bin/$1"
}

# tarball NAME VERSION CONFIGURE MAKE writes a good and a bad release tarball.
tarball() {
  local dir=$FAKE/src/$1-$2
  mkdir -p "$dir"
  printf '#!/bin/sh\necho configuring %s\n%s\n' "$1" "$3" >"$dir/config"
  printf 'build_sw install_sw all install:\n\t%s\n' "$4" >"$dir/Makefile"
  cp "$dir/config" "$dir/configure"
  chmod +x "$dir/config" "$dir/configure"
  tar -C "$FAKE/src" -czf "$FAKE/good/$1-$2.tar.gz" "$1-$2"
  echo tampered >"$FAKE/bad/$1-$2.tar.gz"
}

write_pins() {
  local sum
  : >"$TREE/third_party/pins"
  for line in "openssl 3.5.7 3.5.0" "ngtcp2 1.24.0 1.22.1"; do
    # shellcheck disable=SC2086 # three words
    set -- $line
    sum=$(sha256sum <"$FAKE/good/$1-$2.tar.gz" | cut -d' ' -f1)
    echo "$1 $2 $3 $1 $sum https://release.invalid/$1-$2.tar.gz" >>"$TREE/third_party/pins"
  done
}

# add_other NAME VERSION lists a tarball in pins.other.
add_other() {
  local sum
  sum=$(sha256sum <"$FAKE/good/$1-$2.tar.gz" | cut -d' ' -f1)
  echo "$1 $2 3.5.0 $1 $sum https://release.invalid/$1-$2.tar.gz" >>"$TREE/third_party/pins.other"
}

system_has() {
  echo "$1" >"$FAKE/system/openssl"
  echo "$2" >"$FAKE/system/libngtcp2"
  echo "$2" >"$FAKE/system/libngtcp2_crypto_ossl"
}

# third_party ARG... runs the script on the scratch tree; OUT has what it said, STATUS how it ended.
third_party() {
  STATUS=0
  OUT=$(PATH="$FAKE/bin:$PATH" "$TREE/scripts/third_party.sh" "$@" 2>&1) || STATUS=$?
}

##### assertions

broken() {
  printf 'FAIL %s: %s\nstatus %s, output:\n%s\n' "$NAME" "$1" "$STATUS" "$OUT" >&2
  exit 1
}
ends_with() { [ "$STATUS" = "$1" ] || broken "want status $1"; }
says() { [[ $OUT == *"$1"* ]] || broken "it does not say '$1'"; }
says_not() { [[ $OUT != *"$1"* ]] || broken "it says '$1'"; }

##### tests

test_new_system_libraries_are_used() {
  system_has 3.5.4 1.22.1
  third_party way
  ends_with 0
  says "using the system's libraries: openssl 3.5.4 libngtcp2 1.22.1"
}

test_old_system_libraries_mean_the_pinned_copy() {
  system_has 3.0.19 1.22.1
  third_party way
  ends_with 0
  says "using the pinned copy: OpenSSL 3.5.7, ngtcp2 1.24.0 (openssl of the system is 3.0.19, need >= 3.5.0)"
  system_has 3.10.0 1.9.0
  third_party way
  says "libngtcp2 of the system is 1.9.0, need >= 1.22.1"
}

test_missing_system_libraries_mean_the_pinned_copy() {
  third_party way
  ends_with 0
  says "using the pinned copy"
  says "pkg-config finds no openssl here"
}

test_SYSTEM_LIBS_1_fails_when_they_are_old() {
  system_has 3.0.19 0.12.1
  SYSTEM_LIBS=1 third_party build
  ends_with 1
  says "library: openssl"
  says "openssl of the system is 3.0.19, need >= 3.5.0"
  says "remedy:  install libssl-dev >= 3.5.0, libngtcp2-dev and libngtcp2-crypto-ossl-dev >= 1.22.1"
}

test_SYSTEM_LIBS_0_forces_the_pinned_copy() {
  system_has 3.5.4 1.22.1
  SYSTEM_LIBS=0 third_party way
  ends_with 0
  says "using the pinned copy: OpenSSL 3.5.7, ngtcp2 1.24.0 (SYSTEM_LIBS=0)"
}

test_SYSTEM_LIBS_takes_no_other_value() {
  SYSTEM_LIBS=yes third_party way
  ends_with 1
  says "use 1 (system), 0 (pinned) or leave it unset"
}

test_our_own_build_is_not_taken_for_the_system() {
  system_has 3.0.19 0.12.1
  PKG_CONFIG_PATH=$TREE/third_party/build/native/lib/pkgconfig third_party way
  says "using the pinned copy"
}

test_cache_folder_comes_first() {
  THIRD_PARTY_CACHE=$FAKE/good third_party fetch
  ends_with 0
  says "openssl 3.5.7: source from the folder $FAKE/good"
  says "ngtcp2 1.24.0: source from the folder $FAKE/good"
}

test_wrong_checksum_is_refused_and_the_next_way_taken() {
  cp "$FAKE"/good/* "$FAKE/upstream/"
  THIRD_PARTY_CACHE=$FAKE/bad third_party fetch
  ends_with 0
  says "openssl: REFUSED $FAKE/bad/openssl-3.5.7.tar.gz: its sha256 is"
  says "openssl 3.5.7: source from https://release.invalid/openssl-3.5.7.tar.gz"
}

test_wrong_checksum_everywhere_fails_and_keeps_nothing() {
  cp "$FAKE"/bad/* "$FAKE/upstream/"
  cp "$FAKE/bad/openssl-3.5.7.tar.gz" "$FAKE/debian/openssl-3.4.9-1"
  THIRD_PARTY_CACHE=$FAKE/bad third_party fetch
  ends_with 1
  says "REFUSED $TREE/third_party/cache/openssl-3.5.7.tar.gz.part"
  says "library: openssl"
  says "step:    obtain openssl-3.5.7.tar.gz"
  says "remedy:  put openssl-3.5.7.tar.gz (sha256 "
  [ -z "$(ls "$TREE/third_party/cache")" ] || broken "a refused file was kept"
}

test_debian_source_package_of_the_pinned_version() {
  cp "$FAKE/good/openssl-3.5.7.tar.gz" "$FAKE/debian/openssl-3.5.7-1~deb13u2"
  cp "$FAKE/good/ngtcp2-1.24.0.tar.gz" "$FAKE/debian/ngtcp2-1.24.0-1"
  third_party fetch
  ends_with 0
  says "cannot be downloaded"
  says "openssl 3.5.7: source from the Debian source package openssl 3.5.7-1~deb13u2 (trixie)"
  says_not NOTICE
  rm -r "$FAKE/debian"
  third_party fetch
  says "ngtcp2 1.24.0: source from the folder $TREE/third_party/cache"
}

test_debian_package_with_other_bytes_is_refused() {
  cp "$FAKE/bad/openssl-3.5.7.tar.gz" "$FAKE/debian/openssl-3.5.7-1"
  third_party fetch
  says "openssl: REFUSED"
  says "openssl: version 3.5.7 is not to be had from Debian's archive"
}

test_newest_debian_package_stands_in_with_a_notice() {
  for v in 3.4.9-1 3.5.8-1 3.5.10-1 4.0.1-1; do cp "$FAKE/good/openssl-3.5.7.tar.gz" "$FAKE/debian/openssl-$v"; done
  cp "$FAKE"/good/ngtcp2* "$FAKE/upstream/"
  third_party fetch
  ends_with 0
  says "NOTICE: openssl 3.5.7 has left Debian's archive; building 3.5.10 instead"
  says "openssl 3.5.10: source from the Debian source package openssl 3.5.10-1"
}

test_expired_archive_gives_the_pinned_version_alone() {
  touch "$FAKE/expired"
  cp "$FAKE/good/openssl-3.5.7.tar.gz" "$FAKE/debian/openssl-3.5.7-1"
  cp "$FAKE/good/ngtcp2-1.24.0.tar.gz" "$FAKE/debian/ngtcp2-1.24.1-1"
  third_party fetch
  ends_with 1
  says "openssl 3.5.7: source from the Debian source package openssl 3.5.7-1 (trixie)"
  says "library: ngtcp2"
  says_not NOTICE
}

test_another_version_is_chosen_with_its_own_sum() {
  tarball openssl 3.6.3 'exit 0' 'true'
  add_other openssl 3.6.3
  system_has 3.5.4 1.22.1
  THIRD_PARTY_CACHE=$FAKE/good OPENSSL_VERSION=3.6.3 third_party fetch
  ends_with 0
  says "openssl 3.6.3: source from the folder $FAKE/good"
  says "ngtcp2 1.24.0: source from the folder $FAKE/good"
  OPENSSL_VERSION=3.6.3 third_party way
  says "using the pinned copy: OpenSSL 3.6.3, ngtcp2 1.24.0"
  third_party way
  says "using the system's libraries"
}

test_another_version_that_is_not_listed_fails() {
  tarball openssl 3.6.3 'exit 0' 'true'
  add_other openssl 3.6.3
  NGTCP2_VERSION=1.30.0 third_party fetch
  ends_with 1
  says "step:    choose version 1.30.0"
  OPENSSL_VERSION=3.6.3 SYSTEM_LIBS=1 third_party way
  ends_with 1
  says "SYSTEM_LIBS=1 takes the version of the system"
}

test_nothing_stands_in_for_a_version_that_was_asked_for() {
  tarball openssl 3.6.3 'exit 0' 'true'
  add_other openssl 3.6.3
  cp "$FAKE/good/openssl-3.6.3.tar.gz" "$FAKE/debian/openssl-3.6.9-1"
  OPENSSL_VERSION=3.6.3 third_party fetch
  ends_with 1
  says "step:    obtain openssl-3.6.3.tar.gz"
  says_not NOTICE
}

test_licenses_come_from_the_sources() {
  echo terms >"$FAKE/src/openssl-3.5.7/LICENSE.txt"
  echo terms >"$FAKE/src/ngtcp2-1.24.0/COPYING"
  tarball openssl 3.5.7 'exit 0' 'true'
  tarball ngtcp2 1.24.0 'exit 0' 'true'
  write_pins
  THIRD_PARTY_CACHE=$FAKE/good third_party licenses "$SCRATCH/licenses"
  ends_with 0
  [ "$(cat "$SCRATCH/licenses/openssl/LICENSE.txt" "$SCRATCH/licenses/ngtcp2/COPYING" | uniq)" = terms ] || broken "other texts"
}

test_failed_step_names_library_step_log_and_remedy() {
  tarball openssl 3.5.7 'echo no compiler; exit 1' 'true'
  write_pins
  THIRD_PARTY_CACHE=$FAKE/good third_party build
  ends_with 1
  says "no compiler"
  says "library: openssl"
  says "step:    configure"
  says "log:     $TREE/third_party/build/log/openssl-configure.log"
  says "remedy:  run 'make deps'"
  [ -s "$TREE/third_party/build/log/openssl-configure.log" ] || broken "there is no log"
  [ ! -e "$TREE/third_party/build/native" ] || broken "a failed build was published"
}

test_missing_source_is_known_before_anything_is_compiled() {
  cp "$FAKE/good/openssl-3.5.7.tar.gz" "$FAKE/upstream/"
  third_party build
  ends_with 1
  says "library: ngtcp2"
  says_not "openssl: configure"
}

test_stamp_headers_change_only_with_the_libraries() {
  system_has 3.5.4 1.22.1
  third_party build
  ends_with 0
  local header=$TREE/crypto/third_party_stamp.h before
  cmp -s "$header" "$TREE/ngtcp2/third_party_stamp.h" || broken "the stamp headers differ"
  before=$(stat -c %i "$header")
  third_party build
  [ "$(stat -c %i "$header")" = "$before" ] || broken "the stamp was written again"
  system_has 3.5.5 1.22.1
  third_party build
  [ "$(stat -c %i "$header")" != "$before" ] || broken "the stamp does not show the new version"
}

# Go's build cache outlives a checkout: packages that link with libraries elsewhere must differ.
test_stamp_headers_tell_where_the_libraries_lie() {
  # shellcheck disable=SC2016 # expanded by bash -c
  local here there stamp='. "$0" && stamp_text same'
  here=$(WAY=pinned NATIVE=/here bash -c "$stamp" "$REPO/scripts/third_party/stamp.sh")
  there=$(WAY=pinned NATIVE=/there bash -c "$stamp" "$REPO/scripts/third_party/stamp.sh")
  OUT=$here STATUS=0
  [ "$here" != "$there" ] || broken "two places, one stamp"
}

test_env_prints_shell_exports_alone() {
  system_has 3.5.4 1.22.1
  PATH="$FAKE/bin:$PATH" "$TREE/scripts/third_party.sh" env >"$SCRATCH/env" 2>/dev/null
  OUT=$(grep -vE '^(#|export )' "$SCRATCH/env" || true) STATUS=0
  [ -z "$OUT" ] || broken "other output"
}

test_deps_without_root_prints_the_command_and_stops() {
  local bare=$SCRATCH/bare
  rm -rf "$bare" && mkdir "$bare"
  ln -s "$(command -v bash)" "$(command -v cat)" "$bare/"
  printf '#!/bin/bash\necho 1000\n' >"$bare/id"
  printf '#!/bin/bash\nexit 1\n' | tee "$bare/go" "$bare/apt-get" >/dev/null
  chmod +x "$bare"/{id,go,apt-get}
  STATUS=0
  OUT=$(PATH=$bare bash "$REPO/scripts/deps.sh" build test 2>&1) || STATUS=$?
  ends_with 1
  says "apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev make perl pkg-config xz-utils"
  says "mosquitto-clients"
  says_not shellcheck
  rm "$bare/go"
  OUT=$(PATH=$bare bash "$REPO/scripts/deps.sh" build 2>&1) || STATUS=$?
  ends_with 1
  says "Go is missing"
}

test_deps_says_that_go_is_too_old() {
  stand_in go 'echo go1.19.8'
  STATUS=0
  OUT=$(PATH="$FAKE/bin:$PATH" "$REPO/scripts/deps.sh" build 2>&1) || STATUS=$?
  ends_with 1
  says "or newer is needed, this is 1.19.8 ($FAKE/bin/go): install it from https://go.dev/dl"
}

count=0
for NAME in $(compgen -A function test_ | sort); do
  fresh_tree
  "$NAME"
  count=$((count + 1))
done
echo "third_party_test: $count tests passed"
