"""The periods of a workspace's log: where a change lies, and what leads from one period to the next.

Rules kept here: what changes something looks in the current period alone; what reads finds a change in any period that
is here, and says in which one it is where it cannot be read; the order of periods follows from what each log's genesis
says of the one before, never from a name.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from itmp.adapters.posix_log import durable
from itmp.adapters.posix_log.periods import PERIODS, names
from itmp.change import PolicyHistory, policy_history, time_of
from itmp.change.handover import period_of
from itmp.errors import Error, NotFoundError
from itmp.workspace.place import Workspace

if TYPE_CHECKING:
    from itmp.audit import Leaf

T = TypeVar("T")
HANDOVER: Final = ".handover"
PACKED: Final = ".tar"
CHANGES: Final = ".changes"
_MOST: Final = 64 * 1024 * 1024


def older(place: Workspace) -> tuple[str, ...]:
    """Return the periods before this one, newest first, also those that are archived."""
    return tuple(period_of(history.origin) for history, _ in chain_of(place))


@dataclass(frozen=True, slots=True, kw_only=True)
class Periods:
    """The period that is looked at, the `current` one, and those before it, newest first: read `here`, or `away`.

    `lost` is the one before all of these, to which no handover leads any more; empty where they are all there were.
    """

    name: str
    current: str
    here: tuple[str, ...] = ()
    away: tuple[str, ...] = ()
    lost: str = ""

    @property
    def others(self) -> tuple[str, ...]:
        """Those that can be looked at instead."""
        return tuple(name for name in (self.current, *self.here) if name != self.name)


def periods_of(place: Workspace) -> Periods:
    """Return which periods there are; `away` are those that are archived or were dropped."""
    now = place.in_period("") if place.period else place
    walked, readable = [history for history, _ in chain_of(now)], set(names(place.state))
    before, current = [period_of(history.origin) for history in walked], period_of(now.log.origin)
    previous = (walked[-1] if walked else policy_history([now.log.leaf(0)])).previous
    return Periods(
        name=place.period or current,
        current=current,
        here=tuple(name for name in before if name in readable),
        away=tuple(name for name in before if name not in readable),
        lost=period_of(previous.origin) if previous else "",
    )


def spanned(
    place: Workspace, since: datetime | None, until: datetime | None = None
) -> tuple[tuple[Workspace, ...], tuple[str, ...]]:
    """Return the periods with leaves in [since, until), oldest first, and the names of those that cannot be read here.

    One to which no handover leads is among the latter, and stands for all before it. Where none can be read, this one
    is returned, so that an answer rests on something. Of a workspace in one period it is that one alone.
    """
    if place.period:
        return (place,), ()
    first = place.log.leaf(0)
    found, away = [place] if until is None or time_of(first) < until else [], list[str]()
    previous = policy_history([first]).previous
    for history, members in chain_of(place):
        if since is not None and previous is not None and previous.at < since:
            break
        previous, name = history.previous, period_of(history.origin)
        if until is not None and time_of(leaves_of(members)[0]) >= until:
            continue
        if name in names(place.state):
            found.insert(0, of_period(place, name))
        else:
            away.insert(0, name)
    if previous is not None and handover_of(place.state, period_of(previous.origin)) is None:
        away[:0] = [period_of(previous.origin)] if since is None or previous.at >= since else []
    return tuple(found or [place]), tuple(away)


def way_back(place: Workspace, name: str) -> str:
    """Say what has to be done before a period that cannot be read here can be."""
    folder = place.state / PERIODS
    if (folder / f"{name}{PACKED}").is_file():
        return f"itmp audit archive {name} --back"
    if (folder / f"{name}{HANDOVER}").is_file():
        return "it was dropped: put its packed file back into .itmp/periods, if one was kept"
    return "nothing leads to it any more: restore .itmp/periods from a backup (see itmp audit verify)"


def of_period(place: Workspace, name: str) -> Workspace:
    """Return the workspace as it is read in period `name` (empty: this one).

    Raise `NotFoundError`, which says where it is.
    """
    if not name or (place.has_log and name == period_of(place.log.origin)):
        return place
    if name in names(place.state):
        return place.in_period(name)
    folder = place.state / PERIODS
    if (folder / f"{name}{PACKED}").is_file():
        raise NotFoundError(
            f"period {name} is archived",
            where=str(folder / f"{name}{PACKED}"),
            do=f"itmp audit archive {name} --back",
        )
    if name in older(place):
        raise NotFoundError(
            f"period {name} was dropped; its handover alone is here",
            do="Put its packed file back, if you kept one.",
        )
    here = ", ".join((*older(place), period_of(place.log.origin)))
    raise NotFoundError(f"there is no period {name!r:.40} here", do=f"Periods: {here}.")


def in_its_period(place: Workspace, name: str) -> Workspace:
    """Return the workspace in the period that has the change of this id or external reference."""
    if place.has_change(name):
        return place
    from itmp.workspace.glancing import Glances  # noqa: PLC0415 - only another name or period needs it

    try:
        Glances(place.reading(behind=True)).resolve(name)
    except NotFoundError as error:
        for period in names(place.state):
            one = of_period(place, period)
            try:
                Glances(one.reading(behind=True)).resolve(name)
            except NotFoundError:
                continue
            return one
        raise _packed(place, name) or error from error
    return place


def elsewhere(place: Workspace, name: str) -> NotFoundError:
    """Return the error for a change that this period has not: it says in which period it is."""
    try:
        found = in_its_period(place, name)
    except NotFoundError as error:
        return error
    return NotFoundError(
        f"{name} is a change of period {found.period}, which has ended",
        do=f"It can be read (itmp status {name}, itmp evidence {name} -o FILE); nothing joins it any more.",
    )


def _packed(place: Workspace, name: str) -> NotFoundError | None:
    folder = place.state / PERIODS
    for path in sorted(folder.glob(f"*{CHANGES}")) if folder.is_dir() else ():
        data = durable.read_file(path, _MOST) or b""
        if name.encode() in data.split():
            period = path.name.removesuffix(CHANGES)
            return NotFoundError(
                f"{name} is a change of period {period}, which is archived",
                do=f"itmp audit archive {period} --back",
            )
    return None


def anywhere(place: Workspace, ask: Callable[[Workspace], T]) -> T:
    """Ask in this period, and where it has not what is asked for in each earlier one that is here."""
    try:
        return ask(place)
    except NotFoundError:
        for period in () if place.period else names(place.state):
            with suppress(NotFoundError):
                return ask(of_period(place, period))
        raise


def handovers(place: Workspace, *, since: bytes | None = None) -> tuple[dict[str, bytes], ...]:
    """Return what leads here from the first period, oldest first; `since` is a checkpoint of one of them."""
    found = []
    for history, members in chain_of(place):
        proof = {}
        if since is not None and since.startswith(history.origin.encode() + b"\n"):
            from itmp.evidence.bundle import since_member  # noqa: PLC0415 - only for a kept checkpoint

            proof = since_member(of_period(place, period_of(history.origin)).log, since)
        found.append({**members, **proof})
    return tuple(reversed(found))


def chain_of(place: Workspace) -> Iterator[tuple[PolicyHistory, dict[str, bytes]]]:
    """Yield the logs before this one with their handovers, newest first, as far as they are here."""
    previous = policy_history([place.log.leaf(0)]).previous
    while previous is not None:
        members = handover_of(place.state, period_of(previous.origin))
        if members is None:
            return
        history = policy_history(leaves_of(members))
        yield history, members
        previous = history.previous


def leaves_of(members: dict[str, bytes]) -> "list[Leaf]":
    """Return the leaves of a handover."""
    from itmp.audit import Leaf  # noqa: PLC0415 - only here
    from itmp.evidence.frame import numbered  # noqa: PLC0415 - as above

    return [Leaf(index=index, data=data) for index, data in numbered(members, "leaves/", "")]


def handover_of(state: Path, period: str) -> dict[str, bytes] | None:
    """Return the members that lead from an ended period to the next; None where they are gone."""
    data = durable.read_file(state / PERIODS / f"{period}{HANDOVER}", _MOST)
    if data is None:
        return None
    from itmp.evidence import archive  # noqa: PLC0415 - most logs are in their first period

    try:
        return archive.unpack(data)
    except Error as error:
        raise NotFoundError(
            f"the handover of period {period} is damaged: {error.what}",
            do="Restore it from a backup of .itmp/periods.",
        ) from error
