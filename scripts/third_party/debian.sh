# shellcheck shell=bash
# Debian source packages, through the machine's own apt configuration. Sourced by third_party.sh.
#
# apt runs on a private state folder (third_party/build/apt), so it needs no root and changes nothing on the
# machine; mirrors come from the machine's sources, proxies and credentials from its apt.conf as always.

SUITES=(trixie trixie-security trixie-backports forky sid)
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# from_debian_pinned NAME FILE looks for the pinned version, suite by suite. The pin decides on every byte, so the
# dates of the archive do not matter: a mirror that lags, or a clock that is wrong, is no obstacle.
from_debian_pinned() {
  local name=$1 file=$2 source version suite
  source=$(pin "$name" debian)
  debian_usable "$name" || return 1
  for suite in "${SUITES[@]}" experimental; do
    debian_update "$name" "$suite" false || continue
    for version in $(debian_versions "$source"); do
      [ "$(upstream_version "$version")" = "$(pin "$name" version)" ] || continue
      debian_download "$name" "$source" "$version" || true # the pin decides on what has come
      keep_orig "$name" "$source" "$version" "$file" || continue
      SOURCE_WAY="the Debian source package $source $version ($suite)"
      return 0
    done
  done
  say "$name: version $(pin "$name" version) is not to be had from Debian's archive"
  return 1
}

keep_orig() {
  local orig
  orig=$(orig_tarball "$2" "$3") || return 1
  keep_checked "$1" "$orig" "$4"
}

# from_debian_substitute NAME takes the newest version there that is >= the minimum and of the pinned major version
# (another major version has another API). apt has checked it against the archive's signature, dates included: an
# expired archive could be an old one, played again.
from_debian_substitute() {
  local name=$1 source version suite
  source=$(pin "$name" debian)
  debian_usable "$name" || return 1
  while read -r version suite; do
    debian_update "$name" "$suite" true || continue
    debian_download "$name" "$source" "$version" || continue
    SOURCE_FILE=$(orig_tarball "$source" "$version") || continue
    SOURCE_VERSION=$(upstream_version "$version")
    SOURCE_WAY="the Debian source package $source $version ($suite), authenticated by the archive's signature"
    say "NOTICE: $name $(pin "$name" version) has left Debian's archive; building $SOURCE_VERSION instead, which is not pinned"
    return 0
  done < <(debian_candidates "$name" "$source")
  return 1
}

# debian_candidates prints "version suite", newest first, of what may stand in for the pinned version.
debian_candidates() {
  local name=$1 source=$2 suite version upstream
  for suite in "${SUITES[@]}"; do
    debian_update "$name" "$suite" true || continue
    for version in $(debian_versions "$source"); do
      upstream=$(upstream_version "$version")
      if [ "${upstream%%.*}" = "$(pin "$name" version | cut -d. -f1)" ] && at_least "$upstream" "$(pin "$name" minimum)"; then
        echo "$version $suite"
      fi
    done
  done | sort -rV
}

debian_usable() {
  if ! command -v apt-get >/dev/null; then
    say "$1: no apt on this machine, so no Debian source package"
    return 1
  fi
  if [ ! -r "$KEYRING" ]; then
    say "$1: $KEYRING is missing (package debian-archive-keyring), so no Debian source package"
    return 1
  fi
}

# debian_update NAME SUITE CHECK_DATE makes SUITE the one that private_apt sees. Its list of source packages is fetched
# once per run; a suite that failed is not asked again. CHECK_DATE false: a list that has expired will do.
debian_update() {
  local name=$1 suite=$2 check_date=$3 uri
  local dir=$BUILD/apt/$suite-check-date-$check_date
  APT_DIR=$dir
  [ -e "$dir/updated.$$" ] && return
  [ -e "$dir/failed.$$" ] && return 1
  rm -rf "$dir"
  mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial" "$dir/download"
  for uri in $(archive_uris "$suite"); do
    echo "deb-src [signed-by=$KEYRING] $uri $suite main"
  done >"$dir/sources.list"
  if [ -s "$dir/sources.list" ] && private_apt apt-get update --error-on=any \
    -o Acquire::Check-Date="$check_date" >>"$LOGS/$name-debian.log" 2>&1; then
    touch "$dir/updated.$$"
    return
  fi
  touch "$dir/failed.$$"
  return 1
}

# archive_uris SUITE prints the Debian mirrors that the machine's own apt sources name. What apt would update tells
# them whatever format the sources have, and whether or not they were ever updated.
archive_uris() {
  local codename releases
  # shellcheck source=/dev/null
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  case "$1" in
    *-security) releases="^$codename-security\$" ;;
    *) releases="^$codename(-updates|-backports)?\$" ;;
  esac
  apt-get -o Dir::State::Lists="$APT_DIR/lists" update --print-uris |
    sed -nE "s|^'(.*)/dists/([^/]+)/InRelease'.*|\1 \2|p" |
    awk -v releases="$releases" '$2 ~ releases && !seen[$1]++ { print $1 }'
}

# private_apt runs an apt tool with the current suite's sources and state alone.
private_apt() {
  local tool=$1
  shift
  "$tool" -o Dir::Etc::SourceList="$APT_DIR/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
    -o Dir::State="$APT_DIR" -o Dir::State::Lists="$APT_DIR/lists" -o Dir::State::Status=/dev/null \
    -o Dir::Cache="$APT_DIR/cache" -o APT::Sandbox::User= -o Acquire::Languages=none \
    -o Acquire::http::Timeout="$CONNECT_SECONDS" -o Acquire::Retries=1 "$@"
}

debian_versions() {
  private_apt apt-cache showsrc --only-source "$1" 2>/dev/null | awk '$1 == "Version:" { print $2 }' | sort -ruV
}

# debian_download NAME SOURCE VERSION
debian_download() {
  (cd "$APT_DIR/download" && private_apt apt-get source --download-only "$2=$3") >>"$LOGS/$1-debian.log" 2>&1
}

# orig_tarball SOURCE VERSION prints the path of the upstream tarball that was downloaded.
orig_tarball() {
  local file
  for file in "$APT_DIR/download/$1_$(upstream_version "$2").orig.tar".*z; do
    [ -f "$file" ] && echo "$file" && return
  done
  return 1
}

# upstream_version takes the epoch and the Debian revision off.
upstream_version() {
  local version=${1#*:}
  echo "${version%-*}"
}
