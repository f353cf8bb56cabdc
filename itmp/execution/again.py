"""Questions and waits inside a rolling block that are due again, because their world has moved.

Rules kept here: a question between batches concerns the batch that it lets begin, and is due again once something was
begun after its answer that opens that batch, or one before it, as long as that batch has anything left to do; a wait is
due again once a step before it in its batch has run again. Only what was settled with success comes again: a no stands.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from itmp.execution.accounting import HostState
from itmp.plan import AskStep

if TYPE_CHECKING:
    from itmp.plan import LeafStep, RollingStep

Done: TypeAlias = Mapping[str, Mapping[str, HostState]]


class Placed(Protocol):
    """What is needed of a slice here; `course.Unit` is one."""

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


def due_after(units: Sequence[P], done: Done, gone: Collection[str], opened: P) -> Iterator[P]:
    """Yield the settled words that come again because `opened` has opened its batch again."""
    for unit in units[units.index(opened) + 1 :]:
        if unit.block is None or unit.block is not opened.block or not settled_word(done, unit):
            continue
        if isinstance(unit.step, AskStep):
            if to_come(units, done, gone, unit.block, (unit.batch + 1,)):
                yield unit
        elif unit.batch == opened.batch:
            yield unit


def overtaken(
    units: Sequence[P], done: Done, gone: Collection[str], at: Mapping[str, Mapping[str, int]]
) -> Iterator[P]:
    """Yield the settled words after which something was begun that makes them due again; `at`: when what was begun."""
    for place, unit in enumerate(units):
        if unit.block is None or not settled_word(done, unit):
            continue
        ask = isinstance(unit.step, AskStep)
        if ask and not to_come(units, done, gone, unit.block, (unit.batch + 1,)):
            continue
        batches = range(unit.batch + 2) if ask else (unit.batch,)
        before = [
            o for o in (units if ask else units[:place]) if o.block is unit.block and o.batch in batches
        ]
        settled = max(at[unit.key].values())
        if any(
            begun > settled for other in before if other.opens for begun in at.get(other.key, {}).values()
        ):
            yield unit
