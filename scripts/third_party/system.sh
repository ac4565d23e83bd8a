# shellcheck shell=bash
# Which way: the system's libraries or the pinned copy. Sourced by third_party.sh.

SYSTEM_MODULES=(openssl libngtcp2 libngtcp2_crypto_ossl)

# choose_way sets WAY (system or pinned) and WAY_TEXT.
choose_way() {
  local why
  case "${SYSTEM_LIBS:-}" in
    0)
      WAY=pinned why="SYSTEM_LIBS=0"
      ;;
    1)
      if ! why=$(system_lack); then
        fail "${why%% *}" "look for system libraries with pkg-config (SYSTEM_LIBS=1): $why" "(none)" \
          "install libssl-dev >= $(pin openssl minimum), libngtcp2-dev and libngtcp2-crypto-ossl-dev >= $(pin ngtcp2 minimum) (Debian 13 with backports has them), or unset SYSTEM_LIBS to build the pinned copy"
      fi
      WAY=system
      ;;
    "")
      if why=$(system_lack); then WAY=system; else WAY=pinned; fi
      ;;
    *) fail "all" "read SYSTEM_LIBS" "(none)" "SYSTEM_LIBS is '$SYSTEM_LIBS'; use 1 (system), 0 (pinned) or leave it unset" ;;
  esac
  if [ "$WAY" = system ]; then
    WAY_TEXT="using the system's libraries: $(system_versions)"
  else
    WAY_TEXT="using the pinned copy: OpenSSL $(pin openssl version), ngtcp2 $(pin ngtcp2 version) ($why)"
  fi
}

# system_lack succeeds when the system's libraries are new enough; else it prints what is lacking.
system_lack() {
  if ! command -v pkg-config >/dev/null; then
    echo "pkg-config is not installed"
    return 1
  fi
  local module minimum version
  for module in "${SYSTEM_MODULES[@]}"; do
    minimum=$(pin "$(pin_of_module "$module")" minimum)
    if ! version=$(system_pkg_config --modversion "$module" 2>/dev/null); then
      echo "pkg-config finds no $module here, need >= $minimum"
      return 1
    fi
    if ! at_least "$version" "$minimum"; then
      echo "$module of the system is $version, need >= $minimum"
      return 1
    fi
  done
}

pin_of_module() { case "$1" in libngtcp2*) echo ngtcp2 ;; *) echo "$1" ;; esac }

system_versions() {
  local module
  for module in "${SYSTEM_MODULES[@]}"; do
    printf '%s %s ' "$module" "$(system_pkg_config --modversion "$module")"
  done
}

system_pkg_config() { PKG_CONFIG_PATH=$(system_path) pkg-config "$@"; }

# system_path is PKG_CONFIG_PATH without our own build.
system_path() {
  tr ':' '\n' <<<"${PKG_CONFIG_PATH:-}" | grep -v '/third_party/build/' | paste -sd: || true
}
