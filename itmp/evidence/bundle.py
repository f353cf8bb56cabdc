"""What an evidence file holds, and how it is built from a log.

Rules kept here: same log, same checkpoint, same change give the same bytes. Besides the leaves and what
proves them, every member follows from the leaves (`derived`), so that the verifier recomputes instead of
believing:

| member | what it is |
|---|---|
| MANIFEST | sha256 of every other member, as sha256sum writes it |
| VERIFY.md | how to check this file with tools that are not ours |
| anchors/<name>.tsr | RFC 3161 time stamps over the checkpoint's text |
| anchors/<size>/<name>.note, .tsr | heads that others cosigned or stamped around statements, and those stamps |
| allowed_signers | every key of every policy version, for ssh-keygen |
| blobs/<hex> | host lists that were too long for a leaf |
| checkpoint | the signed head, with cosignatures |
| consistency/<old>-<new> | proofs from each `seen` and from the checkpoint that the auditor kept |
| handovers/<n>/… | checkpoint, leaves, proofs and consistency of each log before this one, oldest first |
| leaves/<index> | the genesis, every policy version, the log's end, every event of the change |
| plan/manifest, plan/artifacts/<hex> | the plan |
| policy/<index>.yml | the policy versions, as text |
| proofs/<index>.tlog-proof | inclusion of each leaf |
| statements/<index>[-<n>].txt, .sig | the statements in the leaves |
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from itmp import canonical
from itmp.audit import Checkpoint, Leaf, SignedCheckpoint
from itmp.canonical import Digest
from itmp.change import PolicyHistory, policy_history
from itmp.errors import EvidenceIncompleteError, EvidenceInvalidError, InvalidInputError, NotFoundError
from itmp.evidence import archive
from itmp.evidence.moments import ANCHORED
from itmp.evidence.proofs import write_hashes, write_inclusion
from itmp.evidence.seen import seen_in, signed_in
from itmp.evidence.stamps import MEMBER
from itmp.evidence.text import VERIFY
from itmp.plan import Plan
from itmp.signing import NoteVerifier, Signed, Statement

MOST_HEADS: Final = 64
"""Most anchored heads that one file holds; each time stamp costs its reader a child process."""


class Trail(Protocol):
    """The part of a log that evidence is built from; `itmp.audit.Log` keeps it."""

    def published(self) -> SignedCheckpoint | None:
        """Return the newest signed head."""

    def policy_leaves(self) -> Iterable[Leaf]:
        """Return leaf 0 and every later leaf that changed the policy, in order."""

    def of_change(self, change: str) -> tuple[Leaf, ...]:
        """Return the change's events in order."""

    def prove_inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        """Return the hashes from leaf `index` to the root of `size`."""

    def prove_consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """Return the proof that `new` leaves continue `old` ones."""

    def blob(self, digest: Digest) -> bytes:
        """Return content by its digest."""

    @property
    def vkey(self) -> str:
        """The log's public key."""

    def anchored(self) -> Iterable[tuple[int, str]]:
        """Yield the size and name of every file that an anchor gave; nothing is read."""

    def kept(self, size: int | None = None) -> Iterable[tuple[str, bytes]]:
        """Yield what anchors gave for the head of `size`, as (`<size>/<name>`, bytes)."""


def build(
    trail: Trail,
    change: str,
    *,
    since: bytes | None = None,
    older: Iterable[Mapping[str, bytes]] = (),
) -> bytes:
    """Return the evidence of `change` under the log's newest published checkpoint.

    `since` is a checkpoint that the auditor kept: a proof that this log continues it goes along. `older` are the
    handovers (`handover`) of the logs before this one, oldest first, for auditors who know one of those. Raises
    `NotFoundError` for no such change, `EvidenceIncompleteError` when no checkpoint covers it yet.
    """
    events, head = trail.of_change(change), trail.published()
    if not events:
        raise NotFoundError(f"no change {change} in this log", do="List them: itmp change list")
    if head is None or head.checkpoint.size <= events[-1].index:
        raise EvidenceIncompleteError(
            "no published checkpoint covers the change", where=change, do="itmp audit checkpoint"
        )
    size = head.checkpoint.size
    leaves = {leaf.index: leaf for leaf in (*_policy_leaves(trail, size), *events)}
    history = policy_history(leaves[index] for index in sorted(leaves))
    members = {f"leaves/{index}": leaf.data for index, leaf in leaves.items()}
    members["checkpoint"] = head.note
    members |= {name: data for path, data in trail.kept(size) if MEMBER.match(name := _member(path))}
    members |= _proofs(trail, leaves, head)
    others = anchored_heads(trail, events, head.checkpoint)
    members |= others
    members |= _consistency(trail, leaves.values(), head.checkpoint, since, sizes_of(others))
    members |= _plan(trail, events[0])
    members |= _blobs(trail, events)
    members |= derived(leaves, history)
    for number, handed in enumerate(older, 1):
        members |= {f"handovers/{number}/{name}": data for name, data in handed.items()}
    members["MANIFEST"] = manifest_of(members)
    return archive.pack(members)


def handover(trail: Trail) -> dict[str, bytes]:
    """Return what leads from a log that has ended to the next: its head and every leaf that says who may do what."""
    head = trail.published()
    if head is None:
        raise EvidenceIncompleteError("a log without a checkpoint", do="itmp audit checkpoint")
    leaves = {leaf.index: leaf for leaf in _policy_leaves(trail, head.checkpoint.size)}
    members = {f"leaves/{index}": leaf.data for index, leaf in leaves.items()}
    members["checkpoint"] = head.note
    members |= _proofs(trail, leaves, head)
    members |= _consistency(trail, leaves.values(), head.checkpoint, None, set())
    return members


def since_member(trail: Trail, since: bytes) -> dict[str, bytes]:
    """Return the proof that an ended log's final head continues a checkpoint of it that the auditor kept."""
    head = trail.published()
    if head is None:
        raise EvidenceIncompleteError("a log without a checkpoint", do="itmp audit checkpoint")
    return _consistency(trail, (), head.checkpoint, since, set())


def anchored_heads(trail: Trail, events: Iterable[Leaf], head: Checkpoint) -> dict[str, bytes]:
    """Return the anchored heads that bound the time of each statement: what its signer saw, and what first covers it.

    Members by name. Only notes that the log's key signed go along, and time stamps of heads that have such a note.
    """
    files: dict[int, set[str]] = {}
    for size, name in trail.anchored():
        if 0 < size <= head.size and name.endswith((".note", ".tsr")):
            files.setdefault(size, set()).add(name)
    kinds = [
        sorted(size for size, names in files.items() if any(_gave(name, ending, names) for name in names))
        for ending in (".note", ".tsr")
    ]
    wanted = {size for leaf in events for signed in signed_in(leaf) for size in _around(leaf, signed, kinds)}
    return {
        name: data
        for size in sorted(wanted)[:MOST_HEADS]
        for name, data in _of_size(trail, size, NoteVerifier.parse(trail.vkey))
    }


def _around(leaf: Leaf, signed: Signed, kinds: Iterable[Sequence[int]]) -> Iterable[int]:
    """Yield of each kind the newest size that the signer can have seen and the first that covers the leaf."""
    try:
        seen, _ = Statement.parse(signed.text).seen
    except InvalidInputError:
        return
    for sizes in kinds:
        before, after = bisect_right(sizes, seen), bisect_right(sizes, leaf.index)
        yield from sizes[max(before - 1, 0) : before]
        yield from sizes[after : after + 1]


def _gave(name: str, ending: str, names: set[str]) -> bool:
    """Whether `name` is what an anchor of that kind gave: a stamp's own note is no witness's."""
    return name.endswith(ending) and (ending == ".tsr" or f"{name.removesuffix('.note')}.tsr" not in names)


def _of_size(trail: Trail, size: int, key: NoteVerifier) -> Iterable[tuple[str, bytes]]:
    given = {f"anchors/{path}": data for path, data in trail.kept(size)}
    notes = {
        name: data for name, data in given.items() if name.endswith(".note") and _is_head(data, size, key)
    }
    stamps = {name: data for name, data in given.items() if name.endswith(".tsr") and notes}
    return [(name, data) for name, data in (notes | stamps).items() if ANCHORED.match(name)]


def _is_head(note: bytes, size: int, key: NoteVerifier) -> bool:
    try:
        return SignedCheckpoint.open(note, [key]).checkpoint.size == size
    except EvidenceInvalidError:
        return False


def sizes_of(members: Iterable[str]) -> set[int]:
    """Return the sizes of the anchored heads among members."""
    found = (ANCHORED.match(name) for name in members)
    return {int(match[1]) for match in found if match and match[3] == "note"}


def _member(path: str) -> str:
    return f"anchors/{path.rpartition('/')[2]}"


def derived(leaves: Mapping[int, Leaf], history: PolicyHistory) -> dict[str, bytes]:
    """Return the members that follow from the leaves and the policy's history."""
    members = {"VERIFY.md": VERIFY.encode(), "allowed_signers": allowed_signers(history)}
    for version in history.versions:
        members[f"policy/{version.index}.yml"] = version.policy.data
    for index, leaf in leaves.items():
        signed = signed_in(leaf)
        for number, item in enumerate(signed):
            name = f"statements/{index}" + (f"-{number}" if len(signed) > 1 else "")
            members |= {f"{name}.txt": item.text.encode(), f"{name}.sig": item.signature.encode()}
    return members


def allowed_signers(history: PolicyHistory) -> bytes:
    """Return every key of every version as ssh-keygen's allowed_signers; dates and roles are not in it."""
    domain = history.origin.partition("/")[0]
    lines = {
        f'{signer.id} namespaces="itmp-*@{domain}" {key.key.line}\n'
        for version in history.versions
        for signer in version.policy.signers
        for key in signer.keys
    }
    return "".join(sorted(lines)).encode()


def manifest_of(members: Mapping[str, bytes]) -> bytes:
    """Return MANIFEST over all other members, in the form of `sha256sum`."""
    lines = [
        f"{canonical.digest(data).removeprefix('sha256:')}  {name}\n"
        for name, data in sorted(members.items())
        if name != "MANIFEST"
    ]
    return "".join(lines).encode()


def blobs_in(events: Iterable[Leaf]) -> set[Digest]:
    """Return the digests of host lists that stand in blobs."""
    found = (
        (leaf.event.data or {}).get(f"{name}_blob") for leaf in events for name in ("hosts", "resources")
    )
    return {canonical.parse_digest(digest) for digest in found if isinstance(digest, str)}


def _policy_leaves(trail: Trail, size: int) -> list[Leaf]:
    return [leaf for leaf in trail.policy_leaves() if leaf.index < size]


def _proofs(trail: Trail, leaves: Iterable[int], head: SignedCheckpoint) -> dict[str, bytes]:
    size = head.checkpoint.size
    return {
        f"proofs/{index}.tlog-proof": write_inclusion(index, trail.prove_inclusion(index, size), head.note)
        for index in leaves
    }


def _consistency(
    trail: Trail, leaves: Iterable[Leaf], head: Checkpoint, since: bytes | None, anchored: set[int]
) -> dict[str, bytes]:
    kept = Checkpoint.said(since) if since is not None else None
    olds = set(seen_in(leaves, head.origin)) | anchored
    olds |= {kept.size} if kept and kept.origin == head.origin else set()
    return {
        f"consistency/{old}-{head.size}": write_hashes(trail.prove_consistency(old, head.size))
        for old in olds
        if 0 < old < head.size
    }


def _plan(trail: Trail, opened: Leaf) -> dict[str, bytes]:
    """The plan's bytes, as far as the log still has them: what is missing shows as incomplete."""
    try:
        plan = Plan.from_bytes(trail.blob(canonical.parse_digest(opened.event.plan)), trail.blob)
    except (NotFoundError, InvalidInputError):
        return {}
    members = {"plan/manifest": plan.manifest_bytes}
    for digest in sorted(set(plan.manifest.artifacts.values())):
        members[f"plan/artifacts/{digest.removeprefix('sha256:')}"] = plan.artifacts[digest]
    return members


def _blobs(trail: Trail, events: Iterable[Leaf]) -> dict[str, bytes]:
    return {f"blobs/{digest.removeprefix('sha256:')}": trail.blob(digest) for digest in blobs_in(events)}
