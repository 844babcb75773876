# shellcheck shell=bash
# Retell's own SDK for Python, from PyPI in a virtual environment, behind a small server that signs webhooks with it and
# checks requests and answers by its types.

retell_sdk_package='retell-sdk==6.2.13'

retell_sdk_home() {
  echo "$installed/retell-sdk-${retell_sdk_package##*=}"
}

retell_sdk_install() {
  need 'command -v curl' curl "to ask servers whether they are up"
  if [ -x "$(retell_sdk_home)/bin/python" ] && "$(retell_sdk_home)/bin/python" -c 'import retell' 2>/dev/null; then
    return
  fi
  need 'python3 -c "import venv, ensurepip"' 'python3 python3-venv' "Retell's SDK is written in Python"
  say "retell-sdk: installing $retell_sdk_package from PyPI"
  local home log
  home=$(retell_sdk_home) log=$(retell_sdk_home).log
  # Made in place, because a virtual environment cannot be moved; the check above finds a half of one.
  rm -rf "$home"
  if ! { python3 -m venv "$home" &&
    "$home/bin/pip" install --quiet --disable-pip-version-check "$retell_sdk_package"; } >"$log" 2>&1 9>&-; then
    tail -n 20 "$log" >&2
    rm -rf "$home"
    fail "pip could not install $retell_sdk_package; its last words are above." "Is PyPI reachable?"
  fi
  rm -f "$log"
}

retell_sdk_launch() {
  launch retell-sdk retell-sdk "$(id -un)" "$(retell_sdk_home)/bin/python" \
    "$root/rivvi-providers/retell/tests/vendor/sdk.py" "$(cat "$folder/retell-sdk/port")"
}

retell_sdk_ready() {
  curl --silent --fail --max-time 5 --output /dev/null "$(retell_sdk_url)/"
}

retell_sdk_url() {
  echo "http://127.0.0.1:$(cat "$folder/retell-sdk/port")"
}

retell_sdk_stop_signal() { echo TERM; }
