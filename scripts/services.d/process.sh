# shellcheck shell=bash
# Server processes: started detached, known by a pid file that holds the pid and when that process began, so that a
# stale file never makes us touch a stranger who has the same pid.

# began PID: the process's start, in ticks since boot; fails when there is none. A zombie counts as gone.
began() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  # shellcheck disable=SC2086
  set -- ${stat##*) } # the command's name may hold spaces, so count behind it
  [ "$1" != Z ] && echo "${20}"
}

# alive PIDFILE
alive() {
  local pid since
  read -r pid since <"$1" 2>/dev/null && [ "$(began "$pid" || true)" = "$since" ]
}

# running NAME: every process of the service is alive.
running() {
  local file found=
  for file in "$folder/$1"/*.pid; do
    [ -e "$file" ] || continue
    alive "$file" || return 1
    found=yes
  done
  [ -n "$found" ]
}

# as USER COMMAND...: as that user if we are root, else as ourselves.
as() {
  local user=$1
  shift
  if [ "$(id -u)" = 0 ]; then
    (cd / && exec setpriv "--reuid=$user" "--regid=$(id -g "$user")" --init-groups --inh-caps=-all -- "$@")
  else
    "$@"
  fi
}

# launch NAME PROCESS USER COMMAND...: detached, in its own session, logging to PROCESS.log.
launch() {
  local service=$folder/$1 process=$2 user=$3 pid prefix=()
  shift 3
  if [ "$(id -u)" = 0 ] && [ "$user" != root ]; then
    prefix=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --init-groups --inh-caps=-all --)
  fi
  [ ! -e "$service/$process.log" ] || mv -f "$service/$process.log" "$service/$process.log.old"
  # Each of these replaces itself by the next (setsid forks only as a group leader, which a script's job is not), so $!
  # is the server.
  (
    cd "$service"
    close_inherited
    exec setsid "${prefix[@]}" "$@" >"$process.log" 2>&1 </dev/null
  ) &
  pid=$!
  disown
  echo "$pid $(began "$pid" || echo gone)" >"$service/$process.pid"
}

# Our lock, and pipes of whoever called us: they would wait for the server to end.
close_inherited() {
  local fd
  for fd in "/proc/$BASHPID/fd/"*; do
    fd=${fd##*/}
    if [ "$fd" -gt 2 ]; then
      exec {fd}>&-
    fi
  done
}

# await NAME: until it answers, two minutes at most; false, with the end of its logs, when it dies or stays silent.
await() {
  local deadline=$((SECONDS + 120)) log
  while [ "$SECONDS" -lt "$deadline" ] && running "$1"; do
    if call ready "$1" >/dev/null 2>&1 9>&- && running "$1"; then
      return
    fi
    sleep 0.1
  done
  for log in "$folder/$1"/*.pid; do
    log=${log%.pid}.log
    printf -- '-- %s\n' "$log" >&2
    tail -n 20 "$log" >&2
  done
  return 1
}

# end NAME TERM|KILL: stops every process of the service and waits until they are gone.
end() {
  local name=$1 signal=$2 file pid since child children
  for file in "$folder/$name"/*.pid; do
    [ -e "$file" ] || continue
    if alive "$file"; then
      read -r pid since <"$file"
      if [ "$signal" = TERM ]; then
        kill -"$(call stop_signal "$name")" "$pid"
        gone "$pid" "$since" 300 || signal=KILL
      fi
      if [ "$signal" = KILL ]; then
        # Children too: those of PostgreSQL would hold its shared memory for a moment longer.
        children=$(cat "/proc/$pid/task/"*/children 2>/dev/null || true)
        # shellcheck disable=SC2086
        kill -KILL "$pid" $children 2>/dev/null || true
        for child in $children; do
          gone "$child" "$(began "$child" || true)" 100 || true
        done
        gone "$pid" "$since" 100 || fail "$name (pid $pid) does not die; look at /proc/$pid/stack"
      fi
    fi
    rm -f "$file"
  done
}

# gone PID SINCE TENTHS: waits so long for that process to end.
gone() {
  local tenths=$3
  while [ -n "$2" ] && [ "$(began "$1" || true)" = "$2" ]; do
    [ "$((tenths--))" -gt 0 ] || return 1
    sleep 0.1
  done
}

# data_folder NAME USER: makes and prints the folder in which the service may write as that user. Usually `data` in the
# service's folder; where that user may not walk there (a clone under /root), a folder in /var/tmp that `data` links to.
data_folder() {
  local data=$folder/$1/data user=$2 elsewhere
  if [ ! -e "$data" ]; then
    rm -f "$data" # a link to nowhere
    mkdir -p "$folder/$1"
    if [ "$(id -u)" != 0 ] || as "$user" test -x "$folder/$1"; then
      mkdir "$data"
    else
      elsewhere=$(mktemp -d "/var/tmp/rivvi-$1.XXXXXX")
      ln -s "$elsewhere" "$data"
    fi
    if [ "$(id -u)" = 0 ]; then
      chown "$user:" "$data/"
    fi
    chmod 700 "$data/"
  fi
  readlink -f "$data"
}

delete_data() {
  local name=$1
  if [ -d "$folder/$name/data" ]; then
    rm -rf "$(readlink -f "$folder/$name/data")"
  fi
  rm -rf "${folder:?}/$name"
}
