# shellcheck shell=bash
# Ports. Each service has some of its own above RIVVI_SERVICES_PORT (default 21700, below the ports that Linux gives to
# outgoing connections, and so is 10000 above, where Redis Cluster talks to itself). The port chosen is remembered in
# the service's folder, so that a restart keeps it; where something else has it by then, the next hundred is tried.

port_offset() {
  case $1 in
    postgres) echo 0 ;;
    dynamodb) echo 10 ;;
    redis) echo 20 ;;
    redis-cluster) echo 30 ;;
    redis-sentinel) echo 40 ;;
    s3) echo 50 ;;
    asterisk) echo 60 ;;
    prism) echo 70 ;;
    prism-twilio) echo 72 ;;
    prism-vonage) echo 74 ;;
    vendor-sdks) echo 80 ;;
    smtp) echo 90 ;;
  esac
}

# How many ports in a row the service takes.
port_count() {
  case $1 in
    redis-cluster | redis-sentinel | smtp) echo 3 ;;
    asterisk) echo 2 ;; # HTTP, and SIP over UDP
    *) echo 1 ;;
  esac
}

occupied() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# free NAME PORT: nobody listens on the ports the service takes from there on.
free() {
  local port
  for ((port = $2; port < $2 + $(port_count "$1"); port++)); do
    if occupied "$port" || { [ "$1" = redis-cluster ] && occupied $((port + 10000)); }; then
      say "$1: port $port is taken by something else, trying the next"
      return 1
    fi
  done
}

choose_port() {
  local name=$1 remembered base try port
  remembered=$(cat "$folder/$name/port" 2>/dev/null || true)
  if [ -n "$remembered" ] && free "$name" "$remembered"; then
    echo "$remembered"
    return
  fi
  base=$((${RIVVI_SERVICES_PORT:-21700} + $(port_offset "$name")))
  for ((try = 0; try < 8; try++)); do
    port=$((base + 100 * try))
    if [ "$port" != "$remembered" ] && free "$name" "$port"; then
      echo "$port"
      return
    fi
  done
  fail "no free port for $name: $base, $((base + 100)), ... $port are all taken." \
    "Stop what listens there (ss -ltnp), or set RIVVI_SERVICES_PORT to another range."
}

port_taken_says_log() {
  grep -qi 'address already in use' "$folder/$1"/*.log
}
