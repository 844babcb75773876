# shellcheck shell=bash
# Says what is done, fails with what to do next, and installs Debian packages when we may.

say() { printf '== %s\n' "$*" >&2; }
fail() {
  printf 'error: %s\n' "$1" >&2
  shift
  [ $# -eq 0 ] || printf '       %s\n' "$@" >&2
  exit 1
}

apt_updated=
apt_install() {
  [ -n "$apt_updated" ] || apt-get update -qq
  apt_updated=yes
  # A daemon that a package starts must not inherit the lock (9) of scripts/services.
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@" 9>&-
}

# need 'TEST' 'PACKAGES' WHY: installs the packages if the test (a shell command) fails.
need() {
  if eval "$1" >/dev/null 2>&1; then
    return
  fi
  if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
    fail "missing: $2 ($3)" \
      "Install it (Debian, as root: apt-get install --no-install-recommends $2) and run this again."
  fi
  say "installing $2 ($3)"
  local log
  log=$(mktemp)
  # shellcheck disable=SC2086
  if ! apt_install $2 >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    fail "apt-get could not install $2; its last words are above." "Mend that, or install it by hand."
  fi
  rm -f "$log"
  eval "$1" >/dev/null 2>&1 || fail "$2 is installed, but this still fails: $1" "Is another version first in PATH?"
}
