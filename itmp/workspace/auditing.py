"""Verbs of the trail: verify, checkpoint, anchor, evidence (`entries` lists and shows events).

Rules kept here: nothing that is shown or proven is an index's word; verifying recomputes everything from the raw
entries and asks nothing of the code that wrote them; a report names every finding with its rule, place and reason.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from itmp.adapters import posix_log
from itmp.adapters.ssh_keygen import strict_verify
from itmp.anchors import Coverage
from itmp.audit import Finding, Leaf
from itmp.audit.verify import verify
from itmp.canonical import Digest, digest, of_raw
from itmp.errors import Error, EvidenceInvalidError
from itmp.signing import NoteVerifier, SignatureError, Signed, verify_signed
from itmp.workspace import anchoring, changes
from itmp.workspace.place import Workspace
from itmp.workspace.planning import write_file

DAMAGED: Final = 40
FORK: Final = 42
FORKS: Final = frozenset({"forked", "rolled-back"})
STRICT_RULE: Final = 14
"""Our own number for what stock `ssh-keygen` says under `--strict`; 1 to 13 are `itmp.audit.verify`'s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogReport:
    """What a whole log is: how long, its root, and everything found wrong with it."""

    size: int
    root: Digest
    findings: tuple[Finding, ...]
    coverage: tuple[Coverage, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 when nothing grave was found, 42 for a fork or rollback, else 40.

        Entries that do not even give the root of the newest head are damaged, and prove no second history.
        """
        grave = {finding.name for finding in self.findings if finding.grave}
        if not grave:
            return 0
        return FORK if grave & FORKS and "root-mismatch" not in grave else DAMAGED


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An evidence file."""

    digest: Digest
    size: int


def audit_verify(place: Workspace, *, strict: bool = False) -> LogReport:
    """Check the whole log of this workspace; `strict` also asks stock ssh-keygen about every signature."""
    log = place.log
    vkey = NoteVerifier.parse(log.vkey)
    findings = list(verify(posix_log.open_reader(place.state / "log"), (vkey,), genesis=log.leaf(0).hash))
    try:
        place.history()
    except EvidenceInvalidError as error:
        findings.append(
            Finding(rule=STRICT_RULE, name="policy-history", place=error.where, message=error.what)
        )
    if strict:
        findings += [finding for leaf in log.leaves() for finding in _strict(place, leaf)]
    signed = log.checkpoint().checkpoint
    found, coverage = anchoring.survey(place)
    return LogReport(
        size=signed.size, root=of_raw(signed.root), findings=(*findings, *found), coverage=coverage
    )


def audit_checkpoint(place: Workspace) -> str:
    """Publish and return the newest signed checkpoint."""
    return place.log.checkpoint().note.decode()


def audit_anchor(place: Workspace) -> tuple[anchoring.Anchored, ...]:
    """Publish the newest head and have every configured anchor remember it; say what became of each."""
    place.log.checkpoint()
    return anchoring.anchor(place)


def log_vkey(place: Workspace) -> str:
    """Return the log's public key in the form of signed notes."""
    return place.log.vkey


def evidence(place: Workspace, name: str, output: Path, *, since: Path | None = None) -> Written:
    """Write one change's evidence; anyone can check it with `itmp-verify` or `verify.sh`."""
    from itmp.evidence import build  # noqa: PLC0415 - only this verb builds bundles

    change = changes.resolve(place, name)
    anchoring.checkpoint(place)
    data = build(place.log, change, since=since.read_bytes() if since else None)
    write_file(output, data)
    return Written(digest=digest(data), size=len(data))


def _strict(place: Workspace, leaf: Leaf) -> tuple[Finding, ...]:
    """Ask stock ssh-keygen about every statement in a leaf, by the keys of the policy in force there."""
    data: dict[str, Any] = dict(leaf.event.data or {})
    items = data.get("statements") or ([data] if "signature" in data else [])
    policy, found = place.history().at(leaf.index).policy, []
    for item in items:
        try:
            signed = Signed.from_data({"text": item["text"], "signature": item["signature"]})
            statement, by = verify_signed(signed, domain=place.log.origin.partition("/")[0])
            principal = statement.fields["signer"]
            if policy.key_of(principal, by.key) is None:
                raise SignatureError(f"{by.key.fingerprint} is no key of {principal}")
            strict_verify(signed, principal=principal, key=by.key)
        except Error as error:
            found.append(
                Finding(rule=STRICT_RULE, name="ssh-keygen", place=f"leaf {leaf.index}", message=error.what)
            )
    return tuple(found)
