"""What the statements in leaves say beside the act: which texts were signed, and which heads their signers had seen.

Rules kept here: a text that is no statement counts for nothing and has seen nothing; a statement for another log (the
one before, in a genesis that continues it) has seen that log's heads and none of this one's.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from itmp.audit import Leaf
from itmp.errors import InvalidInputError
from itmp.signing import Signed, Statement


def signed_in(leaf: Leaf) -> tuple[Signed, ...]:
    """Return the signed statements that a leaf holds, in its order; pairs that are none are passed over."""
    data: Mapping[str, Any] = leaf.event.data or {}
    if "statements" not in data and "text" not in data:  # as in most leaves
        return ()
    items = data.get("statements", [data])
    found = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    return tuple(
        Signed(text=item["text"], signature=item["signature"])
        for item in found
        if isinstance(item.get("text"), str) and isinstance(item.get("signature"), str)
    )


def seen_in(leaves: Iterable[Leaf], origin: str) -> dict[int, set[bytes]]:
    """Return size → roots of every head of log `origin` that the signers of these leaves had seen, but the empty."""
    found: dict[int, set[bytes]] = {}
    for leaf in leaves:
        for signed in signed_in(leaf):
            try:
                statement = Statement.parse(signed.text)
            except InvalidInputError:
                continue
            size, root = statement.seen
            if size and statement.fields["log"] == origin:
                found.setdefault(size, set()).add(root)
    return found
