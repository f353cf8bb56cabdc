"""What stock `ssh-keygen` says of every statement in a log: `itmp audit verify --strict`.

Rules kept here: each statement is asked about, by the keys of the policy in force at its leaf; a leaf that must carry
one and carries none is a finding; nothing that a leaf says ends the asking. A leaf that is no event is told by rule 8
of `itmp.audit.verify`, and versions of the policy that cannot be walked by `policy-history`: there no signature can be
asked about, and that is said.
"""

from collections.abc import Iterator
from typing import Final

from itmp.adapters.ssh_keygen import strict_verify
from itmp.audit import Event, Finding, Leaf
from itmp.change import PolicyHistory
from itmp.change.carried import NoStatementError, carried
from itmp.errors import Error, InvalidInputError
from itmp.signing import SignatureError, Signed, verify_signed
from itmp.workspace.place import Workspace

RULE: Final = 14
"""Our own number for what rests on the policy: its history, redactions, and what stock `ssh-keygen` says.

1 to 13 are `itmp.audit.verify`'s.
"""


def asked(place: Workspace) -> Iterator[Finding]:
    """Yield what is wrong with the statements of one period; where they cannot be asked about, that is."""
    try:
        history = place.history()
        for leaf in place.log.leaves():
            yield from _of(leaf, history, place)
    except Error as error:
        why = f"not every signature could be asked about: {error.what}"
        at = f"period {place.period}" if place.period else error.where or "the log"
        yield Finding(rule=RULE, name="signatures-unjudged", place=at, message=why)


def _of(leaf: Leaf, history: PolicyHistory, place: Workspace) -> Iterator[Finding]:
    at = f"period {place.period}: leaf {leaf.index}" if place.period else f"leaf {leaf.index}"
    for one in _carried(leaf):
        if fault := _fault(one, leaf, history):
            if isinstance(one, NoStatementError):
                yield Finding(rule=RULE, name="statement-missing", place=at, message=fault)
            else:
                yield Finding(rule=RULE, name="ssh-keygen", place=at, message=fault)


def _carried(leaf: Leaf) -> Iterator[Signed | NoStatementError]:
    """Yield what `carried` does; nothing for a leaf that is no event."""
    try:
        event = Event.from_bytes(leaf.data)
    except InvalidInputError:
        return
    yield from carried(event)


def _fault(one: Signed | NoStatementError, leaf: Leaf, history: PolicyHistory) -> str:
    """Return what speaks against one statement; empty when nothing does."""
    if isinstance(one, NoStatementError):
        return one.what
    try:
        statement, by = verify_signed(one, domain=history.origin.partition("/")[0])
        principal = statement.fields["signer"]
        if history.at(leaf.index).policy.key_of(principal, by.key) is None:
            raise SignatureError(f"{by.key.fingerprint} is no key of {principal}")
        strict_verify(one, principal=principal, key=by.key)
    except Error as error:
        return error.what
    return ""
