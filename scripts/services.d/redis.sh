# shellcheck shell=bash
# Redis three times: a single server, a cluster of three masters, and a master with replica and sentinel. Nothing is kept
# across a restart, because a limiter must bear that. The URLs are written as the `fred` client reads them.

redis_install() {
  need 'command -v redis-server && command -v redis-cli' redis-server "the Redis limiter is tested on the real server"
}
redis_cluster_install() { redis_install; }
redis_sentinel_install() { redis_install; }

redis_user() {
  if [ "$(id -u)" = 0 ] && id redis >/dev/null 2>&1; then echo redis; else echo nobody; fi
}

# node NAME PORT OPTION...: one Redis process of the service.
redis_node() {
  local name=$1 port=$2 user data
  shift 2
  user=$(redis_user)
  data=$(data_folder "$name" "$user")
  rm -f "$data"/*.rdb # left by replication
  launch "$name" "redis-$port" "$user" redis-server --port "$port" --bind 127.0.0.1 --dir "$data" \
    --save '' --appendonly no "$@"
}

redis_port() { cat "$folder/$1/port"; }
redis_ask() { redis-cli -h 127.0.0.1 -p "$@"; }

redis_launch() {
  redis_node redis "$(redis_port redis)"
}
redis_ready() {
  [ "$(redis_ask "$(redis_port redis)" PING)" = PONG ]
}
redis_url() {
  echo "redis://127.0.0.1:$(redis_port redis)"
}

redis_cluster_launch() {
  local first port
  first=$(redis_port redis-cluster)
  rm -f "$(data_folder redis-cluster "$(redis_user)")"/nodes-*.conf # who holds what is agreed anew
  for ((port = first; port < first + 3; port++)); do
    redis_node redis-cluster "$port" --cluster-enabled yes --cluster-config-file "nodes-$port.conf" \
      --cluster-node-timeout 2000
  done
}
# Brings the nodes together on the way: the first takes the first third of the slots, and so on.
redis_cluster_ready() {
  local first port slot
  first=$(redis_port redis-cluster)
  for ((port = first; port < first + 3; port++)); do
    [ "$(redis_ask "$port" PING)" = PONG ] || return 1
  done
  for ((port = first; port < first + 3; port++)); do
    slot=$(((port - first) * 5461))
    if redis_ask "$port" CLUSTER INFO | grep -q '^cluster_slots_assigned:0'; then
      redis_ask "$port" CLUSTER ADDSLOTSRANGE "$slot" "$((port == first + 2 ? 16383 : slot + 5460))"
    fi
    redis_ask "$first" CLUSTER NODES | grep -q "127.0.0.1:$port@\|:$port@.*myself" ||
      redis_ask "$first" CLUSTER MEET 127.0.0.1 "$port"
  done
  for ((port = first; port < first + 3; port++)); do
    redis_ask "$port" CLUSTER INFO | grep -q '^cluster_state:ok' || return 1
    [ "$(redis_ask "$port" CLUSTER NODES | grep -c ' connected [0-9]')" = 3 ] || return 1
  done
}
redis_cluster_url() {
  local port
  port=$(redis_port redis-cluster)
  echo "redis-cluster://127.0.0.1:$port?node=127.0.0.1:$((port + 1))&node=127.0.0.1:$((port + 2))"
}

redis_sentinel_launch() {
  local port user data config
  port=$(redis_port redis-sentinel) user=$(redis_user)
  data=$(data_folder redis-sentinel "$user")
  redis_node redis-sentinel "$((port + 1))" --repl-diskless-sync-delay 0
  redis_node redis-sentinel "$((port + 2))" --repl-diskless-sync-delay 0 --replicaof 127.0.0.1 "$((port + 1))"
  config=$data/sentinel.conf # the sentinel writes into it what it learns
  as "$user" tee "$config" >/dev/null <<CONFIG
port $port
bind 127.0.0.1
dir $data
sentinel monitor rivvi 127.0.0.1 $((port + 1)) 1
sentinel down-after-milliseconds rivvi 1000
sentinel failover-timeout rivvi 3000
sentinel known-replica rivvi 127.0.0.1 $((port + 2))
CONFIG
  launch redis-sentinel sentinel "$user" redis-server "$config" --sentinel
}
redis_sentinel_ready() {
  local port
  port=$(redis_port redis-sentinel)
  redis_ask "$((port + 2))" INFO replication | tr -d '\r' | grep -qx 'master_link_status:up' &&
    redis_ask "$port" INFO sentinel | grep -q 'name=rivvi,status=ok,.*slaves=1'
}
redis_sentinel_url() {
  echo "redis-sentinel://127.0.0.1:$(redis_port redis-sentinel)?sentinelServiceName=rivvi"
}

redis_stop_signal() { echo TERM; }
redis_cluster_stop_signal() { echo TERM; }
redis_sentinel_stop_signal() { echo TERM; }
