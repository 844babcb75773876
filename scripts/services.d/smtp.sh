# shellcheck shell=bash
# aiosmtpd, from PyPI in a virtual environment, behind a small program that keeps the e-mails it takes and refuses those it
# is told to. Three ports: HTTP, SMTP with STARTTLS, SMTP within TLS. In memory.

smtp_package='aiosmtpd==1.4.6'

smtp_home() {
  echo "$installed/aiosmtpd-${smtp_package##*=}"
}

smtp_install() {
  need 'command -v curl' curl "to ask servers whether they are up"
  need 'command -v openssl' openssl "the SMTP server needs a certificate"
  if [ -x "$(smtp_home)/bin/python" ] && "$(smtp_home)/bin/python" -c 'import aiosmtpd' 2>/dev/null; then
    return
  fi
  need 'python3 -c "import venv, ensurepip"' 'python3 python3-venv' "the SMTP server is written in Python"
  say "smtp: installing $smtp_package from PyPI"
  local home log
  home=$(smtp_home) log=$(smtp_home).log
  # Made in place, because a virtual environment cannot be moved; the check above finds a half of one.
  rm -rf "$home"
  if ! { python3 -m venv "$home" &&
    "$home/bin/pip" install --quiet --disable-pip-version-check "$smtp_package"; } >"$log" 2>&1 9>&-; then
    tail -n 20 "$log" >&2
    rm -rf "$home"
    fail "pip could not install $smtp_package; its last words are above." "Is PyPI reachable?"
  fi
  rm -f "$log"
}

smtp_launch() {
  local certificate=$folder/smtp/certificate.pem key=$folder/smtp/key.pem
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE \
    -keyout "$key" -out "$certificate" 2>/dev/null || fail "openssl could not make a certificate in $folder/smtp"
  launch smtp smtp "$(id -un)" "$(smtp_home)/bin/python" "$root/rivvi-providers/smtp/tests/vendor/server.py" \
    "$(cat "$folder/smtp/port")" "$certificate" "$key"
}

smtp_ready() {
  curl --silent --fail --max-time 5 --output /dev/null "$(smtp_url)/"
}

smtp_url() {
  echo "http://127.0.0.1:$(cat "$folder/smtp/port")"
}

smtp_stop_signal() { echo TERM; }
