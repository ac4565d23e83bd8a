# shellcheck shell=bash
# Messages, failures and the pin file. Sourced by third_party.sh.

# All messages go to standard error: standard output belongs to `env`.
say() { printf 'third_party: %s\n' "$*" >&2; }

# fail LIBRARY STEP LOG REMEDY: the one way this script gives up.
fail() {
  local library=$1 step=$2 log=$3 remedy=$4
  say "FAILED"
  say "  library: $library"
  say "  step:    $step"
  say "  log:     $log"
  say "  remedy:  $remedy"
  exit 1
}

fail_usage() {
  say "unknown command '$1'; use: third_party.sh [build|way|fetch|licenses DIR|env]"
  exit 2
}

# pin NAME FIELD prints one field of the pin file.
pin() {
  local name version minimum debian sha256 url
  while read -r name version minimum debian sha256 url; do
    if [ "$name" = "$1" ]; then
      case "$2" in
        version) echo "$version" ;;
        minimum) echo "$minimum" ;;
        debian) echo "$debian" ;;
        sha256) echo "$sha256" ;;
        url) echo "$url" ;;
      esac
      return
    fi
  done <"$PINS"
  fail "$1" "read the pin file" "(none)" "add a line for $1 to $PINS"
}

# choose_pins puts the versions that the caller asks for in place of the pinned ones.
choose_pins() {
  local chosen
  [ -n "${OPENSSL_VERSION:-}${NGTCP2_VERSION:-}" ] || return 0
  [ "${SYSTEM_LIBS:-}" != 1 ] || fail "all" "read SYSTEM_LIBS" "(none)" \
    "SYSTEM_LIBS=1 takes the version of the system: leave OPENSSL_VERSION and NGTCP2_VERSION out"
  SYSTEM_LIBS=0
  prepare_build_dir
  chosen=$BUILD/pins.chosen
  {
    pin_line openssl "${OPENSSL_VERSION:-}"
    pin_line ngtcp2 "${NGTCP2_VERSION:-}"
  } >"$chosen.$$"
  mv "$chosen.$$" "$chosen"
  PINS=$chosen
}

# pin_line NAME VERSION prints a line of the pin files; without VERSION the pinned one.
pin_line() {
  awk -v name="$1" -v version="$2" '$1 == name && (version == "" || $2 == version) { print; found = 1; exit }
    END { exit !found }' "$PINS" "$OTHER_PINS" ||
    fail "$1" "choose version $2" "(none)" "add a line for $1 $2 to $OTHER_PINS, or take a version that is there"
}

# version_was_asked NAME: nothing else will do then.
version_was_asked() {
  case "$1" in
    openssl) [ -n "${OPENSSL_VERSION:-}" ] ;;
    ngtcp2) [ -n "${NGTCP2_VERSION:-}" ] ;;
  esac
}

# at_least VERSION MINIMUM
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

prepare_build_dir() {
  mkdir -p "$BUILD" "$LOGS"
  # A module of its own keeps Go's ./... patterns out of the C sources.
  [ -e "$BUILD/go.mod" ] || echo 'module third_party_build' >"$BUILD/go.mod"
}
