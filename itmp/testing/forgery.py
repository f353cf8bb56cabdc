"""A lying owner of a log, for tests: with the log's own key, any leaves become a signed history.

Rules kept here: whatever is forged is forged consistently (tree, proofs, checkpoint, chain where asked), so
that only what somebody else knows, or what the events themselves say, can tell.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from itmp.audit import STANDING_ENDS, Checkpoint, Event, Leaf, SignedCheckpoint
from itmp.audit.merkle import Tree, leaf_hashes
from itmp.canonical import Digest
from itmp.evidence import archive, build
from itmp.evidence.bundle import manifest_of
from itmp.signing import NoteKey
from itmp.testing.story import Story


class ForgedLog:
    """`leaves` signed as a whole log by `key`. Keeps the contract of `itmp.evidence.Trail`."""

    def __init__(self, leaves: Sequence[bytes], key: NoteKey, blob: Callable[[Digest], bytes]) -> None:
        self._leaves = [Leaf(index=index, data=data) for index, data in enumerate(leaves)]
        self._key, self._blob = key, blob
        self._tree = Tree()
        self._tree.extend(leaf_hashes(leaves))

    def published(self) -> SignedCheckpoint:
        """Return the head that the liar signs."""
        head = Checkpoint(origin=self._key.name, size=len(self._leaves), root=self._tree.root())
        return SignedCheckpoint.sign(head, self._key)

    def policy_leaves(self) -> Iterable[Leaf]:
        """Return the leaves that set the policy."""
        return [leaf for leaf in self._leaves if leaf.data.endswith(STANDING_ENDS)]

    def of_change(self, change: str) -> tuple[Leaf, ...]:
        """Return the change's leaves."""
        named = change.encode()
        return tuple(leaf for leaf in self._leaves if named in leaf.data and leaf.event.change == change)

    def prove_inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        """Return an inclusion proof in the forged tree."""
        return self._tree.inclusion(index, size)

    def prove_consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """Return a consistency proof of the forged tree."""
        return self._tree.consistency(old, new)

    @property
    def vkey(self) -> str:
        """The log's public key, which signs the forged head as well."""
        return self._key.vkey

    def anchored(self) -> tuple[tuple[int, str], ...]:
        """No anchor gave anything."""
        return ()

    def kept(self, size: int | None = None) -> tuple[tuple[str, bytes], ...]:  # noqa: ARG002 - it has none
        """Return what anchors gave: nothing."""
        return ()

    def blob(self, digest: Digest) -> bytes:
        """Return a blob of the real log."""
        return self._blob(digest)


def forged(story: Story, edit: Callable[[list[Event]], list[Event]], *, rechain: bool = False) -> bytes:
    """Return evidence over the story's events after `edit`; `rechain` renumbers and chains the change anew."""
    events = edit([leaf.event for leaf in story.log.leaves()])
    leaves: list[bytes] = []
    previous: Leaf | None = None
    for event in events:
        mine = event
        if rechain and event.change:
            count = (previous.event.cseq or 0) + 1 if previous else 0
            mine = replace(event, cseq=count, cprev=previous.hash if previous else "")
        leaves.append(mine.to_bytes())
        if mine.change:
            previous = Leaf(index=0, data=leaves[-1])
    return build(ForgedLog(leaves, story.key, story.log.blob), story.change)


def repacked(bundle: bytes, changes: Mapping[str, bytes | None], *, manifest: bool = True) -> bytes:
    """Return the archive with members replaced, added or (None) taken out, MANIFEST recomputed if asked."""
    members = {name: data for name, data in {**archive.unpack(bundle), **changes}.items() if data is not None}
    if manifest:
        members["MANIFEST"] = manifest_of(members)
    return archive.pack(members)
