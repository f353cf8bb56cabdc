"""Statements: compose one against the log as it is now, have it signed, record it.

Rules kept here: a statement shows the signer everything that it binds; its `seen` line is a published checkpoint of
this log; the role is one that the policy in force gives this key; what is recorded is the text as signed.
"""

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from itmp.adapters.clock import SystemClock, new_id
from itmp.audit import Event, Expect, Receipt
from itmp.calendars import format_time
from itmp.canonical import Digest
from itmp.change.statements import type_of
from itmp.errors import ForkError, RefusedError
from itmp.signing import Signed, Statement, sign_statement
from itmp.workspace import anchoring, remembered
from itmp.workspace.place import Workspace

if TYPE_CHECKING:
    from itmp.change import Policy
    from itmp.signing import PersonalKey

VALID: Final = timedelta(hours=24)
"""How long a statement stays valid when neither the signer nor the policy says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Who signs: the id and kind that the policy gives this key, and the key."""

    id: str
    kind: str
    key: "PersonalKey"


def choose_signer(place: Workspace, policy: "Policy", option: str | None) -> Signer:
    """Find the key (`--key`, `ITMP_KEY`, `me`, agent) and who it is by the policy in force."""
    import os  # noqa: PLC0415 - the environment is read here and nowhere earlier

    from itmp.adapters.ssh_keygen import choose_key  # noqa: PLC0415 - only signing commands need it

    allowed = {entry.key for signer in policy.signers for entry in signer.keys}
    key = choose_key(option, os.environ, _my_key(place), allowed=allowed)
    for entry in policy.signers:
        if any(known.key == key.public for known in entry.keys):
            return Signer(id=entry.id, kind=entry.kind, key=key)
    raise RefusedError(
        f"no signer of the policy has the key {key.public.fingerprint}",
        where=f"policy {policy.digest}",
        do="Use another key (--key FILE), or have it enrolled: itmp signers add.",
    )


def _my_key(place: Workspace) -> str | None:
    """Return `me.key` of the configuration: a public key line as it stands, a path relative to the workspace."""
    me = place.config.me.key
    if not me or " " in me:
        return me or None
    return str(place.root / Path(me).expanduser())


def compose(
    place: Workspace,
    act: str,
    own: Mapping[str, str],
    *,
    signer: str,
    role: str,
    until: datetime | None = None,
) -> Statement:
    """Write the text that `signer` shall sign: `own` are the lines of the act itself."""
    if act != "stop":  # whatever became of the log, a person may stop a run
        remembered.refuse_rolled_back(place)
    policy = place.history().latest.policy
    now = SystemClock().now()
    end = until or now + VALID
    seen = place.log.checkpoint().checkpoint
    return Statement.compose(
        act,
        {
            "log": seen.origin,
            "signer": signer,
            "role": role,
            "policy": policy.digest,
            **own,
            "valid": f"{format_time(now)} {format_time(end)}",
            "seen": f"{seen.size} {base64.b64encode(seen.root).decode()}",
            "nonce": base64.b64encode(secrets.token_bytes(16)).decode(),
        },
    )


def sign(statement: Statement, signer: Signer) -> Signed:
    """Have `signer` sign the text, in the namespace of its act."""
    return sign_statement(statement, signer.key)


def role_for(policy: "Policy", signer: str, act: str) -> str:
    """Return the role that lets `signer` do `act`; refuse when there is none."""
    role = policy.role_for(signer, act)
    if role is None:
        held = getattr(policy.signer(signer), "roles", ())
        raise RefusedError(
            f"{signer} holds {', '.join(held) or 'no role'}, and none of them may {act}",
            do="Ask somebody whose role may, or change the policy: itmp policy propose.",
        )
    return role


def record(
    place: Workspace,
    statement: Statement,
    signed: Signed,
    *,
    actor: Mapping[str, str],
    change: str = "",
    plan: Digest | str = "",
    expect: Expect | None = None,
    data: Mapping[str, Any] | None = None,
    **more: Any,
) -> Receipt:
    """Write the signed statement to the log as the event of its act, durably, and publish a checkpoint."""
    event = Event(
        id=new_id(),
        type=type_of(statement.act),
        actor=dict(actor),
        change=change,
        plan=plan,
        data={**(data or {}), **signed.to_data()},
        **more,
    )
    if statement.act != "stop":
        remembered.refuse_rolled_back(place)
    receipt = place.log.append(event, expect=expect)
    anchoring.checkpoint(place)
    return receipt


def check(place: Workspace, signed: Signed) -> None:
    """Raise with the reason if a statement would count for nothing if it were recorded now.

    `ForkError` where its signer says to have seen another history: recorded, it would speak against the log for ever.
    """
    from itmp.change import check_submission  # noqa: PLC0415 - only offline statements need it

    policy, now, log = place.history().latest.policy, SystemClock().now(), place.log
    statement = check_submission(signed, policy=policy, origin=log.origin, now=now, size=log.size())
    size, root = statement.seen
    if size and log.root(size) != root:
        raise ForkError(
            f"{statement.fields['signer']} has seen another history of the first {size} leaves; nothing was written",
            where="seen",
            do="Keep this statement, and find out which log its signer was shown: itmp audit verify",
        )
