# shellcheck shell=bash
# The pinned sources: a cache folder, the upstream release, or Debian's source package. Sourced by third_party.sh.

CONNECT_SECONDS=15   # a host that does not answer by then is taken as unreachable
DOWNLOAD_SECONDS=900 # the largest tarball is 53 MB: enough at 60 kB/s

obtain_sources() {
  obtain_source openssl
  obtain_source ngtcp2
}

# obtain_source NAME leaves a checked tarball and sets SOURCE_FILE, SOURCE_VERSION and SOURCE_WAY.
obtain_source() {
  local name=$1 file
  file=$THIRD_PARTY/cache/$(basename "$(pin "$name" url)")
  SOURCE_VERSION=$(pin "$name" version)
  mkdir -p "$THIRD_PARTY/cache"
  if from_folder "$name" "${THIRD_PARTY_CACHE:-}" || from_folder "$name" "$THIRD_PARTY/cache"; then
    :
  elif from_upstream "$name" "$file" || from_debian_pinned "$name" "$file"; then
    SOURCE_FILE=$file
  elif version_was_asked "$name" || ! from_debian_substitute "$name"; then
    fail "$name" "obtain $(basename "$file")" "$LOGS/$name-debian.log" \
      "put $(basename "$file") (sha256 $(pin "$name" sha256), from $(pin "$name" url)) into $THIRD_PARTY/cache or a folder named by THIRD_PARTY_CACHE"
  fi
  say "$name $SOURCE_VERSION: source from $SOURCE_WAY"
}

# copy_license NAME DIR
copy_license() {
  local files
  obtain_source "$1"
  files=$(tar -tf "$SOURCE_FILE" | grep -E '^[^/]+/(LICENSE|COPYING|NOTICE)[^/]*$') ||
    fail "$1" "find the licence in $SOURCE_FILE" "(none)" "see where this version keeps it, and name it in copy_license"
  mkdir -p "$2/$1"
  # shellcheck disable=SC2086 # a word per file
  tar -xf "$SOURCE_FILE" -C "$2/$1" --strip-components=1 $files
}

# from_folder NAME FOLDER
from_folder() {
  [ -n "$2" ] || return 1
  local file
  file=$2/$(basename "$(pin "$1" url)")
  [ -f "$file" ] || return 1
  check_sum "$1" "$file" || return 1
  SOURCE_FILE=$file SOURCE_WAY="the folder $2"
}

# from_upstream NAME FILE downloads the release from its own host.
from_upstream() {
  local url log=$LOGS/$1-download.log
  url=$(pin "$1" url)
  if ! download "$url" "$2.part" >"$log" 2>&1; then
    rm -f "$2.part"
    say "$1: $url cannot be downloaded ($(tail -n 1 "$log")); trying Debian's source package"
    return 1
  fi
  keep_checked "$1" "$2.part" "$2" || return 1
  SOURCE_WAY=$url
}

download() {
  if command -v curl >/dev/null; then
    curl -fsSL --retry 1 --connect-timeout "$CONNECT_SECONDS" --max-time "$DOWNLOAD_SECONDS" -o "$2" "$1"
  elif command -v wget >/dev/null; then
    wget -nv --tries=2 --timeout="$CONNECT_SECONDS" -O "$2" "$1"
  else
    echo "neither curl nor wget is installed"
    return 1
  fi
}

# keep_checked NAME PART FILE moves PART to FILE when its sum is the pinned one, else deletes it.
keep_checked() {
  if ! check_sum "$1" "$2"; then
    rm -f "$2"
    return 1
  fi
  mv -f "$2" "$3"
}

# check_sum NAME FILE
check_sum() {
  local want got
  want=$(pin "$1" sha256)
  got=$(sha256sum <"$2" | cut -d' ' -f1)
  [ "$got" = "$want" ] && return
  say "$1: REFUSED $2: its sha256 is $got, the pin says $want"
  return 1
}
