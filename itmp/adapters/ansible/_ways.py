"""How each host is reached: its connection plugin, and for ssh the name, port, user, key and jumps on the way.

Rules kept here: the way is settled when the plan is made and frozen as the artifact `inventory/ways.json`, which is
what ssh gets at the run; of an inventory's ssh arguments jumps and options that are data are taken, what the plan
decides itself is named or needs no word, all others are problems; the user's ssh configuration counts only where
`ssh_config` in itmp.yml names it, is read by stock `ssh -G` in the same way, and may not run commands: quotes, which
ssh takes away from a word wherever they stand, hide none, and what reads it finds the state closed like any child. What
else it sets is named. Every hop is known by a pinned key like any host.
"""

import json
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from itmp.adapters import supervisor
from itmp.adapters.ansible import _ssh_options
from itmp.adapters.ansible._ssh_options import Arguments, Option
from itmp.adapters.ansible._tasks import core
from itmp.errors import InvalidInputError, ToolMissingError

SAFE: Final = re.compile(r"[A-Za-z0-9_.:%@+-]+\Z")
_PORT: Final = 22
_SECONDS: Final = 20.0
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
_DATA: Final = "of options a plan takes those that are data alone"
_SHOWN: Final = 3
_NOBODY: Final = "itmp-nobody"
_TAKEN: Final = frozenset({"hostname", "port", "user", "identityfile"})
_RUNS: Final = re.compile(r"^\s*(?:match.*exec|include|knownhostscommand)", re.IGNORECASE | re.MULTILINE)
_QUOTES: Final = str.maketrans("", "", "\"'\\")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """A place that ssh connects to; empty values are ssh's own choice."""

    host: str
    port: int = _PORT
    user: str = ""
    keys: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()


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

    `notes` are for the approver.
    """

    ways: Mapping[str, Way]
    refused: Mapping[str, tuple[str, ...]]
    weak: frozenset[str]
    notes: tuple[str, ...]


def settle(hosts: Iterable[Mapping[str, Any]], user_config: Path | None) -> Settled:
    """Return how `hosts` (the parser's entries) are reached."""
    known = _Configuration(user_config)
    ways: dict[str, Way] = {}
    refused: dict[str, tuple[str, ...]] = {}
    decided: dict[str, list[str]] = {}
    weak = set()
    for host in hosts:
        name, plugin = str(host["name"]), core(str(host["connection"]))
        asked = _ssh_options.arguments(host["ssh_args"]) if plugin in {"ssh", "smart"} else Arguments()
        if asked.refused:
            refused[name] = asked.refused
        if asked.weakens:
            weak.add(name)
        for one in dict.fromkeys(asked.decided):
            decided.setdefault(one, []).append(name)
        way = _way_of(host, plugin, asked, known)
        if way != Way():
            ways[name] = way
    notes = [f"the ssh argument {one} is not honoured: {_DECIDES}: {_few(of)}" for one, of in decided.items()]
    notes += [f"ssh_config: {one} is not honoured: {_DATA}: {_few(of)}" for one, of in known.unused().items()]
    return Settled(ways=ways, refused=refused, weak=frozenset(weak), notes=tuple(notes))


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _way_of(host: Mapping[str, Any], plugin: str, asked: Arguments, known: "_Configuration") -> Way:
    if plugin not in {"ssh", "smart"}:
        return Way(connection=plugin)
    address = str(host["address"])
    end = None
    if _TAKEN & known.of(address).keys():
        end = known.hop(address, port=host["port"] if host["port"] != _PORT else None)
    return Way(
        via=known.over(asked.jumps or known.jumps(address)),
        end=replace(end, options=()) if end else None,
        options=_ssh_options.merged((*asked.options, *known.options(address))),
    )


class _Configuration:
    """The user's ssh configuration, asked of stock ssh: what it says of a name beside ssh's defaults."""

    def __init__(self, path: Path | None) -> None:
        self._path = path.expanduser() if path else None
        self._said: dict[str, dict[str, tuple[str, ...]]] = {}
        self._text = ""
        if self._path is None:
            return
        try:
            self._text = text = self._path.read_text()
        except OSError as error:
            raise InvalidInputError(f"cannot be read: {error.strerror}", where=str(path)) from error
        found = _RUNS.search(text.translate(_QUOTES))
        if found:
            raise InvalidInputError(
                f"{found[0].split()[0]} is not honoured: it runs a command or reads further files",
                where=str(path),
                do="Write the hosts of this workspace into a file of their own.",
            )

    def of(self, name: str) -> dict[str, tuple[str, ...]]:
        """Return what is set for `name`."""
        if self._path is None or not SAFE.match(name) or name.startswith("-"):
            return {}
        if name not in self._said:
            plain, said = _ask(name, ""), _ask(name, self._text)
            self._said[name] = {
                key: tuple(_ssh_options.difference(plain.get(key, ("",))[0], value) for value in values)
                for key, values in said.items()
                if plain.get(key) != values
            }
        return self._said[name]

    def jumps(self, name: str) -> tuple[str, ...]:
        """Return over what `name` is reached; raise `InvalidInputError` for a command that does more than that."""
        said = self.of(name)
        for key in sorted(_ssh_options.JUMPS & said.keys()):
            if found := _ssh_options.jumps(key, said[key][0]):
                return found
            if said[key][0] != "none":
                raise InvalidInputError(
                    f"{key} of {name:.80} is not honoured: it runs a command",
                    where=str(self._path),
                    do="Write ProxyJump HOST, or ProxyCommand ssh -W %h:%p HOST.",
                )
        return ()

    def options(self, name: str) -> tuple[Option, ...]:
        """Return what is set for connections to `name` and is data alone."""
        said = (
            (key, value) for key, values in self.of(name).items() if key not in _TAKEN for value in values
        )
        return tuple(found for key, value in said if (found := _ssh_options.option(key, value)))

    def unused(self) -> dict[str, list[str]]:
        """Return what else is set, for each name that was asked about."""
        found: dict[str, list[str]] = {}
        for name, said in self._said.items():
            for key in sorted(said.keys() - _TAKEN - _ssh_options.JUMPS):
                if not all(
                    _ssh_options.option(key, one) or _ssh_options.settled(key, one) for one in said[key]
                ):
                    found.setdefault(key, []).append(name)
        return found

    def hop(self, name: str, *, port: int | None = None, user: str = "") -> Hop:
        """Return where `name` leads; what is given beats what is configured."""
        said = self.of(name)
        return Hop(
            host=said.get("hostname", (name,))[0],
            port=port or int(said.get("port", (str(_PORT),))[0]),
            user=user or said.get("user", ("",))[0],
            keys=said.get("identityfile", ()),
            options=self.options(name),
        )

    def over(self, jumps: tuple[str, ...], seen: tuple[str, ...] = ()) -> tuple[Hop, ...]:
        """Return the hops of `jumps`; ssh reaches the first one as this configuration says, over others perhaps."""
        if not jumps:
            return ()
        first = _jump(jumps[0])[1]
        before = () if first in seen else self.over(self.jumps(first), (*seen, first))
        hops = ((host, port, user) for user, host, port in map(_jump, jumps))
        return (*before, *(self.hop(host, port=port, user=user) for host, port, user in hops))


def _jump(text: str) -> tuple[str, str, int | None]:
    """Return user, host and port of one jump of the form [user@]host[:port] or [user@][address]:port."""
    user, _, place = text.removeprefix("ssh://").strip().rpartition("@")
    found = re.fullmatch(r"\[([^\]]+)\](?::(\d+))?|([^:]+)(?::(\d+))?|(.+)", place)
    host = (found[1] or found[3] or found[5]) if found else place
    port = (found[2] or found[4]) if found else None
    return user, host, int(port) if port else None


def _ask(name: str, config: str) -> dict[str, tuple[str, ...]]:
    """Return what ssh makes of `name` by a configuration; who asks makes no difference."""
    done = supervisor.run(
        ["ssh", "-T", "-G", "-F", "/dev/stdin", "--", name],
        token=secrets.token_hex(16),
        environment={
            key: os.environ[key] for key in ("PATH", "HOME", "USER", "LOGNAME") if key in os.environ
        },
        data=f"{config}\nMatch all\n  User {_NOBODY}\n".encode(),
        timeout=_SECONDS,
    )
    if done.rc != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise InvalidInputError(f"ssh cannot read it: {said[-300:]}", where="ssh_config")
    found: dict[str, tuple[str, ...]] = {}
    for line in done.stdout.decode(errors="replace").splitlines():
        key, _, value = line.partition(" ")
        found[key.lower()] = (*found.get(key.lower(), ()), value)
    return found


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
