#!/usr/bin/env bash
# Install the Debian packages that the lab and the tests use, and those named as arguments (PROGRAM=PACKAGE, or one name for
# both), when we may; otherwise say what to run.
set -euo pipefail
need=()
want() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || need+=("$2"); }
want ssh-keygen openssh-client
want sshd openssh-server
want openssl openssl
want ip iproute2
want mmdebstrap mmdebstrap
want dpkg-scanpackages dpkg-dev
want pgrep procps
want strace strace
want rsync rsync
want podman podman
want runc runc
want sudo sudo
for program in "$@"; do want "${program%%=*}" "${program#*=}"; done
[ ${#need[@]} -eq 0 ] && exit 0
command_line="apt-get install -y --no-install-recommends ${need[*]}"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "installing: ${need[*]}" >&2
  apt-get update -qq
  # A test machine needs no second ssh server: keep the package from starting one.
  printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d.itmp && chmod +x /usr/sbin/policy-rc.d.itmp
  kept=; [ -e /usr/sbin/policy-rc.d ] && kept=1 || mv /usr/sbin/policy-rc.d.itmp /usr/sbin/policy-rc.d
  trap '[ -n "$kept" ] || rm -f /usr/sbin/policy-rc.d; rm -f /usr/sbin/policy-rc.d.itmp' EXIT
  DEBIAN_FRONTEND=noninteractive $command_line -qq >/dev/null
else
  echo "Some tests and the namespace lab need system packages. Run as root:" >&2
  echo "  $command_line" >&2
fi
