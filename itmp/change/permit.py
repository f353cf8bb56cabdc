"""The permit: the gate's admission once it is a durable leaf, and the only thing that lets a run begin.

Rules kept here: a `Permit` exists only as `Permit.from_receipt` of its `permit.issued` leaf; nothing else
can construct one. A permit names everything it rests on, by digest, so that anyone can recompute the
admission; it is used up by the `run.started` or `run.resumed` that names its leaf.
"""

from collections.abc import Mapping
from dataclasses import InitVar, dataclass
from datetime import datetime
from typing import Any, Final, get_args

from itmp import canonical
from itmp.audit import Event, Receipt
from itmp.audit.event import leaf_digest
from itmp.calendars import format_time, parse_time
from itmp.canonical import Digest
from itmp.change.gate import Admission
from itmp.change.record import Mode
from itmp.errors import EvidenceInvalidError, RefusedError
from itmp.plan import Manifest, slices, targets

SCHEMA: Final = "itmp-permit/v1"
MAX_LISTED: Final = 24 * 1024  # bytes of host names that certainly fit into one leaf beside the rest
_MINT: Final = object()
_WHAT: Final = ("schema", "change", "plan", "run", "mode", "limit", "hosts", "steps")
_KEYS: Final = frozenset((*_WHAT, "policy", "statements", "binaries", "not_after"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """Leave to carry out one run.

    `hosts` are the only ones that may be touched, `limit` the same as the leaf lists them (empty where the
    plan has none or more than a leaf can hold). `leaf` is the hash of `permit.issued`.
    """

    change: str
    plan: Digest
    run: str
    mode: Mode
    hosts: frozenset[str]
    limit: tuple[str, ...]
    policy: Digest
    statements: tuple[Digest, ...]
    binaries: Mapping[str, str]
    not_after: datetime
    leaf: Digest
    index: int
    mint: InitVar[object] = None

    def __post_init__(self, mint: object) -> None:
        if mint is not _MINT:
            raise RefusedError(
                "a permit cannot be made, only received",
                do="Append permit_event(…) and use Permit.from_receipt.",
            )

    @classmethod
    def from_receipt(cls, receipt: Receipt, *, manifest: Manifest | None = None) -> "Permit":
        """Return the permit that the durable leaf of `receipt` holds.

        `manifest` is needed only for host names of more than `MAX_LISTED` bytes, which the leaf names by digest alone.
        Raises `EvidenceInvalidError` when the leaf is no permit or another manifest's.
        """
        event = receipt.leaf.event
        body = permit_body(event)
        if not receipt.durable or leaf_digest(receipt.leaf.data) != receipt.hash:
            raise EvidenceInvalidError(
                "a permit whose leaf is not durable or not the receipt's", where=event.change
            )
        names = tuple(body["limit"]) or (targets(manifest) if manifest else ())
        if body["hosts"] != hosts_digest(names):
            raise EvidenceInvalidError("the permit is for other hosts", where=event.change)
        return cls(
            change=event.change,
            plan=Digest(event.plan),
            run=event.run,
            mode=body["mode"],
            hosts=frozenset(names),
            limit=tuple(body["limit"]),
            policy=body["policy"],
            statements=tuple(body["statements"]),
            binaries=body["binaries"],
            not_after=parse_time(body["not_after"]),
            leaf=receipt.hash,
            index=receipt.index,
            mint=_MINT,
        )

    def covers(self, host: str) -> bool:
        """Whether `host` may be touched."""
        return host in self.hosts


def permit_event(
    admission: Admission,
    *,
    id: str,  # noqa: A002 - the event's own word
    run: str,
    manifest: Manifest,
    actor: Mapping[str, str],
    binaries: Mapping[str, str] | None = None,
) -> Event:
    """Return the `permit.issued` event of an admission; append it expecting the change's head unmoved."""
    if admission.mode not in {"run", "resume", "undo"}:
        raise RefusedError(f"an admission of a {admission.mode} is no permit to run", where=admission.change)
    fits = len(canonical.dumps(list(admission.hosts))) <= MAX_LISTED
    if not fits and admission.hosts != targets(manifest):
        raise RefusedError(
            f"a limit that leaves {len(admission.hosts)} hosts is too long for a permit",
            do="Limit to fewer, or to none.",
        )
    body = {
        "schema": SCHEMA,
        "change": admission.change,
        "plan": admission.plan,
        "run": run,
        "mode": admission.mode,
        "limit": list(admission.hosts) if fits else [],
        "hosts": hosts_digest(admission.hosts),
        "steps": steps_digest(manifest),
        "policy": admission.policy,
        "statements": list(admission.statements),
        "binaries": dict(binaries or {}),
        "not_after": format_time(admission.not_after.replace(microsecond=0)),
    }
    return Event(
        id=id,
        type="permit.issued",
        actor=actor,
        on_behalf_of=admission.runner,
        change=admission.change,
        plan=admission.plan,
        run=run,
        data={"permit": body},
    )


def hosts_digest(hosts: tuple[str, ...]) -> Digest:
    """The digest of a permit's hosts, whatever their order."""
    return canonical.digest(canonical.dumps(sorted(hosts)))


def steps_digest(manifest: Manifest) -> Digest:
    """The digest of a plan's slices in both phases: step, batch and hosts in their order."""
    parts = [(phase, part) for phase in ("do", "undo") for part in slices(manifest, phase)]
    return canonical.digest(
        canonical.dumps([[phase, part.step.id, part.batch, list(part.hosts)] for phase, part in parts])
    )


def permit_body(event: Event) -> Mapping[str, Any]:
    """Return what a `permit.issued` event says; raise `EvidenceInvalidError` unless it is whole and consistent."""
    body = (event.data or {}).get("permit")
    if event.type != "permit.issued" or not isinstance(body, dict) or body.keys() != _KEYS:
        raise EvidenceInvalidError("a leaf that is no permit", where=event.change)
    texts = [value for name, value in body.items() if name not in {"limit", "statements", "binaries"}]
    texts += [
        *_texts(body["limit"], list),
        *_texts(body["statements"], list),
        *_texts(body["binaries"], dict),
    ]
    if not all(isinstance(text, str) for text in texts) or body["mode"] not in get_args(Mode):
        raise EvidenceInvalidError("a leaf that is no permit", where=event.change)
    own = (SCHEMA, event.change, event.plan, event.run)
    if (body["schema"], body["change"], body["plan"], body["run"]) != own:
        raise EvidenceInvalidError("a permit that contradicts its own event", where=event.change)
    return body


def _texts(value: Any, kind: type[list[Any]] | type[dict[str, Any]]) -> list[Any]:
    """Return the values of a list or of an object, whichever must stand there; else what is no text."""
    if not isinstance(value, kind):
        return [None]
    return list(value.values()) if isinstance(value, dict) else list(value)
