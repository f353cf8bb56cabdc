#!/usr/bin/env bash
# Install the Debian packages of the services that `make test-catalog` runs for real, when we may; otherwise say what to run.
set -euo pipefail
need=()
want() { command -v "$1" >/dev/null 2>&1 || [ -x "$1" ] || [ -x "/usr/sbin/$1" ] || need+=("$2"); }
want haproxy haproxy
want named bind9
want named-checkzone bind9-utils
want dig bind9-dnsutils
want /usr/lib/postgresql/15/bin/initdb postgresql-15
want openssl openssl
want cron cron
[ ${#need[@]} -eq 0 ] && exit 0
command_line="apt-get install -y --no-install-recommends ${need[*]}"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "installing: ${need[*]}" >&2
  apt-get update -qq
  # The tests start their own servers: keep the packages from starting any.
  kept=/usr/sbin/policy-rc.d
  if [ ! -e "$kept" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$kept" && chmod +x "$kept"
    trap 'rm -f "$kept"' EXIT
  fi
  DEBIAN_FRONTEND=noninteractive $command_line -qq >/dev/null
else
  echo "The catalog's tests run real services. Install them as root:" >&2
  echo "  $command_line" >&2
  exit 1
fi
