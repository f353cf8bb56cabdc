#!/bin/sh
# Builds the agent's package in each version that is given, into a folder.
set -e
store=$1
shift
for version; do
  work=$(mktemp -d)
  mkdir -p "$work/DEBIAN" "$work/etc/init.d" "$work/etc/agent" "$work/usr/sbin"
  cat >"$work/DEBIAN/control" <<END
Package: agent
Version: $version
Architecture: all
Maintainer: Operations <ops@example.com>
Depends: itmp-lib (>= 1.0)
Description: waits
END
  echo /etc/agent/agent.conf >"$work/DEBIAN/conffiles"
  echo "version=$version" >"$work/etc/agent/agent.conf"
  printf '#!/bin/sh\nexec sleep 8640%s\n' "${version#*.}" >"$work/usr/sbin/agentd"
  cat >"$work/etc/init.d/agent" <<'END'
#!/bin/sh
### BEGIN INIT INFO
# Provides:          agent
# Required-Start:    $remote_fs
# Required-Stop:     $remote_fs
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: waits
### END INIT INFO
. /lib/lsb/init-functions
pid=/run/agent.pid
case "$1" in
  start) status_of_proc -p $pid sleep agent >/dev/null ||
    start-stop-daemon --start --background --make-pidfile --pidfile $pid --startas /usr/sbin/agentd ;;
  stop) start-stop-daemon --stop --oknodo --retry TERM/10/KILL/5 --remove-pidfile --pidfile $pid ;;
  restart) "$0" stop && "$0" start ;;
  status) status_of_proc -p $pid sleep agent ;;
  *) exit 2 ;;
esac
END
  chmod 755 "$work/etc/init.d/agent" "$work/usr/sbin/agentd"
  dpkg-deb --build --root-owner-group "$work" "$store/agent_${version}_all.deb"
  rm -r "$work"
done
