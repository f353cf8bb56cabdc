"""Verbs about the policy: propose, sign, test; proposals with one signer more or less.

Rules kept here: the policy in force is the logged one and changes only by its own quorum; a proposal is bytes, kept
in the log's blobs by digest; each signature names the old and the new digest, and the one that completes the quorum
writes `policy.changed` with all of them. Signatures that expired meanwhile, or were used before, are passed over; what
is about to be written is judged first as every reader will judge it, because a version that does not hold would end the
log's use for good.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import yaml

from itmp.adapters.clock import SystemClock, new_id
from itmp.audit import Event, Expect, Leaf
from itmp.canonical import Digest, parse_digest
from itmp.change import Policy, PolicyHistoryError, StatementRefusedError, policy_history
from itmp.change.statements import Writ, verify_writ
from itmp.errors import InvalidInputError, NotFoundError, RefusedError
from itmp.plan import Plan
from itmp.signing import PublicKey, Signed, Statement
from itmp.workspace import anchoring, changes, statements
from itmp.workspace.place import EXECUTOR, Workspace
from itmp.workspace.plain import read_plain, read_statements

PROPOSALS: Final = "proposals"
_SPAN: Final = timedelta(minutes=1)  # a statement must hold until its leaf is written


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """A proposal: who has signed it, how many must, and whether it is in force now.

    `version` is then the line that auditors keep in TRUST/versions.
    """

    digest: Digest
    signers: tuple[str, ...]
    needed: int
    in_force: bool
    version: str = ""


def policy_propose(place: Workspace, file: Path, *, key: str | None = None) -> Proposed:
    """Check a proposed policy, keep its bytes and sign it."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise NotFoundError(
            f"cannot be read: {error.strerror}",
            where=str(file),
            do="Name a policy file: itmp policy show > FILE",
        ) from error
    proposal = Policy.from_bytes(data)
    if proposal.digest == place.history().latest.policy.digest:
        raise InvalidInputError("this is the policy in force", where=str(file))
    folder = place.state / PROPOSALS
    folder.mkdir(exist_ok=True, mode=0o700)
    (folder / _name(proposal.digest, "yml")).write_bytes(data)
    return policy_sign(place, proposal.digest, key=key)


def policy_sign(place: Workspace, digest: str, *, key: str | None = None) -> Proposed:
    """Sign a proposal; write `policy.changed` once the old policy's quorum is complete."""
    own = policy_lines(place, digest)
    _, signed, _ = changes.sign_act(place, "policy", lambda _: own, key)
    return policy_take(place, signed)


def policy_lines(place: Workspace, digest: str) -> Mapping[str, str]:
    """Return the own lines of a statement for a kept proposal."""
    return {"from": place.history().latest.policy.digest, "to": _proposal(place, digest).digest}


def policy_take(place: Workspace, signed: Signed) -> Proposed:
    """Take a signature for a kept proposal; the one that completes the quorum writes `policy.changed`."""
    statements.check(place, signed)
    folder, fields = place.state / PROPOSALS, Statement.parse(signed.text).fields
    name = parse_digest(fields["to"])
    head, old, new = place.log.policy_head(), place.history().latest.policy, _proposal(place, name)
    if fields["from"] != old.digest:
        raise InvalidInputError("it changes another policy than the one in force", where="from")
    if not any(_counting(place, [signed], old)):
        raise RefusedError(
            f"{fields['signer']} does not change the policy as {fields['role']} with this signature",
            do=f"A person must sign it anew, in one of these roles: {', '.join(old.amend.roles)}.",
        )
    given = tuple(_counting(place, _collect(folder / _name(name, "json"), signed, old.digest), old))
    signers = tuple(dict.fromkeys(_signer(item) for item in given))
    if len(signers) < old.amend.count:
        return Proposed(digest=new.digest, signers=signers, needed=old.amend.count, in_force=False)
    event = Event(
        id=new_id(),
        type="policy.changed",
        actor=dict(EXECUTOR),
        data={"policy": new.data.decode(), "statements": [item.to_data() for item in given]},
    )
    _judge(place, event)
    receipt = place.log.append(event, expect=Expect(change=None, head=head))
    anchoring.checkpoint(place)
    (folder / _name(name, "json")).unlink(missing_ok=True)  # each signature counts once
    if place.history().latest.policy.digest != new.digest:
        raise PolicyHistoryError("the new policy did not come into force", do="See: itmp audit verify")
    version = f"{place.log.origin} {receipt.index} {receipt.hash}"
    return Proposed(
        digest=new.digest, signers=signers, needed=old.amend.count, in_force=True, version=version
    )


def policy_test(place: Workspace, plan: Plan) -> Mapping[str, str]:
    """Say how the policy in force reads a plan and whom it asks."""
    policy = place.history().latest.policy
    reading = policy.read(plan.manifest)
    found = {"environment": reading.environment, "risk": reading.risk}
    for kind in ("standard", "normal", "emergency"):
        try:
            rule = policy.quorum_for(reading.environment, reading.risk, kind)
        except RefusedError:
            found[kind] = "not allowed"
        else:
            found[kind] = f"{rule.count} of {', '.join(rule.roles)}" if rule.count else "nobody else"
    return found


def signers_add(
    place: Workspace,
    signer: str,
    public_key: Path,
    *,
    roles: tuple[str, ...],
    output: Path,
    kind: str = "human",
) -> Policy:
    """Write a proposal with one more signer, or one more key for a known one."""
    document = _document(place)
    key = PublicKey.parse(read_plain(public_key, do="Name a public key file, FILE.pub."))
    known = next((entry for entry in document["signers"] if entry["id"] == signer), None)
    if known:
        known["keys"].append({"key": key.line})
        known["roles"] = list(dict.fromkeys([*known["roles"], *roles]))
    else:
        document["signers"].append(
            {"id": signer, "kind": kind, "roles": list(roles), "keys": [{"key": key.line}]}
        )
    return _write(document, output)


def signers_remove(place: Workspace, signer: str, output: Path) -> Policy:
    """Write a proposal without a signer."""
    document = _document(place)
    left = [entry for entry in document["signers"] if entry["id"] != signer]
    if len(left) == len(document["signers"]):
        raise NotFoundError(f"no signer {signer!r:.80} in the policy in force", do="See: itmp signers list")
    document["signers"] = left
    return _write(document, output)


def _document(place: Workspace) -> dict[str, Any]:
    value: dict[str, Any] = yaml.load(place.history().latest.policy.data, Loader=yaml.CSafeLoader)
    return value


def _write(document: dict[str, Any], output: Path) -> Policy:
    data = yaml.safe_dump(document, sort_keys=False, width=200).encode()
    policy = Policy.from_bytes(data)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(data)
    return policy


def _proposal(place: Workspace, digest: str) -> Policy:
    file = place.state / PROPOSALS / _name(parse_digest(digest), "yml")
    if not file.is_file():
        raise NotFoundError(f"no proposal {digest}", do="Propose it first: itmp policy propose FILE")
    return Policy.from_bytes(file.read_bytes())


def _collect(file: Path, signed: Signed, old: Digest) -> tuple[Signed, ...]:
    """Add a signature to those given so far for the same old policy, one per signer."""
    given = read_statements(file.read_bytes(), file) if file.is_file() else []
    kept = [item for item in given if f"\npolicy {old}\n" in item.text and _signer(item) != _signer(signed)]
    file.write_text(json.dumps([item.to_data() for item in (*kept, signed)]))
    return (*kept, signed)


def _counting(place: Workspace, given: Iterable[Signed], old: Policy) -> Iterator[Signed]:
    """Yield the signatures that count now and a minute from now, and that no version rests on yet."""
    log, now = place.log, SystemClock().now()
    used = {
        (one.fields["signer"], one.fields["nonce"])
        for leaf in log.policy_leaves()
        for item in (leaf.event.data or {}).get("statements", ())
        for one in (Statement.parse(item["text"]),)
    }
    writs = [Writ(index=log.size(), leaf=log.policy_head(), at=at) for at in (now, now + _SPAN)]
    for signed in given:
        with suppress(StatementRefusedError):
            for writ in writs:
                one = verify_writ(signed, writ=writ, policy=old, origin=log.origin)
            fresh = (one.signer, one.line("nonce")) not in used
            if fresh and one.kind == "human" and one.role in old.amend.roles:
                yield signed


def _judge(place: Workspace, event: Event) -> None:
    """Raise `PolicyHistoryError` unless the history would hold with this event as the log's next leaf."""
    now = SystemClock().now().isoformat(timespec="microseconds").replace("+00:00", "Z")
    leaf = Leaf(index=place.log.size(), data=replace(event, t=now).to_bytes())
    policy_history([*place.log.policy_leaves(), leaf])


def _signer(signed: Signed) -> str:
    return next(
        line.removeprefix("signer ") for line in signed.text.splitlines() if line.startswith("signer ")
    )


def _name(digest: Digest, suffix: str) -> str:
    return f"{digest.removeprefix('sha256:')}.{suffix}"
