"""What hosts recorded themselves: logins, privileged commands, Ansible modules, package changes, boots.

Rules kept here: a host's records are files of its own, read as they are, by lines; a line that is none of these is
passed over, because a host's log holds much else; what two of a host's logs tell alike counts once; a kind of record
that tells nothing is a gap, and says so where the collector noted that the host keeps none; a line of traditional
syslog has neither year nor zone, so it is read by the clock that was noted when the records were collected, and never
lies after it; a session that PAM opened is a login too, but for services whose acts have lines of their own, or that
log nobody in. Everything here is a claim of the host, and is shown as text.

| file | written by | what is read |
|---|---|---|
| `clock` | `date +%Y-%m-%dT%H:%M:%S%z` at collection | the time of collection and the host's offset; required |
| `auth.log` | syslog (also as `secure`) | `Accepted …`, sessions, `COMMAND=`, `(to USER) …` of su, `Invoked with` |
| `journal` | `journalctl -o short-iso-precise` | the same |
| `dpkg.log` | dpkg | `install upgrade remove purge` |
| `boots` | the journal's first line of each boot, `last reboot`, or any list | one RFC 3339 time a line |
| `notes` | the collector | `none KIND: why` the host keeps none; `cut KIND: why` some was left out |
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from itmp.errors import InvalidInputError

CLOCK: Final = "clock"
MAX_FILE: Final = 256 * 1024 * 1024
_MAX_TEXT: Final = 300
_ISO: Final = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d{1,9})?)(Z|[+-]\d\d:?\d\d) \S+ (\S+?)(?:\[\d+\])?: (.*)",
    re.ASCII,
)
_BOOT: Final = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(Z|[+-]\d\d:?\d\d)", re.ASCII)
_OLD: Final = re.compile(
    r"([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d:\d\d:\d\d) \S+ (\S+?)(?:\[\d+\])?: (.*)", re.ASCII
)
_DPKG: Final = re.compile(
    r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) (install|upgrade|remove|purge) (\S+) (\S+) (\S+)", re.ASCII
)
_SU: Final = re.compile(r"(FAILED SU )?\(to (\S+)\) (\S+) on (\S+)", re.ASCII)
_MODULE: Final = re.compile(r"(?:python[0-9.]*[ -])?ansible-(\S+) ", re.ASCII)
"""A module that says what it does: through syslog under its own name, through journald under Python's."""
_NOTE: Final = re.compile(r"(none|cut) (logins|packages|boots): (.+)", re.ASCII)
_SOURCES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "logins": ("login", ("auth.log", "journal")),
    "packages": ("package", ("dpkg.log",)),
    "boots": ("boot", ("boots",)),
}
FILES: Final = frozenset((CLOCK, "auth.log", "journal", "dpkg.log", "boots", "notes"))
_ACCEPTED: Final = re.compile(r"Accepted (\S+) for (\S+) from (\S+) port \d+(?: ssh2(?:: (.*))?)?")
_SESSION: Final = re.compile(
    r"pam_unix\(([^\s:()]+):session\): session opened for user ([^\s()]+)(?:\(uid=\d+\))?(?: by ([^\s()]*).*)?",
    re.ASCII,
)
_NO_LOGINS: Final = frozenset(
    {
        *("sshd", "sudo", "sudo-i", "su", "su-l"),  # lines of their own are read
        *("cron", "crond", "atd", "runuser", "runuser-l", "systemd-user"),  # nobody comes in
        *("gdm-launch-environment", "lightdm-greeter", "sddm-greeter"),  # the screen that asks who wants to
    }
)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class TraceError(InvalidInputError):
    """A host's records that cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """`host` says that at `at` (UTC) something happened.

    `kind` is login (over ssh), session (any other way in), command, ansible, package or boot.
    """

    host: str
    kind: str
    at: datetime
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A kind of record (logins, packages, boots) that `host` did not give, or not whole, and why.

    `stated`: the collector noted that the host keeps none. That is the host's word, and no more than a claim.
    """

    host: str
    kind: str
    why: str
    stated: bool = False


def gaps(host: str, files: Mapping[str, bytes], traces: Iterable[Trace]) -> tuple[Gap, ...]:
    """Return what a host's files do not tell; `traces` are those that were read from them."""
    told = {trace.kind for trace in traces}
    read = (_NOTE.fullmatch(line.strip()) for line in _lines(files, "notes"))
    notes = [note.groups() for note in read if note]
    stated = {kind: why for word, kind, why in notes if word == "none"}
    cut = {kind: why for word, kind, why in notes if word == "cut"}
    found = list[Gap]()
    for kind, (trace, names) in _SOURCES.items():
        given = [name for name in names if files.get(name)]
        if trace not in told and kind in stated and not given:
            found.append(Gap(host=host, kind=kind, why=stated[kind][:_MAX_TEXT], stated=True))
        elif trace not in told:
            why = (
                f"{' and '.join(given)} tells of none"
                if given
                else f"{' or '.join(names)} is missing or empty"
            )
            found.append(Gap(host=host, kind=kind, why=why))
        if kind in cut:
            found.append(Gap(host=host, kind=kind, why=f"not whole: {cut[kind]}"[:_MAX_TEXT]))
    return tuple(found)


def read_traces(host: str, files: Mapping[str, bytes]) -> tuple[Trace, ...]:
    """Return what a host's files tell, oldest first; raise `TraceError` without a readable clock."""
    clock = _clock(host, files.get(CLOCK))
    readers: Mapping[str, Callable[[str, datetime], Iterator[tuple[str, datetime, str]]]] = {
        "journal": _auth,
        "auth.log": _auth,
        "dpkg.log": _dpkg,
        "boots": _boots,
    }
    found = list[Trace]()
    known = set[tuple[str, str, int]]()
    for name, read in readers.items():
        mine = [
            Trace(host=host, kind=kind, at=at.astimezone(UTC), what=what[:_MAX_TEXT])
            for line in _lines(files, name)
            for kind, at, what in read(line, clock)
        ]
        found += [trace for trace in mine if not known.intersection(_seconds(trace, 1))]
        known.update(second for trace in mine for second in _seconds(trace, 0))
    return tuple(sorted(found, key=lambda trace: trace.at))


def _lines(files: Mapping[str, bytes], name: str) -> list[str]:
    return files.get(name, b"").decode("utf-8", "replace").splitlines()


def _seconds(trace: Trace, around: int) -> list[tuple[str, str, int]]:
    """Return what a trace is known by: two logs may round its time differently."""
    at = int(trace.at.timestamp())
    return [(trace.kind, trace.what, second) for second in range(at - around, at + around + 1)]


def _clock(host: str, data: bytes | None) -> datetime:
    text = (data or b"").decode("utf-8", "replace").strip()
    moment = _moment(text[:-5], text[-5:]) if text else None
    if moment is None:
        raise TraceError(
            f"no readable time of collection: {text!r:.60}",
            where=f"{host}/{CLOCK}",
            do="Collect the records with the runbook collect-host-records.",
        )
    return moment


def _auth(line: str, clock: datetime) -> Iterator[tuple[str, datetime, str]]:
    found = _syslog(line, clock)
    if found is None:
        return
    at, program, message = found
    if program.startswith("sshd") and (login := _ACCEPTED.match(message)):
        method, user, source, key = login.groups()
        yield "login", at, f"{user} from {source} by {method}" + (f" {key}" if key else "")
    elif (session := _SESSION.fullmatch(message.strip())) and session[1] not in _NO_LOGINS:
        service, user, by = session.groups()
        yield "session", at, f"{user} by {service}" + (f" for {by}" if by else "")
    elif program == "sudo" and "COMMAND=" in message:
        yield "command", at, message.strip()
    elif program == "su" and (su := _SU.fullmatch(message.strip())):
        failed, user, by, terminal = su.groups()
        yield "command", at, f"{by} : su to {user} on {terminal}{', refused' if failed else ''}"
    elif "Invoked with" in message and (module := _MODULE.match(f"{program} {message}")):
        yield "ansible", at, module[1]


def _syslog(line: str, clock: datetime) -> tuple[datetime, str, str] | None:
    if modern := _ISO.match(line):
        at = _moment(modern[1], modern[2])
        return None if at is None else (at, modern[3], modern[4])
    if old := _OLD.match(line):
        at = _without_year(old[1], int(old[2]), old[3], clock)
        return None if at is None else (at, old[4], old[5])
    return None


def _dpkg(line: str, clock: datetime) -> Iterator[tuple[str, datetime, str]]:
    found = _DPKG.match(line)
    at = _local(f"{found[1]}T{found[2]}", clock.tzinfo) if found else None
    if found and at:
        yield "package", at, f"{found[3]} {found[4]} {found[5]} {found[6]}"


def _boots(line: str, clock: datetime) -> Iterator[tuple[str, datetime, str]]:
    del clock
    found = _BOOT.fullmatch(line.strip())
    at = _moment(found[1], found[2]) if found else None
    if at:
        yield "boot", at, "started"


def _moment(text: str, offset: str) -> datetime | None:
    try:
        zone = "+00:00" if offset == "Z" else offset if ":" in offset else f"{offset[:3]}:{offset[3:]}"
        moment = datetime.fromisoformat(text.replace(",", ".")[:26] + zone)
        moment.astimezone(UTC)  # at both ends of the calendar an offset leads out of it
    except (ValueError, OverflowError):
        return None
    return moment if moment.utcoffset() is not None else None


def _local(text: str, zone: tzinfo | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _without_year(month: str, day: int, clock_text: str, clock: datetime) -> datetime | None:
    """Return the newest such time that is not after the collection; a day is allowed for a clock that was set."""
    if month not in _MONTHS:
        return None
    number = _MONTHS.index(month) + 1
    for year in (clock.year, clock.year - 1):
        at = _local(f"{year:04}-{number:02}-{day:02}T{clock_text}", clock.tzinfo)
        if at and at - clock <= timedelta(days=1):
            return at
    return None
