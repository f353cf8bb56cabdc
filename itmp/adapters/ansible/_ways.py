"""How each host is reached: its connection plugin, and for ssh the name, port, user, key and jumps on the way.

Rules kept here: the way is settled when the plan is made and frozen as the artifact `inventory/ways.json`, which is
what ssh gets at the run; of an inventory's ssh arguments, and of those of an ansible.cfg where it has none, jumps and
options that are data are taken, and what the plan decides itself is named or needs no word. All others are problems; of
an ansible.cfg those alone by which ssh would go another way, the rest is named. The user's ssh configuration counts
only where `ssh_config` in itmp.yml names it, or where there is none a file of the workspace that `-F` of an ansible.cfg
names; it is read by stock `ssh -G` in the same way, and may not run commands: quotes, which ssh takes away from a word
wherever they stand, hide none, and what reads it finds the state closed like any child. What else it sets is named.
Every hop is known by a pinned key like any host.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from itmp.adapters.ansible import _ssh_options
from itmp.adapters.ansible._ssh_files import PORT, SAFE, TAKEN, Configuration, Configurations, Hop, Place, few
from itmp.adapters.ansible._ssh_options import Arguments, Option
from itmp.adapters.ansible._tasks import core
from itmp.errors import ToolMissingError

_PACKAGES: Final[Mapping[str, tuple[str, str]]] = {
    "winrm": ("winrm", "pywinrm"),
    "psrp": ("pypsrp", "pypsrp"),
    "ansible.netcommon.netconf": ("ncclient", "ncclient"),
    "ansible.netcommon.libssh": ("pylibsshext", "ansible-pylibssh"),
    "community.docker.docker_api": ("docker", "docker"),
    "kubernetes.core.kubectl": ("kubernetes", "kubernetes"),
}
"""What connection plugins import when they connect: module and the package that holds it."""
_PLUGIN_DO: Final = (
    "Put its collection into collections/, or the plugin into connection_plugins/ beside the playbooks."
)
_DECIDES: Final = "ssh enters hosts by key and asks nobody, and the plan's pinned keys count"
_ALONE: Final = "the plan alone gives ssh its arguments"
_LEADS: Final = _ssh_options.JUMPS | {_ssh_options.CONFIG, _ssh_options.UNREADABLE}
"""Arguments without which ssh would go another way than the project's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How one host is reached: by which connection plugin, over which hops; `end` says where ssh's alias leads.

    `options` are those of ssh to the host itself; each hop has its own.
    """

    connection: str = "ssh"
    via: tuple[Hop, ...] = ()
    end: Hop | None = None
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """The ways of all hosts that are not reached by plain ssh; `unpinned` hosts are reached without a pinned key."""

    of: Mapping[str, Way]
    unpinned: tuple[str, ...] = ()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Ways":
        """Read the artifact; nothing means plain ssh for every host."""
        if not data:
            return cls(of={})
        value = json.loads(data)
        return cls(
            of={name: _way(one) for name, one in value["hosts"].items()}, unpinned=tuple(value["unpinned"])
        )

    def to_bytes(self) -> bytes:
        """Return the artifact's one encoding; nothing where every host is reached by plain ssh."""
        if not self.of and not self.unpinned:
            return b""
        value = {
            "hosts": {name: _plain(asdict(way)) for name, way in self.of.items()},
            "unpinned": list(self.unpinned),
        }
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """How hosts are reached: `refused` cannot be honoured, by host; `weak` hosts ask for no check of their keys.

    `misled` are arguments of an ansible.cfg that cannot be honoured, and the hosts that would be reached by them.
    `notes` are for the approver.
    """

    ways: Mapping[str, Way]
    refused: Mapping[str, tuple[str, ...]]
    weak: frozenset[str]
    notes: tuple[str, ...]
    misled: Mapping[str, str] = field(default_factory=dict)


def settle(
    hosts: Iterable[Mapping[str, Any]], user_config: Path | None, place: Place | None = None
) -> Settled:
    """Return how `hosts` (the parser's entries) are reached; `place` is that of the project's ansible.cfg."""
    read = Configurations(user_config, place)
    ways: dict[str, Way] = {}
    refused: dict[str, tuple[str, ...]] = {}
    misled: dict[str, list[str]] = {}
    noted: dict[str, list[str]] = {}
    weak = set()
    for host in hosts:
        name, plugin = str(host["name"]), core(str(host["connection"]))
        ssh = plugin in {"ssh", "smart"}
        asked = _ssh_options.arguments(host["ssh_args"] if ssh else "")
        theirs = _ssh_options.arguments(host.get("config_args", "") if ssh else "")
        if wrong := tuple((Counter(asked.refused) - Counter(theirs.refused)).elements()):
            refused[name] = wrong
        if asked.weakens:
            weak.add(name)
        for one in dict.fromkeys(asked.decided):
            noted.setdefault(f"the ssh argument {one} is not honoured: {_DECIDES}", []).append(name)
        for one in dict.fromkeys(theirs.refused):
            if one in _LEADS and not (one == _ssh_options.CONFIG and read.honours(theirs.config)):
                misled.setdefault(one, []).append(name)
            elif one not in _LEADS:
                noted.setdefault(f"the ssh argument {one} is not honoured: {_ALONE}", []).append(name)
        way = _way_of(host, plugin, asked, read.of(theirs.config))
        if way != Way():
            ways[name] = way
    return Settled(
        ways=ways,
        refused=refused,
        weak=frozenset(weak),
        notes=(*(f"{what}: {few(of)}" for what, of in noted.items()), *read.unused()),
        misled={one: few(of) for one, of in misled.items()},
    )


def _way_of(host: Mapping[str, Any], plugin: str, asked: Arguments, known: Configuration) -> Way:
    if plugin not in {"ssh", "smart"}:
        return Way(connection=plugin)
    address = str(host["address"])
    end = None
    if TAKEN & known.of(address).keys():
        end = known.hop(address, port=host["port"] if host["port"] != PORT else None)
    return Way(
        via=known.over(asked.jumps or known.jumps(address)),
        end=replace(end, options=()) if end else None,
        options=_ssh_options.merged((*asked.options, *known.options(address))),
    )


def unsafe(way: Way) -> str:
    """Return the text of a way that cannot stand in a configuration; empty when all can."""
    for hop in (*way.via, *([way.end] if way.end else [])):
        files = ((key, _ssh_options.FILE) for key in hop.keys)
        for text, form in ((hop.host, SAFE), (hop.user or "x", SAFE), *files):
            if not form.match(text) or text.startswith("-"):
                return text
    options = (*way.options, *(one for hop in way.via for one in hop.options))
    return next(_ssh_options.unfit(options), "")


def require(ways: Ways, unknown: Iterable[str] = ()) -> None:
    """Raise `ToolMissingError` unless every connection plugin that is used can work here, before anything is begun."""
    used = {way.connection: name for name, way in sorted(ways.of.items(), reverse=True)}
    for plugin, host in sorted(used.items()):
        module, package = _PACKAGES.get(plugin, ("", ""))
        if plugin in set(unknown):
            raise ToolMissingError(
                f"the connection plugin {plugin:.80} is not there", where=f"host {host}", do=_PLUGIN_DO
            )
        if module and find_spec(module) is None:
            raise ToolMissingError(
                f"the connection {plugin:.80} needs the Python package {package}",
                where=f"host {host}",
                do=f"pip install {package}",
            )


def told(way: Way) -> str:
    """Return a way as one line for the approver."""
    if way.connection not in {"ssh", "smart"}:
        return way.connection
    hops = ", ".join(_place(hop) for hop in (*way.via, *([way.end] if way.end else [])))
    return f"ssh{' over ' if hops else ''}{hops}{_said(way.options)}"


def _place(hop: Hop) -> str:
    keys = f" with {' '.join(hop.keys)}" if hop.keys else ""
    return f"{hop.user}{'@' if hop.user else ''}{hop.host}:{hop.port}{keys}{_said(hop.options)}"


def _said(options: tuple[Option, ...]) -> str:
    return "".join(f"; {name} {value}" for name, value in options)


def _plain(value: Any) -> Any:
    """Return a way as a plan writes it: one without options as before there were any."""
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items() if name != "options" or inner}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _way(value: Mapping[str, Any]) -> Way:
    return Way(
        connection=value["connection"],
        via=tuple(_hop(one) for one in value["via"]),
        end=_hop(value["end"]) if value["end"] else None,
        options=_read(value),
    )


def _hop(value: Mapping[str, Any]) -> Hop:
    host, port, user, keys = (value[name] for name in ("host", "port", "user", "keys"))
    return Hop(host=host, port=port, user=user, keys=tuple(keys), options=_read(value))


def _read(value: Mapping[str, Any]) -> tuple[Option, ...]:
    return tuple((name, text) for name, text in value.get("options", ()))
