# shellcheck shell=bash
# The pinned copy: static, position independent, built once per key. Sourced by third_party.sh.

CC=${CC:-gcc}
# With apps: tests use `openssl s_client -quic` (an option that s_client has only when DTLS is built).
# /etc/ssl is where the system keeps its CA certificates.
OPENSSL_FLAGS=(--libdir=lib --openssldir=/etc/ssl no-shared no-tests no-docs no-legacy no-engine no-dso no-ssl3
  -fPIC)
NGTCP2_FLAGS=(--enable-lib-only --disable-shared --with-openssl --with-pic)
NGTCP2_CFLAGS="-O2 -g"

# build_pinned makes $NATIVE point to a finished build of the current key.
build_pinned() {
  local key
  key=$(build_key)
  if [ ! -e "$BUILD/native-$key/SOURCES" ]; then
    rm -rf "$BUILD"/tmp.*
    STAGE=$(mktemp -d "$BUILD/tmp.XXXXXX")
    trap 'rm -rf "$STAGE"' EXIT
    unpack openssl # both before anything is compiled: a source that is not to be had is known within seconds
    unpack ngtcp2
    build_openssl
    build_ngtcp2
    verify_build
    rm -rf "$BUILD/native-$key"
    mv "$STAGE$NATIVE" "$BUILD/native-$key"
    cd "$ROOT" || return
  fi
  say "built once in third_party/build/native-$key: $(paste -sd';' "$BUILD/native-$key/SOURCES")"
  point_native_to "native-$key"
}

# build_key changes with anything that could change the result. The path of the checkout is not part of it: the
# .pc files are relative to where they are.
build_key() {
  {
    grep -v '^#' "$PINS"
    cat "$ROOT/scripts/third_party/build.sh"
    "$CC" --version
    uname -sm
  } | sha256sum | cut -c1-16
}

# point_native_to DIR swaps the symlink in one step, so a compiler that runs meanwhile sees the old or the new.
point_native_to() {
  [ "$(readlink "$NATIVE")" = "$1" ] && return
  if [ -d "$NATIVE" ] && [ ! -L "$NATIVE" ]; then
    mv "$NATIVE" "$NATIVE.replaced.$$"
  fi
  ln -sfn "$1" "$NATIVE.new"
  mv -fT "$NATIVE.new" "$NATIVE"
  rm -rf "$NATIVE".replaced.*
}

build_openssl() {
  cd "$STAGE/src/openssl" || return
  run_step openssl configure ./config --prefix="$NATIVE" "${OPENSSL_FLAGS[@]}"
  say "openssl: compiling, the longest step (a minute or two)"
  run_step openssl compile make -j"$(nproc)" build_sw
  run_step openssl install make DESTDIR="$STAGE" install_sw
  make_relocatable
}

build_ngtcp2() {
  cd "$STAGE/src/ngtcp2" || return
  run_step ngtcp2 configure env PKG_CONFIG_PATH="$STAGE$NATIVE/lib/pkgconfig" \
    ./configure --prefix="$NATIVE" "${NGTCP2_FLAGS[@]}" CFLAGS="$NGTCP2_CFLAGS"
  run_step ngtcp2 compile make -j"$(nproc)"
  run_step ngtcp2 install make DESTDIR="$STAGE" install
  rm -f "$STAGE$NATIVE"/lib/*.la
  make_relocatable
}

# unpack NAME obtains the source, unpacks it into $STAGE/src/NAME and notes what it is.
unpack() {
  local name=$1
  obtain_source "$name"
  mkdir -p "$STAGE/src/$name" "$STAGE$NATIVE"
  run_step "$name" unpack tar -xf "$SOURCE_FILE" -C "$STAGE/src/$name" --strip-components=1
  echo "$name $SOURCE_VERSION from $SOURCE_WAY" >>"$STAGE$NATIVE/SOURCES"
}

# make_relocatable lets the .pc files find the libraries relative to themselves.
make_relocatable() {
  sed -i -e "s|^prefix=.*|prefix=\${pcfiledir}/../..|" -e "s|$NATIVE|\${prefix}|g" "$STAGE$NATIVE"/lib/pkgconfig/*.pc
}

# verify_build links a program against the result, compares versions at run time, and asks the openssl program for
# QUIC, which tests need.
verify_build() {
  local dir=$STAGE/verify
  mkdir -p "$dir"
  cd "$dir" || return
  cat >verify.c <<'C'
#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto_ossl.h>
#include <openssl/crypto.h>
#include <stdio.h>
int main(void) {
  if (ngtcp2_crypto_ossl_init() != 0 || OpenSSL_version_num() != OPENSSL_VERSION_NUMBER) return 1;
  printf("%s, ngtcp2 %s\n", OpenSSL_version(OPENSSL_VERSION), ngtcp2_version(0)->version_str);
  return ngtcp2_version(0)->version_num != NGTCP2_VERSION_NUM;
}
C
  # shellcheck disable=SC2016 # expanded by the inner shell
  run_step all verify env PKG_CONFIG_PATH="$STAGE$NATIVE/lib/pkgconfig" CC="$CC" sh -c '
    $CC verify.c -o verify $(pkg-config --static --cflags --libs libngtcp2_crypto_ossl libngtcp2 libssl libcrypto) &&
    ./verify && "$1" s_client -help 2>&1 | grep -e -quic' verify "$STAGE$NATIVE/bin/openssl"
}

# run_step LIBRARY STEP COMMAND... runs in the current folder, with its output in a log file.
run_step() {
  local library=$1 step=$2 log=$LOGS/$1-$2.log began=$SECONDS
  shift 2
  # A make above us must not hand its job server or flags to the libraries' makes.
  if ! env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL CC="$CC" "$@" >"$log" 2>&1 9>&-; then
    tail -n 15 "$log" >&2
    fail "$library" "$step" "$log" "$(remedy "$step")"
  fi
  say "$library: $step done in $((SECONDS - began)) s"
}

remedy() {
  case "$1" in
    unpack) echo "check free space, delete third_party/cache and run make again" ;;
    configure) echo "run 'make deps' (compiler, perl, pkg-config), then make again" ;;
    verify) echo "delete third_party/build and run make again" ;;
    *) echo "read the end of the log (often: disk or memory is full), then run make again" ;;
  esac
}
