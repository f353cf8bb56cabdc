"""Who opened which content, by whose signed word: read from raw leaves and the policy's versions.

Rules kept here:
1. A `log.read` that carries a statement rests on it: a `read` statement that counts at its leaf, names the leaf and the
   pointer that the event names, and was not used before.
2. One that carries none rests on the executor's word: a look at what is gone, or an event from before people signed.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from itmp.audit import Leaf
from itmp.change import PolicyHistory
from itmp.change.carried import NoStatementError, carried
from itmp.change.statements import verify_given
from itmp.errors import Error

READ: Final = "read"
"""The act that a person signs."""
READS: Final = b'"log.read"'
"""What the bytes of an event that tells of an opening hold; those of others may hold it too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Leaf `index` says that `pointer` of `leaf` was opened: `by` whom, as signed, with what reason.

    `by` is empty where nobody signed; `unfounded` says why a statement does not count, empty where it does.
    """

    index: int
    leaf: str
    pointer: str
    by: str = ""
    reason: str = ""
    unfounded: str = ""


def telling(
    leaves: Iterable[Leaf], history: PolicyHistory, tell: Callable[[Opening], None]
) -> Iterator[Leaf]:
    """Pass on `leaves` of the history's log, and tell each opening among them, in their order; no leaf is kept."""
    used = set[tuple[str, str]]()
    for leaf in leaves:
        if READS in leaf.data and leaf.event.type == "log.read":
            tell(_opening(leaf, history, used))
        yield leaf


def _opening(leaf: Leaf, history: PolicyHistory, used: set[tuple[str, str]]) -> Opening:
    data = leaf.event.data or {}
    told = Opening(index=leaf.index, leaf=str(data.get("leaf", "")), pointer=str(data.get("pointer", "")))
    for signed in carried(leaf.event):
        if isinstance(signed, NoStatementError):
            return replace(told, unfounded=signed.what)
        try:
            policy = history.at(leaf.index).policy
            given = verify_given(signed, leaf=leaf, policy=policy, origin=history.origin)
        except Error as error:
            return replace(told, unfounded=error.what)
        if (given.act, given.line("leaf"), given.line("pointer")) != (READ, told.leaf, told.pointer):
            return replace(told, unfounded="the statement is about another act or content")
        if (once := (given.signer, given.line("nonce"))) in used:
            return replace(told, unfounded="the statement was used before")
        used.add(once)
        return replace(told, by=given.signer, reason=given.line("reason"))
    return told
