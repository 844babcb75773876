# shellcheck shell=bash
# S3, Amazon Polly and Amazon SES as moto plays them, from PyPI in a virtual environment. In memory: tests make their
# buckets and verify their senders. Any credentials will do.

s3_package='moto[server,s3]==5.2.5'

s3_home() {
  echo "$installed/moto-${s3_package##*=}"
}

s3_install() {
  need 'command -v curl' curl "to ask DynamoDB Local and the S3 server whether they are up"
  if [ -x "$(s3_home)/bin/moto_server" ] && "$(s3_home)/bin/python" -c 'import moto.server' 2>/dev/null; then
    return
  fi
  need 'python3 -c "import venv, ensurepip"' 'python3 python3-venv' "the S3 server is written in Python"
  say "s3: installing $s3_package from PyPI"
  local home log
  home=$(s3_home) log=$(s3_home).log
  # Made in place, because a virtual environment cannot be moved; the check above finds a half of one.
  rm -rf "$home"
  if ! { python3 -m venv "$home" &&
    "$home/bin/pip" install --quiet --disable-pip-version-check "$s3_package"; } >"$log" 2>&1 9>&-; then
    tail -n 20 "$log" >&2
    rm -rf "$home"
    fail "pip could not install $s3_package; its last words are above." "Is PyPI reachable?"
  fi
  rm -f "$log"
}

s3_launch() {
  launch s3 s3 "$(id -un)" "$(s3_home)/bin/moto_server" --host 127.0.0.1 --port "$(cat "$folder/s3/port")"
}

s3_ready() {
  curl --silent --fail --max-time 5 --output /dev/null "$(s3_url)/moto-api/data.json"
}

s3_url() {
  echo "http://127.0.0.1:$(cat "$folder/s3/port")"
}

s3_stop_signal() { echo TERM; }
