"""Questions, and waits inside a rolling block, that are due again, because their world has moved.

Rules kept here: a question between batches concerns the batches that it lets begin, up to the next question, and is due
again once anything was begun after its answer in its batch or one before it, or what opens one of those that it lets
begin, as long as those have anything left to do; a question outside every block is due again, where its plan says so
(`anew`), once anything that stands before it was begun again, as long as anything after it is left to do; a wait is due
again once a step before it in its batch has run again.
Only what was settled with success comes again: a no stands.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from itmp.execution.accounting import HostState
from itmp.plan import AskStep, HostStep, led

if TYPE_CHECKING:
    from itmp.plan import LeafStep, RollingStep

Done: TypeAlias = Mapping[str, Mapping[str, HostState]]


class Placed(Protocol):
    """What is needed of a slice here; `units.Unit` is one."""

    @property
    def key(self) -> str:
        """The slice's key."""

    @property
    def step(self) -> "LeafStep":
        """Its step."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """Its hosts."""

    @property
    def block(self) -> "RollingStep | None":
        """Its rolling block."""

    @property
    def batch(self) -> int:
        """Its batch within the block."""

    @property
    def word(self) -> bool:
        """Whether nothing acts in it."""

    @property
    def opens(self) -> bool:
        """Whether it opens its batch."""

    @property
    def phase(self) -> str:
        """Its phase."""

    @property
    def targets(self) -> tuple[str, ...]:
        """Its hosts or resources."""


P = TypeVar("P", bound=Placed)


def settled_word(done: Done, unit: Placed) -> bool:
    """Whether a question was answered with yes, or a wait is over."""
    return unit.word and set(done.get(unit.key, {}).values()) == {"ok"}


def to_come(
    units: Sequence[P],
    done: Done,
    gone: Collection[str],
    block: "RollingStep",
    batches: Collection[int],
) -> bool:
    """Whether any host that is not `gone` has anything left to do in these batches."""
    return any(
        host not in gone and done.get(other.key, {}).get(host, "not_reached") == "not_reached"
        for other in units
        if other.block is block and other.batch in batches
        for host in other.hosts
    )


def _lets_begin(units: Sequence[P], done: Done, gone: Callable[[P], Collection[str]], word: P) -> bool:
    """Whether a word is a question outside every block that is asked anew, and has anything left that it lets begin."""
    if word.block is not None or not isinstance(word.step, AskStep) or not word.step.anew:
        return False
    return any(
        done.get(other.key, {}).get(target, "not_reached") == "not_reached" and target not in gone(other)
        for other in units[units.index(word) + 1 :]
        if other.phase == "do" and not other.word and not other.step.always
        for target in other.targets
    )


def due_after(units: Sequence[P], done: Done, gone: Callable[[P], Collection[str]], begun: P) -> Iterator[P]:
    """Yield the settled words that come again because `begun` has begun again; `gone` as in `overtaken`."""
    for unit in units[units.index(begun) + 1 :]:
        if not settled_word(done, unit):
            continue
        if _lets_begin(units, done, gone, unit):
            yield unit
        elif unit.block is None or unit.block is not begun.block:
            continue
        elif isinstance(unit.step, AskStep):
            if to_come(units, done, gone(begun), unit.block, led(unit.block, unit.step, unit.batch)):
                yield unit
        elif begun.opens and unit.batch == begun.batch:
            yield unit


def overtaken(
    units: Sequence[P],
    done: Done,
    gone: Callable[[P], Collection[str]],
    at: Mapping[str, Mapping[str, int]],
) -> Iterator[P]:
    """Yield the settled words after which something was begun that makes them due again.

    `gone` says which hosts take no part any more where a word stands; `at`, when what was begun.
    """
    for unit in units:
        if not settled_word(done, unit):
            continue
        if unit.block is None:
            if not _lets_begin(units, done, gone, unit):
                continue
        elif isinstance(unit.step, AskStep) and not to_come(
            units, done, gone(unit), unit.block, led(unit.block, unit.step, unit.batch)
        ):
            continue
        settled = max(at[unit.key].values())
        resting = _resting(units, unit)
        if any(begun > settled for other in resting for begun in at.get(other.key, {}).values()):
            yield unit


def _resting(units: Sequence[P], word: P) -> Iterator[P]:
    """Yield what makes a word due again when it is begun later: see the rules."""
    block = word.block
    if block is None:
        yield from (other for other in units[: units.index(word)] if not other.word)
        return
    own = [other for other in units if other.block is block and not other.word]
    if isinstance(word.step, AskStep):
        yield from (o for o in own if o.batch <= word.batch and isinstance(o.step, HostStep))
        yield from (o for o in own if o.opens and o.batch in led(block, word.step, word.batch))
    else:
        place = units.index(word)
        yield from (o for o in own if o.opens and o.batch == word.batch and units.index(o) < place)
