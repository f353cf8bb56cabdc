"""What a preview found, as values and as lines for an approver.

Rules kept here: nothing is judged by these values; whatever a host said is told apart from what we know; that the world
has moved since is said by name: which host, which value, from what to what.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from itmp.calendars import format_time, parse_time

SCHEMA: Final = "itmp-preview/v2"
OUTCOMES: Final = ("changed", "unchanged", "cannot know", "skipped", "passes", "fails")
"""What a task would do on a host, then what a check says of a host now; the order in which they are told."""
_QUIET: Final = frozenset({"unchanged", "passes"})
_SOME: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a step would do on a host, or how a check finds it now: `outcome` is one of `OUTCOMES`, `why` the reason.

    `phase` is `do`, or `undo` for what undo would do if it were run now.
    """

    step: str
    host: str
    name: str
    action: str
    path: str
    line: int
    outcome: str
    why: str = ""
    diff: str = ""
    phase: str = "do"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldSeen:
    """What a plan rests on, as it was: each host by a digest, each present value, and what could not be read."""

    hosts: Mapping[str, str] = field(default_factory=dict)
    present: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def moved_to(self, now: "WorldSeen") -> tuple[str, ...]:
        """Say what is different now, one thing a line."""
        return tuple(self._moved(now))

    def _moved(self, now: "WorldSeen") -> Iterator[str]:
        for problem in now.problems:
            if problem not in self.problems:
                yield f"not known whether it moved: {problem}"
        if now.problems:
            return
        old, new = self.hosts, now.hosts
        other = [host for host in old if host in new and old[host] != new[host]]
        for word, hosts in (
            ("gone", [host for host in old if host not in new]),
            ("new", [host for host in new if host not in old]),
            ("address, groups or variables changed", other),
        ):
            if hosts:
                yield f"{word}: {some(hosts)}"
        for name, value in self.present.items():
            if now.present.get(name) != value:
                yield f"{name} is {now.present.get(name, 'not there')}, was {value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """One preview of one plan. `by` is who signed for it, empty for the executor's word alone.

    `moved` says what has moved since the preview was made, `stale` what is no longer as the plan has it, so that
    check 6 would refuse a run now; both are empty where nobody has looked again.
    """

    plan: str
    at: datetime
    by: str
    world: WorldSeen
    seen: tuple[Seen, ...]
    notes: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        """Return how many (host, task) pairs would end how, and how many checks pass or fail now."""
        counted = Counter(one.outcome for one in self.seen)
        return {name: counted[name] for name in OUTCOMES if counted[name]}

    def to_json(self, *, diffs: bool = False) -> dict[str, Any]:
        """Return it as data, the differences only where they are asked for."""
        seen = [{k: v for k, v in asdict(one).items() if diffs or k != "diff"} for one in self.seen]
        world = self.world
        return {
            "schema": SCHEMA,
            "plan": self.plan,
            "at": format_time(self.at),
            "by": self.by,
            "world": {
                "hosts": dict(world.hosts),
                "present": dict(world.present),
                "problems": list(world.problems),
            },
            "notes": list(self.notes),
            "seen": seen,
            "moved": list(self.moved),
            "stale": list(self.stale),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Preview":
        """Read what `to_json` wrote."""
        world = value["world"]
        return cls(
            plan=value["plan"],
            at=parse_time(value["at"]),
            by=value["by"],
            world=WorldSeen(
                hosts=world["hosts"], present=world["present"], problems=tuple(world["problems"])
            ),
            seen=tuple(Seen(**one) for one in value["seen"]),
            notes=tuple(value["notes"]),
        )


def lines(found: Preview, *, now: datetime, diffs: bool = False) -> Iterator[str]:
    """Yield a preview for an approver: age, what moved, counts, then tasks by step, hosts that agree on one line."""
    by = f"signed by {found.by}" if found.by else "self-attested"
    counts = "  ".join(f"{name} {count}" for name, count in found.counts().items())
    yield f"{counts or 'nothing was asked'}  ({age(now - found.at)} old, {by})"
    yield from (f"  moved since the preview: {one}" for one in found.moved)
    yield from (f"  check 6 would refuse a run now: {one}" for one in found.stale)
    for phase in ("do", "undo"):
        members = [one for one in found.seen if one.phase == phase]
        if members and phase == "undo":
            yield "  undo, if it were run now:"
        yield from _grouped(members, indent="    " if phase == "undo" else "  ", diffs=diffs)
    yield from (f"  note: {note}" for note in found.notes)


def _grouped(seen: list[Seen], *, indent: str, diffs: bool) -> Iterator[str]:
    groups: dict[tuple[str, str, str, str], list[Seen]] = {}
    for one in seen:
        groups.setdefault((one.step, one.name or one.action, one.outcome, one.why), []).append(one)
    quiet = Counter(one.outcome for one in seen if one.outcome in _QUIET)
    for (step, name, outcome, why), members in groups.items():
        if outcome == "unchanged" and not diffs:
            continue
        reason = f"  ({why})" if why else ""
        yield f"{indent}{outcome:<12} {step}: {name}  {some([one.host for one in members])}{reason}"
        for one in members if diffs else ():
            yield from (f"{indent}    {one.host}: {line}" for line in one.diff.splitlines())
    if seen and quiet.total() == len(seen) and not diffs and "passes" not in quiet:
        yield f"{indent}nothing would change"


def age(passed: timedelta) -> str:
    """Say how long ago something was, in the one unit that says it best."""
    minutes = int(passed.total_seconds() // 60)
    for unit, length in (("day", 1440), ("hour", 60), ("minute", 1)):
        if minutes >= 2 * length or (unit == "minute"):
            count = minutes // length
            return f"{count} {unit}" + ("" if count == 1 else "s")
    return ""


def some(names: list[str]) -> str:
    """Name the first few."""
    left = len(names) - _SOME
    return " ".join(names[:_SOME]) + (f" and {left} more" if left > 0 else "")
