"""How each host is reached: its connection plugin, and for ssh the name, port, user, key and jumps on the way.

Rules kept here: the way is settled when the plan is made and frozen as the artifact `inventory/ways.json`, which is
what ssh gets at the run; of an inventory's ssh arguments only jumps and what leads nowhere are taken, all others are
problems; the user's ssh configuration counts only where `ssh_config` in itmp.yml names it, is read by stock
`ssh -G`, and may not run commands: quotes, which ssh takes away from a word wherever they stand, hide none, and what
reads it finds the state closed like any child. Every hop is known by a pinned key like any host.
"""

import json
import os
import re
import secrets
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from itmp.adapters import supervisor
from itmp.adapters.ansible._tasks import core
from itmp.errors import InvalidInputError, ToolMissingError

SAFE: Final = re.compile(r"[A-Za-z0-9_.:%@+-]+\Z")
_KEY: Final = re.compile(r"[A-Za-z0-9_.:%@+~/=-]+\Z")
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
_NOBODY: Final = "itmp-nobody"
_TAKEN: Final = ("hostname", "port", "user", "identityfile", "proxyjump")
_RUNS: Final = re.compile(r"^\s*(?:match.*exec|include|knownhostscommand)", re.IGNORECASE | re.MULTILINE)
_QUOTES: Final = str.maketrans("", "", "\"'\\")
_WEAKENS: Final = {
    "stricthostkeychecking": frozenset({"no", "off", "accept-new", "ask"}),
    "userknownhostsfile": frozenset({"/dev/null", "none"}),
    "globalknownhostsfile": frozenset({"none"}),
}
# What the plan's own configuration sets anyway, or what leads nowhere.
_HARMLESS: Final = frozenset(
    [
        "batchmode",
        "ciphers",
        "compression",
        "connectionattempts",
        "connecttimeout",
        "controlmaster",
        "controlpath",
        "controlpersist",
        "globalknownhostsfile",
        "gssapiauthentication",
        "identitiesonly",
        "loglevel",
        "passwordauthentication",
        "preferredauthentications",
        "pubkeyauthentication",
        "serveralivecountmax",
        "serveraliveinterval",
        "stricthostkeychecking",
        "tcpkeepalive",
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """A place that ssh connects to; empty values are ssh's own choice."""

    host: str
    port: int = _PORT
    user: str = ""
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How one host is reached: by which connection plugin, over which hops; `end` says where ssh's alias leads."""

    connection: str = "ssh"
    via: tuple[Hop, ...] = ()
    end: Hop | None = None


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
            "hosts": {name: asdict(way) for name, way in self.of.items()},
            "unpinned": list(self.unpinned),
        }
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """What an inventory's ssh arguments ask for: jumps, no check of keys, and what cannot be honoured."""

    jumps: tuple[str, ...] = ()
    weakens: bool = False
    refused: tuple[str, ...] = ()


def arguments(text: str) -> Arguments:
    """Read ssh arguments."""
    jumps: tuple[str, ...] = ()
    weakens, refused = False, []
    for name, value in _options(text):
        if name == "proxyjump" or (name == "proxycommand" and _forwards(value)):
            jumps = jumps or tuple((value if name == "proxyjump" else _forwards(value)).split(","))
        elif value.lower() in _WEAKENS.get(name, ()):
            weakens = True
        elif name not in _HARMLESS:
            refused.append(name)
    return Arguments(
        jumps=tuple(one for one in jumps if one != "none"), weakens=weakens, refused=tuple(refused)
    )


def _options(text: str) -> Iterator[tuple[str, str]]:
    try:
        words = iter(shlex.split(text))
    except ValueError:
        yield "unreadable quoting", ""
        return
    for word in words:
        if word in {"-C", "-q", "-v"}:
            continue
        flag, rest = word[:2], word[2:] or next(words, "")
        if flag == "-J":
            yield "proxyjump", rest
        elif flag == "-o":
            name, value = re.match(r"\s*(\w*)\s*[= ]?\s*(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr] # it matches every text
            yield name.lower(), value.strip().strip("\"'")
        else:
            yield flag, rest


def _forwards(command: str) -> str:
    """Return the jump that a ProxyCommand of the form `ssh -W %h:%p … HOST` makes; empty for any other."""
    words = command.split()
    if words[:1] != ["ssh"] or "-W" not in words or any(mark in command for mark in ";|&$`<>(){}"):
        return ""
    port, left = "", []
    rest = iter(words[1:])
    for word in rest:
        if word == "-W":
            if next(rest, "") not in {"%h:%p", "[%h]:%p"}:
                return ""
        elif word == "-p":
            port = ":" + next(rest, "")
        elif word != "-q":
            left.append(word)
    return left[0] + port if len(left) == 1 and not left[0].startswith("-") else ""


def settle(
    hosts: Iterable[Mapping[str, Any]], user_config: Path | None
) -> tuple[dict[str, Way], dict[str, tuple[str, ...]], frozenset[str]]:
    """Return the ways of `hosts` (the parser's entries), what cannot be honoured by host, and who weakens checks."""
    known = _Configuration(user_config)
    ways: dict[str, Way] = {}
    refused: dict[str, tuple[str, ...]] = {}
    weak = set()
    for host in hosts:
        name, plugin = str(host["name"]), core(str(host["connection"]))
        asked = arguments(host["ssh_args"]) if plugin in {"ssh", "smart"} else Arguments()
        if asked.refused:
            refused[name] = asked.refused
        if asked.weakens:
            weak.add(name)
        way = _way_of(host, plugin, asked, known)
        if way != Way():
            ways[name] = way
    return ways, refused, frozenset(weak)


def _way_of(host: Mapping[str, Any], plugin: str, asked: Arguments, known: "_Configuration") -> Way:
    if plugin not in {"ssh", "smart"}:
        return Way(connection=plugin)
    said = known.of(str(host["address"]))
    jumps = asked.jumps or tuple(
        one for one in said.get("proxyjump", ("",))[0].split(",") if one not in {"", "none"}
    )
    end = None
    if any(name in said for name in _TAKEN[:4]):
        end = known.hop(str(host["address"]), port=host["port"] if host["port"] != _PORT else None)
    return Way(via=tuple(map(known.jump, jumps)), end=end)


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
            self._said[name] = {key: value for key, value in said.items() if plain.get(key) != value}
        return self._said[name]

    def hop(self, name: str, *, port: int | None = None, user: str = "") -> Hop:
        """Return where `name` leads; what is given beats what is configured."""
        said = self.of(name)
        return Hop(
            host=said.get("hostname", (name,))[0],
            port=port or int(said.get("port", (str(_PORT),))[0]),
            user=user or said.get("user", ("",))[0],
            keys=said.get("identityfile", ()),
        )

    def jump(self, text: str) -> Hop:
        """Return the hop that one jump of the form [user@]host[:port] or [user@][address]:port makes."""
        user, _, place = text.removeprefix("ssh://").strip().rpartition("@")
        found = re.fullmatch(r"\[([^\]]+)\](?::(\d+))?|([^:]+)(?::(\d+))?|(.+)", place)
        host = (found[1] or found[3] or found[5]) if found else place
        port = (found[2] or found[4]) if found else None
        return self.hop(host, port=int(port) if port else None, user=user)


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
        if key in _TAKEN:
            found[key] = (*found.get(key, ()), value)
    return found


def unsafe(way: Way) -> str:
    """Return the text of a way that cannot stand in a configuration; empty when all can."""
    for hop in (*way.via, *([way.end] if way.end else [])):
        for text, form in ((hop.host, SAFE), (hop.user or "x", SAFE), *((key, _KEY) for key in hop.keys)):
            if not form.match(text) or text.startswith("-"):
                return text
    return ""


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
    hops = [_place(hop) for hop in (*way.via, *([way.end] if way.end else []))]
    return "ssh over " + ", ".join(hops)


def _place(hop: Hop) -> str:
    keys = f" with {' '.join(hop.keys)}" if hop.keys else ""
    return f"{hop.user}{'@' if hop.user else ''}{hop.host}:{hop.port}{keys}"


def _way(value: Mapping[str, Any]) -> Way:
    return Way(
        connection=value["connection"],
        via=tuple(_hop(one) for one in value["via"]),
        end=_hop(value["end"]) if value["end"] else None,
    )


def _hop(value: Mapping[str, Any]) -> Hop:
    return Hop(host=value["host"], port=value["port"], user=value["user"], keys=tuple(value["keys"]))
