# shellcheck shell=bash
# What a build leaves for Go: env.sh and a stamp header per cgo package. Sourced by third_party.sh.

CGO_PACKAGES=(crypto ngtcp2)

publish() {
  env_text | write_if_changed "$BUILD/env.sh"
  local package text
  text=$(stamp_text "$(what_is_used | sha256sum | cut -c1-32)")
  for package in "${CGO_PACKAGES[@]}"; do
    [ -d "$ROOT/$package" ] || continue
    printf '%s\n' "$text" | write_if_changed "$ROOT/$package/third_party_stamp.h"
  done
}

# what_is_used prints text that changes whenever the libraries do.
what_is_used() {
  if [ "$WAY" = system ]; then
    system_versions
    return
  fi
  (cd "$NATIVE/" && find include lib -type f | LC_ALL=C sort | xargs sha256sum)
}

# stamp_text HASH. Go's build cache sees the files of a package's folder and nothing beyond, so a rebuilt library
# would be masked by it. This header changes with the libraries, and the string ends up in the object file, so
# that compiling, linking and cached test results all notice. Where the libraries lie stands in it because cached
# packages remember the linker's flags: a checkout that was moved or cloned again must not link with the old place.
stamp_text() {
  cat <<EOT
/* Written by scripts/third_party.sh; do not edit. */
/* Libraries: $([ "$WAY" = system ] && echo system || echo "$NATIVE") */
#ifndef NGMQ_THIRD_PARTY_STAMP
#define NGMQ_THIRD_PARTY_STAMP "$WAY $1"
__attribute__((used)) static const char ngmq_third_party_stamp[] = NGMQ_THIRD_PARTY_STAMP;
#endif
EOT
}

env_text() {
  if [ "$WAY" = system ]; then
    echo "export PKG_CONFIG_PATH=\"$(system_path)\""
    return
  fi
  cat <<EOT
export PKG_CONFIG_PATH="$NATIVE/lib/pkgconfig\${PKG_CONFIG_PATH:+:\$PKG_CONFIG_PATH}"
EOT
}

# write_if_changed FILE
write_if_changed() {
  cat >"$1.new.$$"
  if cmp -s "$1.new.$$" "$1"; then rm "$1.new.$$"; else mv -f "$1.new.$$" "$1"; fi
}
