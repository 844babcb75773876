# shellcheck shell=bash
# PostgreSQL as in production: fsync and synchronous_commit on, passwords checked (scram). A cluster of our own; what
# apt may have started on port 5432 is neither touched nor used. Tests make their databases, schemas and roles.

postgres_bin() { # the newest that Debian has, else what is in PATH
  local bin
  bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
  if [ -x "$bin/initdb" ]; then
    echo "$bin"
  else
    bin=$(command -v initdb) && dirname "$(readlink -f "$bin")"
  fi
}

postgres_install() {
  need 'postgres_bin && command -v psql' postgresql "the PostgreSQL store is tested on the real server"
}

postgres_user() {
  if [ "$(id -u)" = 0 ] && id postgres >/dev/null 2>&1; then echo postgres; else echo nobody; fi
}

postgres_launch() {
  local bin user data version
  bin=$(postgres_bin)
  user=$(postgres_user)
  data=$(data_folder postgres "$user")
  version=$("$bin/postgres" --version | sed 's/.* \([0-9]*\)[.].*/\1/')
  if [ ! -s "$folder/postgres/password" ]; then
    (umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$folder/postgres/password")
  fi
  # One cluster per major version, because none reads the other's files. Whole or not at all: made aside, then moved.
  if [ ! -d "$data/$version" ]; then
    rm -rf "$data/new"
    as "$user" tee "$data/password" <"$folder/postgres/password" >/dev/null
    as "$user" "$bin/initdb" --pgdata="$data/new" --username=rivvi --pwfile="$data/password" \
      --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 >"$folder/postgres/initdb.log" 2>&1 ||
      { cat "$folder/postgres/initdb.log" >&2 && fail "initdb could not make $data/new; its words are above"; }
    rm -f "$data/password"
    mv "$data/new" "$data/$version"
  fi
  postgres_forget_dead "$data/$version/postmaster.pid"
  launch postgres postgres "$user" "$bin/postgres" -D "$data/$version" -p "$(cat "$folder/postgres/port")" \
    -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
    -c max_connections=300 -c shared_buffers=256MB -c shared_preload_libraries=pg_stat_statements \
    -c fsync=on -c synchronous_commit=on -c full_page_writes=on -c timezone=UTC -c log_timezone=UTC
}

# PostgreSQL takes the zombie of a killed server for a living one, and containers often have nobody to reap it.
postgres_forget_dead() {
  local pid
  pid=$(head -n 1 "$1" 2>/dev/null) || return 0
  began "$pid" >/dev/null || rm -f "$1"
}

postgres_ready() {
  psql --no-psqlrc --quiet --dbname "$(postgres_url)" --command 'SELECT 1'
}

postgres_url() {
  echo "postgres://rivvi:$(cat "$folder/postgres/password")@127.0.0.1:$(cat "$folder/postgres/port")/postgres"
}

# SIGINT is PostgreSQL's fast shutdown: it ends sessions rather than wait for them.
postgres_stop_signal() { echo INT; }
