"""A small world for plans: hosts and playbooks held in memory.

Rules kept here: it keeps the contract of `Sources` (same world, same facts; problems name the place) and,
like the real one, refuses what does not exist. Patterns are a host, a group, `all`, or several of them
joined by `:`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from itmp import canonical
from itmp.errors import InvalidInputError
from itmp.plan.model import ExpectedTask, Host
from itmp.plan.sources import Facts, InventoryFacts, Needs, PlayFacts, PlayNeed

_HOSTS = re.compile(rb'^\s*(?:- )?hosts: "?([^"\n]+)"?$', re.MULTILINE)
_ACTION = re.compile(r"^\s+(?:- )?([a-z_]+\.[a-z_]+\.[a-z_]+):")


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeSources:
    """`hosts` maps a host to its groups, `playbooks` a catalog name to YAML bytes.

    `addresses` overrides a host's address (by default 10.0.0.N). `opaque`, `outside` and `delegates` map a
    step id to what the parser shall report for it.
    """

    hosts: Mapping[str, tuple[str, ...]]
    playbooks: Mapping[str, bytes] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)
    opaque: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    outside: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    delegates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=lambda: {"ansible-core": "2.19.0"})

    def gather(self, needs: Needs) -> Facts:
        """Return the facts for `needs`; raise `InvalidInputError` for a playbook that is not there."""
        artifacts = {"inventory/snapshot.json": self._snapshot()}
        plays: dict[str, PlayFacts] = {}
        for need in needs.plays:
            data = need.rendered or self.playbooks.get(need.playbook)
            if data is None:
                message = f"no playbook {need.playbook!r} in the catalog"
                raise InvalidInputError(message, where=need.mark, do="Add it under playbooks/.")
            path = f"project/playbooks/{need.playbook}.yml"
            artifacts[path] = data
            plays[need.id] = self._play(need, path, data)
        return Facts(
            inventory=self._inventory(needs), plays=plays, artifacts=artifacts, versions=self.versions
        )

    def _play(self, need: PlayNeed, path: str, data: bytes) -> PlayFacts:
        patterns = [found.decode() for found in _HOSTS.findall(data)]
        named = {host for pattern in patterns for host in self._match(pattern)}
        acted = named & set(self._match(need.pattern)) if need.pattern else named
        return PlayFacts(
            playbook=path,
            hosts=tuple(host for host in self.hosts if host in acted),
            expected=tuple(_expected(path, data.decode())),
            delegates=self.delegates.get(need.id, ()),
            opaque=self.opaque.get(need.id, ()),
            outside=self.outside.get(need.id, ()),
        )

    def _inventory(self, needs: Needs) -> InventoryFacts:
        return InventoryFacts(
            sources=("inventories/test.yml",),
            snapshot=self._snapshot(),
            hosts=tuple(self._host(number, name) for number, name in enumerate(self.hosts, 1)),
            patterns={pattern: self._match(pattern) for pattern in needs.patterns},
        )

    def _host(self, number: int, name: str) -> Host:
        address = self.addresses.get(name, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        groups = (*self.hosts[name], "all")
        return Host(
            name=name, address=address, port=22, groups=groups, vars=canonical.digest(address.encode())
        )

    def _match(self, pattern: str) -> tuple[str, ...]:
        words = set(pattern.split(":"))
        return tuple(
            name for name, groups in self.hosts.items() if words & {name, "all", *groups} - ({"all"} - words)
        )

    def _snapshot(self) -> bytes:
        value: dict[str, Any] = {name: {"groups": list(groups)} for name, groups in self.hosts.items()}
        return json.dumps(value, sort_keys=True).encode()


def _expected(path: str, text: str) -> list[ExpectedTask]:
    found = [(line, _ACTION.match(row)) for line, row in enumerate(text.splitlines(), 1)]
    return [
        ExpectedTask(path=path, line=line, action=hit[1], name=f"task {line}") for line, hit in found if hit
    ]
