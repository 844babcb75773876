# shellcheck shell=bash
# The vendors' own SDKs for Python, from PyPI in a virtual environment, behind a small server that signs and verifies with
# them and checks requests and answers by their types. What it can do is in the `sdk.py` of each provider's tests.

vendor_sdks_packages=('retell-sdk==6.2.13' 'twilio==9.13.0' 'vonage==4.9.1')

vendor_sdks_home() {
  local versions=("${vendor_sdks_packages[@]##*=}")
  local IFS=-
  echo "$installed/vendor-sdks-${versions[*]}"
}

vendor_sdks_install() {
  need 'command -v curl' curl "to ask servers whether they are up"
  local home log
  home=$(vendor_sdks_home) log=$(vendor_sdks_home).log
  if [ -x "$home/bin/python" ] && "$home/bin/python" -c 'import retell, twilio, vonage' 2>/dev/null; then
    return
  fi
  need 'python3 -c "import venv, ensurepip"' 'python3 python3-venv' "the vendors' SDKs are written in Python"
  say "vendor-sdks: installing ${vendor_sdks_packages[*]} from PyPI"
  # Made in place, because a virtual environment cannot be moved; the check above finds a half of one.
  rm -rf "$home"
  if ! { python3 -m venv "$home" &&
    "$home/bin/pip" install --quiet --disable-pip-version-check "${vendor_sdks_packages[@]}"; } >"$log" 2>&1 9>&-; then
    tail -n 20 "$log" >&2
    rm -rf "$home"
    fail "pip could not install ${vendor_sdks_packages[*]}; its last words are above." "Is PyPI reachable?"
  fi
  rm -f "$log"
}

vendor_sdks_launch() {
  launch vendor-sdks vendor-sdks "$(id -un)" "$(vendor_sdks_home)/bin/python" \
    "$root/scripts/services.d/vendor-sdks/server.py" "$(cat "$folder/vendor-sdks/port")" \
    "retell=$root/rivvi-providers/retell/tests/vendor/sdk.py" "sms=$root/rivvi-providers/sms/tests/vendor/sdk.py"
}

vendor_sdks_ready() {
  curl --silent --fail --max-time 5 --output /dev/null "$(vendor_sdks_url)/"
}

vendor_sdks_url() {
  echo "http://127.0.0.1:$(cat "$folder/vendor-sdks/port")"
}

vendor_sdks_stop_signal() { echo TERM; }
