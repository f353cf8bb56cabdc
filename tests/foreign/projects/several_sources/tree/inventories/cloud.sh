#!/bin/sh
[ "$1" = --list ] || exit 9
cat <<'END'
{
  "rented": {"hosts": ["web3"], "vars": {"scheme": "http", "zone": "north"}},
  "lb": {"hosts": ["lb1"], "vars": {"zone": "south"}},
  "_meta": {"hostvars": {
    "web3": {"ansible_host": "address of web3", "ansible_port": port of web3, "host_root": "root of web3", "tier": "front"},
    "lb1": {"ansible_host": "address of lb1", "ansible_port": port of lb1, "host_root": "root of lb1"}
  }}
}
END
