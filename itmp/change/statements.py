"""One statement in its place in the log: who gave it, as what, and whether it counts there.

Rules kept here, in this order, each with the reason when it fails: the signature is good in the namespace
of the act and of this log's domain; the statement is for this log; it names the policy version in force at
its leaf; its signer is in that version with this very key, valid at the leaf's time, with the hardware
proofs the policy asks for; the signer holds the role and the role grants the act; the leaf's time lies in
the statement's interval; what the signer has `seen` is not larger than the log was. A statement that fails
counts for nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from itmp.audit import STANDING, Leaf
from itmp.canonical import Digest
from itmp.change.policy import Policy
from itmp.errors import Error, EvidenceInvalidError
from itmp.signing import Signed, SignedBy, Statement, verify_signed

TYPE_OF: Final = {
    "open": "change.opened",
    "approve": "change.approved",
    "reject": "change.rejected",
    "revoke": "change.revoked",
    "cancel": "change.canceled",
    "review": "change.reviewed",
    "close": "change.closed",
    "reconcile": "action.reconciled",
    "rotate": "key.rotated",
    "recover": "key.revoked",
    "preview": "plan.previewed",
    "read": "log.read",
}
"""Acts that have an event type of their own; the others land as `statement.recorded`."""
_YEARS: Final = (2000, 9000)  # far enough from the calendar's ends that any policy's durations can be added


class StatementRefusedError(EvidenceInvalidError):
    """A recorded statement that counts for nothing; `what` is the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A statement that counts: verified, in force at leaf `index`.

    `leaf` is the leaf's hash, `at` its time.
    """

    leaf: Digest
    index: int
    at: datetime
    kind: str
    statement: Statement

    @property
    def act(self) -> str:
        """What was done."""
        return self.statement.act

    @property
    def signer(self) -> str:
        """Who did it."""
        return self.statement.fields["signer"]

    @property
    def role(self) -> str:
        """As what."""
        return self.statement.fields["role"]

    @property
    def until(self) -> datetime:
        """Until when the signer means it."""
        return self.statement.valid[1]

    def line(self, name: str) -> str:
        """The value of one line; empty where the act has none or it says `-`."""
        value = self.statement.fields.get(name, "")
        return "" if value == "-" else value


def type_of(act: str) -> str:
    """Return the type of the event in which a statement of `act` stands."""
    return TYPE_OF.get(act, "statement.recorded")


def time_of(leaf: Leaf) -> datetime:
    """The time that the log wrote into the leaf; raise `EvidenceInvalidError` where it has none."""
    text = leaf.event.t
    try:
        moment = datetime.fromisoformat(text) if text.endswith("Z") else None
    except ValueError:
        moment = None
    if moment is None or not _YEARS[0] <= moment.year <= _YEARS[1]:
        raise EvidenceInvalidError(f"no UTC time: {text!r:.40}", where=f"leaf {leaf.index}")
    return moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Writ:
    """Where a statement stands: leaf `index`, hash `leaf`, written `at`."""

    index: int
    leaf: Digest
    at: datetime


def verify_given(signed: Signed, *, leaf: Leaf, policy: Policy, origin: str) -> Given:
    """Return the statement in `leaf` if it counts under `policy`, the version in force there.

    Raise `StatementRefusedError` with the first rule of the module's docstring that it breaks.
    """
    writ = Writ(index=leaf.index, leaf=leaf.hash, at=time_of(leaf))
    given = verify_writ(signed, writ=writ, policy=policy, origin=origin)
    expected = type_of(given.act)
    if leaf.event.type not in {expected, *STANDING}:
        raise StatementRefusedError(
            f"act {given.act} recorded as {leaf.event.type}, not as {expected}", where=f"leaf {leaf.index}"
        )
    return given


def verify_writ(signed: Signed, *, writ: Writ, policy: Policy, origin: str) -> Given:
    """Do the same for a statement whose leaf is not at hand: it stands where `writ` says, in log `origin`."""
    where = f"leaf {writ.index}"
    try:
        statement, signed_by = verify_signed(signed, domain=origin.partition("/")[0])
        _check_words(statement, policy, origin, writ.index)
        kind = _check_signer(statement, signed_by, writ.at, policy)
    except StatementRefusedError as error:
        raise StatementRefusedError(error.what, where=where) from error
    except Error as error:
        raise StatementRefusedError(f"{error.where}: {error.what}", where=where) from error
    return Given(leaf=writ.leaf, index=writ.index, at=writ.at, kind=kind, statement=statement)


def check_submission(signed: Signed, *, policy: Policy, origin: str, now: datetime, size: int) -> Statement:
    """Verify a statement that is about to be recorded as leaf `size` at `now`, under the same rules.

    Raise `StatementRefusedError`, so that a person learns at once that a statement would count for nothing.
    """
    try:
        statement, signed_by = verify_signed(signed, domain=origin.partition("/")[0])
        _check_words(statement, policy, origin, size)
        _check_signer(statement, signed_by, now, policy)
    except StatementRefusedError:
        raise
    except Error as error:
        raise StatementRefusedError(error.what, where=error.where) from error
    return statement


def _check_words(statement: Statement, policy: Policy, origin: str, size: int) -> None:
    fields = statement.fields
    if fields["log"] != origin:
        raise StatementRefusedError(f"the statement is for log {fields['log']}, this is {origin}")
    if fields["policy"] != policy.digest:
        raise StatementRefusedError(
            f"names policy {fields['policy']:.19}… where {policy.digest:.19}… was in force"
        )
    if statement.seen[0] > size:
        raise StatementRefusedError(f"has seen {statement.seen[0]} leaves where the log had {size}")


def _check_signer(statement: Statement, signed_by: SignedBy, at: datetime, policy: Policy) -> str:
    name, role = statement.fields["signer"], statement.fields["role"]
    signer, key = policy.signer(name), policy.key_of(name, signed_by.key)
    if signer is None or key is None:
        raise StatementRefusedError(f"key {signed_by.key.fingerprint} is not a key of {name} in the policy")
    if not key.valid_at(at):
        raise StatementRefusedError(f"the key of {name} was not valid at {at:%Y-%m-%dT%H:%M:%SZ}")
    if (
        signed_by.touched is False
        or (key.hardware and not signed_by.touched)
        or (key.pin and not signed_by.pin)
    ):
        raise StatementRefusedError(f"{name} signed without the touch or PIN that the policy asks for")
    if role not in signer.roles or not policy.may(role, statement.act):
        raise StatementRefusedError(f"{name} may not {statement.act} as {role}")
    if not statement.valid[0] <= at <= statement.valid[1]:
        raise StatementRefusedError(
            f"recorded at {at:%Y-%m-%dT%H:%M:%SZ}, outside valid {statement.fields['valid']}"
        )
    return signer.kind
