# shellcheck shell=bash
# Asterisk 22 from Debian sid (no older Debian carries it), in a tree of its own that debootstrap makes. It runs from
# there by the tree's own loader, so it needs no chroot and no mounts, and paths mean to it what they mean to the tests.
#
# It is its own telephone network: the endpoint `network` has this very server as contact, so a call is a real INVITE
# with real RTP, and the number called decides what the callee does (asterisk/extensions.conf). Its call detail records
# are at URL/static/cdr.csv, with the channel's id as `uniqueid`.

asterisk_home() {
  echo "$installed/asterisk-sid-2"
}

asterisk_install() {
  need 'command -v curl' curl "to ask Asterisk whether it is up"
  need 'command -v espeak-ng' espeak-ng "the Asterisk provider's tests have texts spoken"
  local home new mirror
  home=$(asterisk_home) new=$(asterisk_home).new
  mirror=${RIVVI_DEBIAN_MIRROR:-} # debootstrap has a default
  if [ -x "$home/usr/sbin/asterisk" ]; then
    return
  fi
  if [ "$(id -u)" != 0 ]; then
    fail "debootstrap makes the tree that Asterisk runs in, and needs root" \
      "Run this once as root, or set RIVVI_TEST_ASTERISK=http://USER:PASSWORD@HOST:PORT to an Asterisk 22 of your own" \
      "with the configuration in scripts/services.d/asterisk."
  fi
  need 'command -v debootstrap && [ -e /usr/share/debootstrap/scripts/sid ]' 'debootstrap debian-archive-keyring' \
    "Asterisk 22 comes from Debian sid"
  say "asterisk: installing from ${mirror:-Debian} (about a minute, 400 MB)"
  # What a half of one may have mounted is not below: debootstrap unmounts, and we mount nothing.
  rm -rf "$new"
  if ! asterisk_build "$new" "$mirror" >"$new.log" 2>&1 9>&-; then
    tail -n 20 "$new.log" >&2
    fail "debootstrap could not install Asterisk; its last words are above (whole: $new.log)." \
      "Is the mirror of Debian reachable (RIVVI_DEBIAN_MIRROR names another)? Or set RIVVI_TEST_ASTERISK to a server of your own."
  fi
  rm -rf "$home" "$new.log"
  mv "$new" "$home"
}

# asterisk_build TREE [MIRROR]
asterisk_build() {
  set -e # the caller's `if` switches it off
  local tree=$1 inside=(chroot "$1" env -i DEBIAN_FRONTEND=noninteractive LC_ALL=C
    PATH=/usr/sbin:/usr/bin:/sbin:/bin)
  debootstrap --variant=minbase sid "$tree" ${2:+"$2"} || return
  # Nothing that is installed in the tree starts.
  printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d" && chmod 755 "$tree/usr/sbin/policy-rc.d" || return
  # A mirror may lag behind sid; its files are signed all the same.
  "${inside[@]}" apt-get -o Acquire::Check-Valid-Until=false update -qq || return
  "${inside[@]}" apt-get install -y -qq --no-install-recommends \
    asterisk asterisk-core-sounds-en asterisk-core-sounds-en-wav || return
  "${inside[@]}" apt-get clean || return
  umount -l "$tree/proc" "$tree/sys" 2>/dev/null || true
  rm -rf "$tree"/var/lib/apt/lists/* "$tree"/usr/share/{doc,man,locale,perl,snmp} || return
  [ -x "$tree/usr/sbin/asterisk" ]
}

asterisk_launch() {
  local home data loader library
  home=$(asterisk_home) data=$(data_folder asterisk "$(id -un)")
  if [ ! -s "$folder/asterisk/password" ]; then
    (umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$folder/asterisk/password")
  fi
  asterisk_configure "$home" "$data"
  loader=$(printf '%s\n' "$home"/lib*/ld-linux-*.so.* | head -n 1)
  library=$(printf '%s\n' "$home"/usr/lib/*/libc.so.6 | head -n 1)
  library=${library%/*}
  (
    ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
    launch asterisk asterisk "$(id -un)" "$loader" --library-path "$library:$library/asterisk" \
      "$home/usr/sbin/asterisk" -f -C "$data/etc/asterisk.conf"
  )
}

# asterisk_configure TREE DATA: the configuration files, with folders, ports and password filled in.
asterisk_configure() {
  local home=$1 data=$2 port file modules
  port=$(cat "$folder/asterisk/port")
  modules=$(printf '%s\n' "$home"/usr/lib/*/asterisk/modules | head -n 1)
  rm -rf "${data:?}"/{etc,share,run}
  mkdir -p "$data"/{etc,lib,run,share/static-http,log/cdr-csv,spool/recording,spool/tmp}
  # What Asterisk brings, and beside it our call detail records for its web server.
  for file in "$home"/usr/share/asterisk/*; do
    case ${file##*/} in
      static-http | sounds) ;;
      *) ln -s "$file" "$data/share/" ;;
    esac
  done
  mkdir -p "$data/share/sounds"
  # Debian's own link goes through /etc/alternatives of the tree.
  ln -s "$home"/usr/share/asterisk/sounds/en_US_f_Allison "$data/share/sounds/en"
  touch "$data/log/cdr-csv/Master.csv"
  ln -s "$data/log/cdr-csv/Master.csv" "$data/share/static-http/cdr.csv"
  # Files that it would miss aloud, and goes by its defaults without.
  for file in acl ccss cel features pjproject res_http_media_cache stasis udptl websocket_client; do
    : >"$data/etc/$file.conf"
  done
  for file in "$root"/scripts/services.d/asterisk/*.conf; do
    sed -e "s|@DATA@|$data|g" -e "s|@MODULES@|$modules|g" -e "s|@HTTP@|$port|g" -e "s|@SIP@|$((port + 1))|g" \
      -e "s|@PASSWORD@|$(cat "$folder/asterisk/password")|g" "$file" >"$data/etc/${file##*/}"
  done
}

# Its web server says 503 until it is fully booted.
asterisk_ready() {
  curl --silent --fail --max-time 5 --output /dev/null "$(asterisk_url)/ari/endpoints/PJSIP/network"
}

asterisk_url() {
  echo "http://rivvi:$(cat "$folder/asterisk/password")@127.0.0.1:$(cat "$folder/asterisk/port")"
}

asterisk_stop_signal() { echo TERM; }
