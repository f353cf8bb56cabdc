"""The ssh configurations that count while a plan is made: the user's, or a file of the workspace.

Rules kept here: stock `ssh -G` reads them, and says of a name what is set beside ssh's defaults; nothing in one may run
a command or read further files: neither quotes, which ssh takes away from a word wherever they stand, nor a `=` before
it, which ssh passes over, hide one, and what reads it finds the state closed like any child. A file that an ansible.cfg
names lies in the workspace, and is none of the state: what ssh says of a line that it cannot read shows the line.
"""

import os
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from itmp.adapters import supervisor
from itmp.adapters.ansible import _ssh_options
from itmp.adapters.ansible._ssh_options import Option
from itmp.adapters.supervisor import custody
from itmp.errors import InvalidInputError

SAFE: Final = re.compile(r"[A-Za-z0-9_.:%@+-]+\Z")
PORT: Final = 22
_SECONDS: Final = 20.0
_DATA: Final = "of options a plan takes those that are data alone"
_SHOWN: Final = 3
_NOBODY: Final = "itmp-nobody"
TAKEN: Final = frozenset({"hostname", "port", "user", "identityfile"})
_RUNS: Final = re.compile(r"^[\s=]*(match.*exec|include|knownhostscommand)", re.IGNORECASE | re.MULTILINE)
_QUOTES: Final = str.maketrans("", "", "\"'\\")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """A place that ssh connects to; empty values are ssh's own choice."""

    host: str
    port: int = PORT
    user: str = ""
    keys: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the files are that arguments of an ansible.cfg name: below `base`, not outside of `root`, none closed."""

    root: Path
    base: Path

    def file(self, name: str) -> Path | None:
        """Return a file of the workspace; `None` for any other."""
        path = (self.base / name).resolve()
        ours = path.is_relative_to(self.root.resolve()) and not custody.closed(path)
        return path if ours and path.is_file() else None


class Configurations:
    """The ssh configurations that count: the user's, or what `-F` names of the workspace."""

    def __init__(self, user: Path | None, place: Place | None) -> None:
        self._user, self._place = user, place
        self._known: dict[str, Configuration] = {"": Configuration(user)}

    def honours(self, name: str) -> bool:
        """Whether the file of `-F` is read, or gives way to the user's own."""
        return bool(self._user or (self._place and self._place.file(name)))

    def of(self, name: str) -> "Configuration":
        """Return what counts where `-F` names the file `name`."""
        path = self._place.file(name) if self._place and name and not self._user else None
        if path is None:
            return self._known[""]
        if name not in self._known:
            self._known[name] = Configuration(path)
        return self._known[name]

    def unused(self) -> Iterator[str]:
        """Yield a note for each option that is set and not honoured."""
        for name, known in self._known.items():
            for one, of in known.unused().items():
                yield f"{name or 'ssh_config'}: {one} is not honoured: {_DATA}: {few(of)}"


class Configuration:
    """The user's ssh configuration, asked of stock ssh: what it says of a name beside ssh's defaults."""

    def __init__(self, path: Path | None) -> None:
        self._path = path.expanduser() if path else None
        self._said: dict[str, dict[str, tuple[str, ...]]] = {}
        self._text = ""
        if self._path is None:
            return
        if custody.closed(self._path):
            raise InvalidInputError(
                "this is a file of the state, and no configuration for ssh",
                where=str(path),
                do="Name another file under `ssh_config` in itmp.yml.",
            )
        try:
            self._text = text = self._path.read_text(errors="replace")
        except OSError as error:
            raise InvalidInputError(f"cannot be read: {error.strerror}", where=str(path)) from error
        found = _RUNS.search(text.translate(_QUOTES))
        if found:
            raise InvalidInputError(
                f"{found[1].split()[0]} is not honoured: it runs a command or reads further files",
                where=str(path),
                do="Write the hosts of this workspace into a file of their own.",
            )

    def of(self, name: str) -> dict[str, tuple[str, ...]]:
        """Return what is set for `name`."""
        if self._path is None or not SAFE.match(name) or name.startswith("-"):
            return {}
        if name not in self._said:
            plain, said = _ask(name, ""), _ask(name, self._text, str(self._path))
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
        said = ((key, value) for key, values in self.of(name).items() if key not in TAKEN for value in values)
        return tuple(found for key, value in said if (found := _ssh_options.option(key, value)))

    def unused(self) -> dict[str, list[str]]:
        """Return what else is set, for each name that was asked about."""
        found: dict[str, list[str]] = {}
        for name, said in self._said.items():
            for key in sorted(said.keys() - TAKEN - _ssh_options.JUMPS):
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
            port=port or int(said.get("port", (str(PORT),))[0]),
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


def few(names: Sequence[str]) -> str:
    """Return names as a text that stays short."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _jump(text: str) -> tuple[str, str, int | None]:
    """Return user, host and port of one jump of the form [user@]host[:port] or [user@][address]:port."""
    user, _, place = text.removeprefix("ssh://").strip().rpartition("@")
    found = re.fullmatch(r"\[([^\]]+)\](?::(\d+))?|([^:]+)(?::(\d+))?|(.+)", place)
    host = (found[1] or found[3] or found[5]) if found else place
    port = (found[2] or found[4]) if found else None
    return user, host, int(port) if port else None


def _ask(name: str, config: str, where: str = "ssh_config") -> dict[str, tuple[str, ...]]:
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
        raise InvalidInputError(
            f"ssh cannot read it: {said[-300:]}",
            where=where,
            do=f"Correct it: `ssh -G -F {where} {name}` says what is wrong.",
        )
    found: dict[str, tuple[str, ...]] = {}
    for line in done.stdout.decode(errors="replace").splitlines():
        key, _, value = line.partition(" ")
        found[key.lower()] = (*found.get(key.lower(), ()), value)
    return found


__all__ = ["PORT", "SAFE", "TAKEN", "Configuration", "Configurations", "Hop", "Place", "few"]
