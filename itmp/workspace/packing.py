"""`itmp audit archive`: periods that are over, packed, brought back, and dropped when the policy allows it.

Rules kept here: the policy's retention decides: `hot` days after its end a period may be packed, `keep` days after it
its packed log may be dropped; a packed file has been verified before the folder that it was made from goes; a handover
is never touched, so that evidence of later changes still leads back; packing and dropping are written to the log.
"""

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, TypeAlias

from itmp import canonical
from itmp.adapters.clock import SystemClock, new_id
from itmp.adapters.posix_log import durable
from itmp.adapters.posix_log import packed as packed_log
from itmp.adapters.posix_log.periods import PERIODS, names
from itmp.audit import Event, Leaf, verify
from itmp.audit.published import bundled
from itmp.change import PolicyHistory
from itmp.change.handover import period_of
from itmp.errors import EvidenceInvalidError, InvalidInputError, NotFoundError, RefusedError
from itmp.signing import NoteVerifier
from itmp.workspace import periods
from itmp.workspace.place import EXECUTOR, Workspace

Where: TypeAlias = Literal["current", "here", "packed", "dropped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One period: where its log is, how many leaves it has, when it ended, and until when it must stay as it is.

    `ended` is None for the current one; `hot` is until when it stays in place, `keep` until when it stays at all.
    """

    name: str
    where: Where
    size: int
    ended: datetime | None = None
    hot: datetime | None = None
    keep: datetime | None = None
    file: str = ""
    digest: str = ""


def audit_periods(place: Workspace) -> tuple[Shard, ...]:
    """Return every period, oldest first."""
    found = [_shard(place, history) for history, _ in periods.chain_of(place)]
    now = Shard(name=period_of(place.log.origin), where="current", size=place.log.size())
    return (*reversed(found), now)


def audit_archive(place: Workspace, name: str, *, back: bool = False, drop: bool = False) -> Shard:
    """Pack a period, bring a packed one back, or drop one that is old enough. `RefusedError`: it is too young."""
    if back and drop:
        raise InvalidInputError("a period is brought back or dropped, not both")
    _ = place.log
    history = next((one for one, _ in periods.chain_of(place) if period_of(one.origin) == name), None)
    if history is None:
        raise NotFoundError(f"no period {name!r:.40} has ended here", do="See: itmp audit archive")
    if back:
        _bring_back(place, name, history)
    elif drop:
        _drop(place, name, history)
    elif (place.state / PERIODS / name).is_dir():
        _pack(place, name, history)
    return _shard(place, history)


def reader(place: Workspace, name: str) -> packed_log.PackedReader | None:
    """Return a packed period's log; None where there is none."""
    path = _file(place, name)
    return packed_log.PackedReader(path) if path.is_file() else None


def trails(place: Workspace) -> Iterator[tuple[PolicyHistory, Iterable[Leaf]]]:
    """Yield every period that is here, packed or not, with its leaves: oldest first, this one last."""
    for history, _ in reversed(list(periods.chain_of(place))):
        name = period_of(history.origin)
        packed = None if name in names(place.state) else reader(place, name)
        if name in names(place.state):
            one = periods.of_period(place, name)
            yield one.history(), one.log.leaves()
        elif packed is not None and history.ended is not None:
            data = bundled(packed, history.ended.index + 1)
            yield history, (Leaf(index=index, data=leaf) for index, leaf in enumerate(data))
    yield place.history(), place.log.leaves()


def unread_until(place: Workspace) -> datetime | None:
    """Return when the newest period ended of which `trails` has no leaves; None where it has those of all."""
    previous = place.history().previous
    for history, _ in periods.chain_of(place):
        name = period_of(history.origin)
        if name not in names(place.state) and not _file(place, name).is_file():
            break
        previous = history.previous
    return previous.at if previous else None


def _file(place: Workspace, name: str) -> Path:
    return place.state / PERIODS / f"{name}{periods.PACKED}"


def _shard(place: Workspace, history: PolicyHistory) -> Shard:
    name, ended = period_of(history.origin), history.ended
    retention, path = place.history().latest.policy.retention, _file(place, name)
    where: Where = "here" if name in names(place.state) else "packed" if path.is_file() else "dropped"
    at = ended.at if ended else None
    return Shard(
        name=name,
        where=where,
        size=ended.index + 1 if ended else 0,
        ended=at,
        hot=at + retention.hot if at else None,
        keep=at + retention.keep if at else None,
        file=str(path) if where == "packed" else "",
        digest=canonical.digest(path.read_bytes()) if where == "packed" else "",
    )


def _refuse_young(name: str, history: PolicyHistory, least: timedelta, word: str) -> None:
    until = history.ended.at + least if history.ended else None
    if until is None or SystemClock().now() < until:
        raise RefusedError(
            f"period {name} may not be {word} yet: the policy keeps it until {until:%Y-%m-%d}",
            do="Wait, or change `retention` in the policy: itmp policy propose.",
        )


def _pack(place: Workspace, name: str, history: PolicyHistory) -> None:
    """Pack, verify what was packed, and only then let the folder go."""
    _refuse_young(name, history, place.history().latest.policy.retention.hot, "packed")
    old = periods.of_period(place, name)
    target = _file(place, name)
    listed = "".join(f"{change}\n" for change in old.log.changes()).encode()
    packed_log.pack(old.shard, target)
    with durable.unavailable("written", target):
        durable.replace(target.with_suffix(periods.CHANGES), listed)
    try:
        _check(packed_log.PackedReader(target), history)
    except EvidenceInvalidError:
        target.unlink()
        raise
    _note(place, name, target, "packed")
    gone = old.shard.with_name(f".{name}.old")
    shutil.rmtree(gone, ignore_errors=True)
    old.shard.rename(gone)  # it goes by its name first, so that no half of it is taken for a log
    shutil.rmtree(gone)


def _check(made: packed_log.PackedReader, history: PolicyHistory) -> None:
    """Raise `EvidenceInvalidError` unless a packed log is the whole log of the period, by its own numbered rules."""
    for one in verify(made, [NoteVerifier.parse(history.log_key)], genesis=history.genesis.leaf):
        if one.grave:
            raise EvidenceInvalidError(
                f"the packed log does not hold: {one.name}: {one.message}",
                where=one.place,
                do="See: itmp audit verify",
            )


def _bring_back(place: Workspace, name: str, history: PolicyHistory) -> None:
    if (place.state / PERIODS / name).is_dir():
        return
    made = reader(place, name)
    if made is None:
        raise NotFoundError(
            f"the packed log of period {name} is not here",
            where=str(_file(place, name)),
            do="Put the file there.",
        )
    _check(made, history)
    shutil.rmtree(place.state / PERIODS / f".{name}.new", ignore_errors=True)
    packed_log.unpack(made, place.state / PERIODS / name)
    _ = periods.of_period(place, name).log  # it opens, so the packed file may go
    _file(place, name).unlink()


def _drop(place: Workspace, name: str, history: PolicyHistory) -> None:
    if (place.state / PERIODS / name).is_dir():
        raise InvalidInputError(
            f"period {name} is not packed", do=f"Pack it first: itmp audit archive {name}"
        )
    _refuse_young(name, history, place.history().latest.policy.retention.keep, "dropped")
    if _file(place, name).is_file():
        _note(place, name, _file(place, name), "dropped")
        _file(place, name).unlink()


def _note(place: Workspace, name: str, file: Path, what: str) -> None:
    """Write to the log what becomes of a period: the intent is durable before the effect."""
    with file.open("rb") as opened:
        found = canonical.digest(opened.read())
    data = {"period": name, "archive": found, "what": what}
    place.log.append(Event(id=new_id(), type="log.exported", actor=dict(EXECUTOR), data=data))
    place.log.checkpoint()
