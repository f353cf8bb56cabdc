"""What a run's live view shows, as plain lines: a pure fold over its events.

Rules kept here: every line fits the width that is given; whatever came from a host or document is made harmless; a host
is counted once, as it stands now; which failures count, and how many slices are done, the run says.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, assert_never

from itmp.cli.printing import safe

if TYPE_CHECKING:
    from itmp.workspace import events as e
    from itmp.workspace.events import Outline, Planned, RunEvent

FINE: Final = frozenset({"ok", "changed", "skipped"})
ORDER: Final = (
    "ok",
    "changed",
    "skipped",
    "failed",
    "unreachable",
    "unknown",
    "not_reached",
    "at work",
    "to come",
)
_RANK: Final = ("unknown", "failed", "unreachable", "not_reached", "changed", "ok", "skipped")
COMING: Final = {"not_reached": "to come"}
"""What a run that goes on says of a host that it has yet to reach."""
_BAR: Final = 24
_STOPS: Final = "  stops   "
_MOST: Final = 6
"""Hosts at work that are shown one by one."""


class Piece(NamedTuple):
    """A part of a line and the style that it would like."""

    text: str
    style: str = ""


Line = tuple[Piece, ...]


@dataclass(slots=True)
class Board:
    """A run as its events have told it so far; `now` is any clock's seconds."""

    outline: "Outline | None" = None
    began: float = 0.0
    hosts: dict[str, str] = field(default_factory=dict)
    doing: dict[str, tuple[str, float]] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    excused: frozenset[str] = frozenset()
    slice: str = ""
    title: str = ""
    inside: tuple[str, ...] = ()
    slice_began: float = 0.0
    acted: Counter[str] = field(default_factory=Counter)
    done: int = 0
    working: bool = False
    total: int = 0
    undoing: bool = False
    stopping: str = ""
    waiting: str = ""

    def take(self, event: "RunEvent", now: float) -> None:
        """Take note of what happened."""
        from itmp.workspace import events as e  # noqa: PLC0415 - help stays fast

        match event:
            case e.RunStarted() | e.RunStands() | e.SlicePassed() | e.RunWarned():
                self._account(event, now)
            case e.SliceStarted():
                self.slice, self.title, self.inside = event.slice, event.title, event.hosts
                self.slice_began, self.undoing = now, event.phase == "undo"
                self.working = event.phase == "do"
                self.doing, self.acted, self.waiting = {}, Counter(), ""
            case e.ActionStarted():
                self.doing[event.host] = (event.name or event.action, now)
            case e.ActionFinished():
                self.doing.pop(event.host, None)
                self.acted.update([event.host] if event.outcome != "denied" else [])  # it was not done
            case e.HostChanged():
                self._stands(event.host, event.state)
            case e.SliceFinished():
                for host, state in event.states.items():
                    self._stands(host, state)
                self.doing, self.inside, self.waiting = {}, (), ""
            case e.RunFinished():
                self.hosts, self.doing, self.waiting = dict(event.hosts), {}, ""
            case e.RunStopped() | e.RunWaiting() | e.RunLooking() | e.AskStarted() | e.WaitStarted():
                self._halts(event)
            case _ as never:
                assert_never(never)

    def _account(self, event: "e.RunStarted | e.RunStands | e.SlicePassed | e.RunWarned", now: float) -> None:
        """Believe the run in what it has counted; what it passes over stands in its next count, a warning above."""
        from itmp.workspace import events as e  # noqa: PLC0415 - as above

        if isinstance(event, e.RunStarted):
            self.began, self.total = now, event.slices
            self.hosts = dict.fromkeys(event.hosts, "to come")
        elif isinstance(event, e.RunStands):
            self.done, self.failed, self.working = event.done, set(event.failed), False
            self.excused = frozenset(event.excused)
            self.hosts |= {host: COMING.get(state, state) for host, state in event.hosts.items()}

    def _halts(
        self, event: "e.RunStopped | e.RunWaiting | e.RunLooking | e.AskStarted | e.WaitStarted"
    ) -> None:
        """Take note of what keeps the run from acting."""
        from itmp.workspace import events as e  # noqa: PLC0415 - as above

        match event:
            case e.RunStopped():
                self.stopping = event.why
            case e.RunWaiting():
                self.waiting = f"for {event.target}: {event.change} holds it"
            case e.RunLooking():
                self.waiting = f"for what was left at work on {' '.join(event.hosts) or event.slice}"
            case e.AskStarted():
                self.waiting = f"for an answer to {event.slice} ({event.answer}): {event.question}"
            case e.WaitStarted():
                self.waiting = f"until {event.until}"

    def _stands(self, host: str, state: str) -> None:
        """A host stands as its worst slice does; what an undo reaches stands anew."""
        before = self.hosts.get(host, "to come")
        worse = before == "to come" or self.undoing or _RANK.index(state) < _RANK.index(before)
        if worse or before not in _RANK:
            self.hosts[host] = state
        if state not in FINE and not self.undoing:
            self.failed.add(host)

    def counts(self) -> Mapping[str, int]:
        """Return how many hosts stand how."""
        at_work = set(self.doing)
        return Counter("at work" if host in at_work else state for host, state in self.hosts.items())

    def planned(self, name: str) -> "Planned | None":
        """Return a slice of the outline by its key."""
        slices = self.outline.slices if self.outline else ()
        return next((one for one in slices if one.slice == name), None)

    def following(self) -> "Planned | None":
        """Return the slice that comes after the one at work."""
        keys = [one.slice for one in self.outline.slices] if self.outline else []
        after = keys.index(self.slice) + 1 if self.slice in keys else len(keys)
        return self.outline.slices[after] if self.outline and after < len(keys) else None


def lines(board: Board, now: float, *, width: int, most: int = _MOST) -> tuple[Line, ...]:
    """Return the view: at most 8 lines and `most` for hosts at work, each at most `width` characters."""
    shown = [
        _head(board, now, width),
        _now(board, now),
        _waits(board),
        _hosts(board),
        *_stops(board, width),
        _next(board),
    ]
    shown += [_host(name, board.doing[name], now) for name in list(board.doing)[:most]]
    left = len(board.doing) - most
    shown += [(Piece(f"          {left} more at work", "dim"),)] if left > 0 else []
    return tuple(cut(line, width) for line in shown if line)


def cut(line: Line, width: int) -> Line:
    """Return the line, shortened to `width` characters with its last ones given as `...`."""
    if sum(len(piece.text) for piece in line) <= width:
        return line
    pieces, left = list[Piece](), width - 3
    for piece in line:
        pieces.append(Piece(piece.text[:left], piece.style))
        left -= len(piece.text)
        if left <= 0:
            break
    return (*pieces, Piece("..."))


def _head(board: Board, now: float, width: int) -> Line:
    """The bar, how far, how long, and of what: the title last, because it is what may be cut."""
    bar = min(_BAR, max(4, width // 5))
    full = bar * board.done // board.total if board.total else 0
    title = safe(board.outline.title) if board.outline else ""
    of = f"step {board.done + board.working} of {board.total}"
    part = board.planned(board.slice)
    batch = f"  batch {part.batch} of {part.batches}" if part and part.batch else ""
    how = "undoing" if board.undoing else "stopping" if board.stopping else "running"
    return (
        Piece(f"[{'#' * full}{'-' * (bar - full)}]"),
        Piece(f" {how}", "failed" if board.stopping or board.undoing else "bold"),
        Piece(f"  {of}{batch}  {clock(now - board.began)}  {title}"),
    )


def _now(board: Board, now: float) -> Line:
    if not board.slice:
        return ()
    return (
        Piece("  now     "),
        Piece(safe(board.title), "bold"),
        Piece(f"  {_acted(board)}  {clock(now - board.slice_began)}"),
    )


def _waits(board: Board) -> Line:
    return (Piece("  waits   "), Piece(safe(board.waiting), "bold")) if board.waiting else ()


def _acted(board: Board) -> str:
    """How much of the slice was done: actions, and on how many of its hosts at least one."""
    return f"{board.acted.total()} actions on {len(board.acted)} of {len(board.inside)} hosts"


def _hosts(board: Board) -> Line:
    counted = board.counts()
    pieces = [Piece(f"{state} {counted[state]}  ", state) for state in ORDER if counted.get(state)]
    return (Piece("  hosts   "), *pieces)


def _stops(board: Board, width: int) -> tuple[Line, ...]:
    """When it would stop by itself: the failures that are left, the window's end; a line each where it is narrow."""
    if board.stopping:
        return ((Piece(_STOPS), Piece(safe(board.stopping), "failed")),)
    part = board.planned(board.slice)
    parts = []
    if part and part.budget is not None:
        counted = board.failed if part.excuses else board.failed | board.excused
        parts.append(_allowed(len(counted), part.budget))
    if board.outline and board.outline.window_end:
        parts.append(f"window ends {board.outline.window_end}")
    together = "; ".join(parts)
    said = (together,) if together and len(_STOPS) + len(together) <= width else parts
    return tuple((Piece(_STOPS if n == 0 else " " * len(_STOPS)), Piece(part)) for n, part in enumerate(said))


def _allowed(failed: int, budget: int) -> str:
    """Say how many may still fail; failures that this step's own budget does not cover were allowed elsewhere."""
    if failed < budget:
        return f"{failed} failed, {budget - failed} more allowed"
    used = f"{failed} of {budget} failed hosts allowed" if failed == budget > 0 else f"{failed} failed"
    return f"{used}, stops at one more"


def _next(board: Board) -> Line:
    following = None if board.undoing or board.stopping else board.following()
    if following is None:
        return ()
    batch = f"batch {following.batch} of {following.batches}, " if following.batch else ""
    return (Piece("  next    "), Piece(f"{safe(following.title)}  ({batch}{len(following.hosts)} hosts)"))


def _host(name: str, doing: tuple[str, float], now: float) -> Line:
    what, began = doing
    return (Piece(f"          {safe(name)}  "), Piece(f"{safe(what)}  {clock(now - began)}", "dim"))


def clock(seconds: float) -> str:
    """Return a duration as `4:05` or `1:04:05`."""
    whole = max(0, int(seconds))
    minutes, second = divmod(whole, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02d}:{second:02d}" if hour else f"{minute}:{second:02d}"
