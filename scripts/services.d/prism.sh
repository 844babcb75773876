# shellcheck shell=bash
# Vendors' APIs as Prism, from npm, plays them by the vendors' own OpenAPI documents: it refuses what a document does not
# allow and answers with what it promises. It knows no calls and no messages. `prism` is Retell.

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

prism_twilio_install() { prism_install; }
prism_vonage_install() { prism_install; }

# prism_play NAME DOCUMENT
prism_play() {
  launch "$1" "$1" "$(id -un)" node "$(prism_home)/node_modules/.bin/prism" mock --host 127.0.0.1 \
    --port "$(cat "$folder/$1/port")" "$root/$2"
}

prism_launch() { prism_play prism rivvi-providers/retell/tests/data/openapi.yaml; }
prism_twilio_launch() { prism_play prism-twilio rivvi-providers/sms/tests/data/twilio.yaml; }
prism_vonage_launch() { prism_play prism-vonage rivvi-providers/sms/tests/data/vonage-sms.yaml; }

# Any answer will do: without a key, or for a path that the document does not have, it is a refusal.
prism_answers() {
  curl --silent --max-time 5 --output /dev/null "$(call url "$1")/get-concurrency"
}

prism_ready() { prism_answers prism; }
prism_twilio_ready() { prism_answers prism-twilio; }
prism_vonage_ready() { prism_answers prism-vonage; }

prism_address() { echo "http://127.0.0.1:$(cat "$folder/$1/port")"; }
prism_url() { prism_address prism; }
prism_twilio_url() { prism_address prism-twilio; }
prism_vonage_url() { prism_address prism-vonage; }

prism_stop_signal() { echo TERM; }
prism_twilio_stop_signal() { echo TERM; }
prism_vonage_stop_signal() { echo TERM; }
