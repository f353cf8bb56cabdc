"""Which options of ssh a plan takes from an inventory, or from the user's ssh configuration: those that are data alone.

Rules kept here: an option is taken if it stands in the table and its value has the table's form: algorithms, what is
tried to log in, families of addresses, time limits, files of one's own identity. What the plan's configuration says
anyway needs no word. Nothing that runs a command, loads a library, leads elsewhere or has another key of a host trusted
is in either: whoever reads options refuses the rest, or names it.
"""

import functools
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

Option: TypeAlias = tuple[str, str]

FILE: Final = re.compile(r"[A-Za-z0-9_.:%@+~/=][A-Za-z0-9_.:%@+~/=-]*\Z")
_NAMES: Final = re.compile(r"[+^-]?[A-Za-z0-9@._*?][A-Za-z0-9@._*?-]*(?:,[A-Za-z0-9@._*?-]+)*\Z")
_SWITCH: Final = re.compile(r"(?:yes|no|true|false)\Z")
_NUMBER: Final = re.compile(r"[0-9]{1,6}\Z")
_TIME: Final = re.compile(r"(?:[0-9]{1,6}[smhdwSMHDW]?){1,5}\Z")
_FORMS: Final[Mapping[str, re.Pattern[str]]] = {
    **dict.fromkeys(
        ["CASignatureAlgorithms", "Ciphers", "HostKeyAlgorithms", "KexAlgorithms", "MACs"], _NAMES
    ),
    "PubkeyAcceptedAlgorithms": _NAMES,
    "PreferredAuthentications": re.compile(r"(?=(?:.*,)?publickey(?:,|\Z))" + _NAMES.pattern),
    **dict.fromkeys(["Compression", "GSSAPIAuthentication", "IdentitiesOnly", "TCPKeepAlive"], _SWITCH),
    "PubkeyAuthentication": re.compile(r"(?:yes|true|unbound|host-bound)\Z"),
    "AddressFamily": re.compile(r"(?:any|inet|inet6)\Z"),
    **dict.fromkeys(["ConnectTimeout", "ServerAliveInterval"], _TIME),
    **dict.fromkeys(["ConnectionAttempts", "RequiredRSASize", "ServerAliveCountMax"], _NUMBER),
    **dict.fromkeys(["CertificateFile", "IdentityFile"], FILE),
}
_PROPER: Final = {name.lower(): name for name in _FORMS} | {
    "pubkeyacceptedkeytypes": "PubkeyAcceptedAlgorithms"
}
CONFIG: Final = "-F"
UNREADABLE: Final = "unreadable quoting"
_EMPTY: Final = frozenset({"none", "/dev/null"})
JUMPS: Final = frozenset({"proxyjump", "proxycommand"})
_SEVERAL: Final = frozenset({"CertificateFile", "IdentityFile"})
_ANY: Final = re.compile(r"")
_NO: Final = re.compile(r"(?:no|false)\Z", re.IGNORECASE)
_SETTLED: Final[Mapping[str, re.Pattern[str]]] = {
    **dict.fromkeys(["controlmaster", "controlpath", "controlpersist", "loglevel", "hashknownhosts"], _ANY),
    **dict.fromkeys(["batchmode", "stricthostkeychecking"], re.compile(r"(?:yes|true)\Z", re.IGNORECASE)),
    **dict.fromkeys(["passwordauthentication", "kbdinteractiveauthentication"], _NO),
    **dict.fromkeys(["challengeresponseauthentication", "forwardagent", "forwardx11", "updatehostkeys"], _NO),
    **dict.fromkeys(["permitlocalcommand", "verifyhostkeydns"], _NO),
    "globalknownhostsfile": re.compile(r"/dev/null\Z"),
    **dict.fromkeys(["proxycommand", "proxyjump"], re.compile(r"none\Z")),
}

_WEAKENS: Final = {
    "stricthostkeychecking": frozenset({"no", "off", "accept-new", "ask"}),
    "userknownhostsfile": frozenset({"/dev/null", "none"}),
    "globalknownhostsfile": frozenset({"none"}),
}
_DECIDED: Final = frozenset(
    {"batchmode", "globalknownhostsfile", "kbdinteractiveauthentication", "passwordauthentication"}
    | {"challengeresponseauthentication", "stricthostkeychecking"}
    | {"preferredauthentications", "pubkeyauthentication"}
)
"""What the plan decides, whatever is asked: ssh enters hosts by key, asks nobody, and knows hosts by pinned keys."""
_FLAGS: Final[Mapping[str, tuple[str, str]]] = {
    "-4": ("addressfamily", "inet"),
    "-6": ("addressfamily", "inet6"),
    "-C": ("compression", "yes"),
    "-a": ("forwardagent", "no"),
    "-q": ("loglevel", "QUIET"),
    "-v": ("loglevel", "VERBOSE"),
    "-x": ("forwardx11", "no"),
}
_VALUED: Final = {"-J": "proxyjump", "-c": "ciphers", "-i": "identityfile", "-m": "macs"}


def option(name: str, value: str) -> Option | None:
    """Return an option in its one spelling, if the table has it and its value has the table's form."""
    proper = _PROPER.get(name.lower(), "")
    if proper and _FORMS[proper] is _SWITCH:
        value = value.lower()  # ssh reads a flag in either case
    return (proper, value) if proper and _FORMS[proper].match(value) else None


def settled(name: str, value: str) -> bool:
    """Tell whether the plan's own configuration has it so, or it changes nothing that a run does."""
    return bool(name.lower() in _SETTLED and _SETTLED[name.lower()].match(value))


def merged(options: Iterable[Option]) -> tuple[Option, ...]:
    """Return options as ssh reads them: the first value counts, of files each."""
    found: dict[str, Option] = {}
    for name, value in options:
        found.setdefault(f"{name} {value}" if name in _SEVERAL else name, (name, value))
    return tuple(found.values())


def lines(options: Iterable[Option]) -> str:
    """Return options as lines of an ssh configuration."""
    return "".join(f"  {name} {value}\n" for name, value in options)


def unfit(options: Iterable[Option]) -> Iterator[str]:
    """Yield what cannot stand in a configuration: a plan's bytes are read again before a run."""
    yield from (f"{name} {value}" for name, value in options if option(name, value) != (name, value))


def files(options: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield the files that options name."""
    yield from (value for name, value in options if name in _SEVERAL)


def difference(usual: str, value: str) -> str:
    """Return a list of algorithms as what it adds to ssh's `usual` one, where that is all it does."""
    return f"+{value.removeprefix(usual)[1:]}" if usual and value.startswith(f"{usual},") else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """What an inventory's ssh arguments ask for: jumps, options, no check of keys, and what cannot be honoured.

    Of that, `decided` is what the plan decides whatever is asked, and `refused` is a problem. `config` is the file of
    `-F`, which is among `refused` too: whoever reads it takes it from there.
    """

    jumps: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    config: str = ""
    weakens: bool = False
    decided: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


@functools.lru_cache(maxsize=256)
def arguments(text: str) -> Arguments:
    """Read ssh arguments; the hosts of an inventory have few different ones."""
    way: tuple[str, ...] = ()
    taken: list[Option] = []
    weakens, config, decided, refused = False, "", [], []
    for name, value in _options(text):
        found = option(name, value)
        if name == CONFIG:
            config = "" if value in _EMPTY else value  # of several ssh reads the last
        if name in JUMPS and (over := jumps(name, value)):
            way = way or over
        elif value.lower() in _WEAKENS.get(name, ()):
            weakens = True
        elif found:
            taken.append(found)
        elif name in _DECIDED and not settled(name, value):
            decided.append(name)
        elif not (settled(name, value) or (name == CONFIG and not config)):
            refused.append(name)
    return Arguments(
        jumps=way,
        options=merged(taken),
        config=config,
        weakens=weakens,
        decided=tuple(decided),
        refused=tuple(refused),
    )


def _options(text: str) -> Iterator[tuple[str, str]]:
    try:
        words = iter([*_words(text)])
    except ValueError:
        yield UNREADABLE, ""
        return
    for word in words:
        if word in _FLAGS:
            yield _FLAGS[word]
            continue
        flag, rest = word[:2], word[2:] or next(words, "")
        if flag == "-o":
            name, value = re.match(r"\s*(\w*)\s*[= ]?\s*(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr] # it matches every text
            yield name.lower(), value.strip().strip("\"'")
        else:
            yield _VALUED.get(flag, flag), rest


def _words(text: str) -> Iterator[str]:
    """Yield the words of ssh arguments, flags that are written together each by itself."""
    for word in shlex.split(text):
        left = word
        while left[:2] in _FLAGS and len(left) > 2:  # noqa: PLR2004 -- a flag and more
            yield left[:2]
            left = f"-{left[2:]}"
        yield left


def jumps(name: str, value: str) -> tuple[str, ...]:
    """Return the jumps that an option of ssh makes; none where it does something else."""
    text = value if name == "proxyjump" else _forwards(value)
    return tuple(one for one in text.split(",") if one not in {"", "none"})


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


__all__ = [
    "CONFIG",
    "FILE",
    "JUMPS",
    "UNREADABLE",
    "Arguments",
    "Option",
    "arguments",
    "difference",
    "files",
    "jumps",
    "lines",
    "merged",
    "option",
    "settled",
    "unfit",
]
