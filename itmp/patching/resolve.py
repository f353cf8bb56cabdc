"""Ring 0's answers become a lockfile, or every reason why they cannot.

Rules kept here: pure; hosts of ring 0 must agree, and where they do not, each host's own answer is reported;
downgrades are refused, removals unless the schedule allows them; a named package that cannot move is a
problem, not an omission.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from itmp.documents import DocumentError, Problem
from itmp.errors import InvalidInputError
from itmp.patching.lock import SCHEMA, Lock, Locked, Platform
from itmp.patching.model import PatchSchedule
from itmp.patching.simulation import NAME, Installation, Simulation, parse_simulation
from itmp.patching.versions import newer

_MARK: Final = re.compile(r"==itmp:([a-z]+)==")
_PARTS: Final = ("release", "architecture", "installed", "available", "simulation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one host of ring 0 answered.

    `installed` maps a package to its version, `available` to the versions that its repositories offer.
    """

    host: str
    platform: Platform
    installed: Mapping[str, str]
    available: Mapping[str, frozenset[str]]
    simulation: Simulation

    @classmethod
    def parse(cls, host: str, text: str) -> "Reading":
        """Read what `SCRIPT` printed on `host`; raise `InvalidInputError` when it is not that."""
        parts = _split(text)
        missing = [part for part in _PARTS if part not in parts]
        if missing:
            raise InvalidInputError(f"its answer lacks {', '.join(missing)}", where=host)
        architecture = parts["architecture"].strip()
        release = dict(line.split("=", 1) for line in parts["release"].splitlines() if "=" in line)
        try:
            platform = Platform(
                distribution=release.get("ID", "").strip('"'),
                release=release.get("VERSION_CODENAME", "").strip('"'),
                architecture=architecture,
            )
        except ValueError:
            raise InvalidInputError("its os-release names no distribution and codename", where=host) from None
        return cls(
            host=host,
            platform=platform,
            installed=_installed(parts["installed"], architecture),
            available=_available(parts["available"]),
            simulation=parse_simulation(parts["simulation"], host),
        )


SCRIPT: Final = r"""set -eu
export LC_ALL=C
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/lists/partial" "$scratch/cache/archives/partial"
apt() {
  "$@" -o Debug::NoLocking=true -o APT::Sandbox::User= \
    -o Dir::State::Lists="$scratch/lists" -o Dir::Cache="$scratch/cache"
}
apt apt-get -q update >"$scratch/update" 2>&1 || { cat "$scratch/update" >&2; exit 1; }
echo '==itmp:release=='; cat /etc/os-release
echo '==itmp:architecture=='; dpkg --print-architecture
echo '==itmp:installed=='; dpkg-query -W -f '${Package}:${Architecture}=${Version} ${db:Status-Status}\n'
if [ $# -eq 0 ]; then set -- dist-upgrade; else set -- --only-upgrade install "$@"; fi
apt apt-get -s -y "$@" >"$scratch/simulation"
echo '==itmp:available=='
names=$(sed -n 's/^Inst \([^ ]*\) .*/\1/p' "$scratch/simulation")
[ -z "$names" ] || apt apt-cache madison $names
echo '==itmp:simulation=='; cat "$scratch/simulation"
"""
"""What runs on each host of ring 0 (`sh -s -- [PACKAGE…]`). It changes nothing: apt's fresh index and cache
live in a scratch folder, and the rest is simulation."""


def resolve(document: PatchSchedule, readings: Sequence[Reading]) -> bytes:
    """Return the lockfile's bytes; raise `DocumentError` with every disagreement and refusal.

    `readings` are those of all hosts of ring 0, one or more.
    """
    problems = [document.problem(("rings", 0), text) for text in _refusals(document, readings)]
    if problems:
        raise DocumentError(problems)
    packages = {one.name: one for reading in readings for one in reading.simulation.installations}
    if not any(one.old for one in packages.values()):
        raise DocumentError([_nothing(document)])
    lock = Lock(
        schema=SCHEMA,
        schedule=document.name,
        platform=readings[0].platform,
        hosts=tuple(sorted(reading.host for reading in readings)),
        packages={name: _locked(packages[name], readings) for name in sorted(packages)},
        removals={name: old for reading in readings for name, old in reading.simulation.removals},
        kept=tuple(sorted({name for reading in readings for name in reading.simulation.kept})),
    )
    return lock.to_bytes()


def _nothing(document: PatchSchedule) -> Problem:
    return document.problem(("packages",), "ring 0 has nothing to upgrade", "there is nothing to plan")


def _locked(one: Installation, readings: Sequence[Reading]) -> Locked:
    back = all(one.old in reading.available.get(one.name, ()) for reading in readings if _moves(reading, one))
    fields = {
        "from": one.old,
        "to": one.new,
        "origin": one.origin,
        "architecture": one.architecture,
        "back": bool(one.old) and back,
    }
    return Locked.model_validate(fields)


def _moves(reading: Reading, one: Installation) -> bool:
    return any(other.name == one.name for other in reading.simulation.installations)


def _refusals(document: PatchSchedule, readings: Sequence[Reading]) -> Iterator[str]:
    yield from _platforms(readings)
    for reading in readings:
        for one in reading.simulation.installations:
            if one.old and newer(one.old, one.new):
                yield f"{reading.host}: {one.name} would go down from {one.old} to {one.new}"
        if not document.allow_removals:
            for name, version in reading.simulation.removals:
                yield f"{reading.host}: {name} {version} would be removed (allow_removals is false)"
    yield from _disagreements(readings)
    if document.packages != "all":
        yield from _missing(document.packages, readings)


def _platforms(readings: Sequence[Reading]) -> Iterator[str]:
    if len({reading.platform for reading in readings}) > 1:
        for reading in readings:
            yield f"{reading.host} is {reading.platform}: one schedule is for one platform"


def _disagreements(readings: Sequence[Reading]) -> Iterator[str]:
    """Yield each host's own answer for every package that the hosts do not bring the same way."""
    for name in sorted({one.name for reading in readings for one in reading.simulation.installations}):
        answers = {reading.host: _answer(reading, name) for reading in readings}
        moves = {answer for answer in answers.values() if " -> " in answer}
        reached = {move.split(" -> ")[1] for move in moves}
        settled = {"not installed", *reached}
        if len(moves) > 1 or any(answer not in moves | settled for answer in answers.values()):
            yield from (f"{host}: {name} {answer}: the hosts disagree" for host, answer in answers.items())


def _answer(reading: Reading, name: str) -> str:
    for one in reading.simulation.installations:
        if one.name == name:
            return f"{one.old or 'new'} -> {one.new}"
    return reading.installed.get(name, "not installed")


def _missing(names: Sequence[str], readings: Sequence[Reading]) -> Iterator[str]:
    for name in names:
        if not any(name in reading.installed for reading in readings):
            yield f"{name} is installed on no host of ring 0"
        for reading in readings:
            if name in reading.simulation.kept:
                yield f"{reading.host}: {name} is kept back by apt (held, pinned or in need of more)"


def _split(text: str) -> dict[str, str]:
    parts: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        found = _MARK.fullmatch(line)
        if found and found[1] not in parts:
            current = parts[found[1]] = []
        else:
            current.append(line)
    return {name: "\n".join(lines) for name, lines in parts.items()}


def _installed(text: str, architecture: str) -> Mapping[str, str]:
    """Return the installed packages by apt's names: the host's own architecture is no suffix."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        entry, _, status = line.partition(" ")
        name, _, version = entry.partition("=")
        if status == "installed" and NAME.fullmatch(name):
            plain, _, its = name.partition(":")
            found[plain if its in {architecture, "all"} else name] = version
    return found


def _available(text: str) -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        columns = [column.strip() for column in line.split("|")]
        if len(columns) == 3:  # noqa: PLR2004 — madison prints name | version | source
            found.setdefault(columns[0], set()).add(columns[1])
    return {name: frozenset(versions) for name, versions in found.items()}
