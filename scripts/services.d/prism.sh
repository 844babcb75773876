# shellcheck shell=bash
# Retell's API as Prism, from npm, plays it by the vendor's own OpenAPI document: it refuses what the document does not
# allow and answers with what it promises. It knows no calls.

prism_version=5.14.2

prism_home() {
  echo "$installed/prism-$prism_version"
}

prism_install() {
  need 'command -v curl' curl "to ask servers whether they are up"
  if [ -x "$(prism_home)/node_modules/.bin/prism" ]; then
    return
  fi
  need 'command -v node && command -v npm' 'nodejs npm' "Prism is written in TypeScript"
  say "prism: installing @stoplight/prism-cli $prism_version from npm"
  local home log half
  home=$(prism_home) log=$(prism_home).log half=$(prism_home).half
  rm -rf "$half" "$home"
  mkdir -p "$half"
  if ! npm install --prefix "$half" --no-fund --no-audit --loglevel=error \
    "@stoplight/prism-cli@$prism_version" >"$log" 2>&1 9>&-; then
    tail -n 20 "$log" >&2
    rm -rf "$half"
    fail "npm could not install Prism; its last words are above." "Is the npm registry reachable?"
  fi
  mv "$half" "$home"
  rm -f "$log"
}

prism_launch() {
  launch prism prism "$(id -un)" node "$(prism_home)/node_modules/.bin/prism" mock --host 127.0.0.1 \
    --port "$(cat "$folder/prism/port")" "$root/rivvi-providers/retell/tests/data/openapi.yaml"
}

# Any answer will do: without a key it is 401.
prism_ready() {
  curl --silent --max-time 5 --output /dev/null "$(prism_url)/get-concurrency"
}

prism_url() {
  echo "http://127.0.0.1:$(cat "$folder/prism/port")"
}

prism_stop_signal() { echo TERM; }
