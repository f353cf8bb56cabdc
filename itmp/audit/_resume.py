"""Taking up a log: from its newest authenticated snapshot and the leaves after it, else from its first leaf.

Rules kept here: a snapshot is used only when its note, its state, the tree's peaks, and the journal's leaves at its end
agree; anything else means that every leaf is read. Whether the log continues a snapshot's head is judged by the caller,
used or not.
"""

from dataclasses import dataclass
from typing import Final

from itmp.audit import snapshot
from itmp.audit._tiled import TiledHashes
from itmp.audit._view import View
from itmp.audit.doors import Head, LogStore
from itmp.audit.merkle import EMPTY_ROOT, Tree, leaf_hashes
from itmp.errors import EvidenceInvalidError, ForkError, LogUnavailableError
from itmp.signing import NoteVerifier

_CHUNK: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """Where a log is taken up: the head that the newest snapshot signs, what is known, the journal's first leaf.

    Leaves before `low` are read from bundles.
    """

    head: Head
    view: View
    low: int


def resume(store: LogStore, verifier: NoteVerifier, read: snapshot.Read) -> Begun:
    """Take up the log of `store`; `read` will yield its leaves once it is open."""
    head = Head(origin=verifier.name, size=0, root=EMPTY_ROOT)
    try:
        signed = snapshot.newest(store.snapshots, verifier)
        if signed is not None:
            head = signed.head
            begun = _from_state(store, snapshot.load(store.snapshots, signed), head, read)
            if begun is not None:
                return begun
    except (EvidenceInvalidError, LogUnavailableError):
        pass  # every leaf is read, and says itself what is wrong
    store.journal.resume(0, ())
    return Begun(head=head, view=View(), low=0)


def _from_state(store: LogStore, state: snapshot.State, head: Head, read: snapshot.Read) -> Begun | None:
    low = store.journal.resume(state.size, state.position)
    if low is None:
        return None
    older = TiledHashes(store.files, state.size, state.peaks, lambda: _read_all(store, state))
    tree = Tree(state.size, state.peaks, older)
    found = b"".join(leaf_hashes(store.journal.read(low, state.size)))
    if found != tree.hashes(0, low, state.size - low):
        return None
    view = View(tree, snapshot.Parts(files=store.snapshots, spans=state.spans, read=read))
    view.policies, view.recovered = list(state.policies), set(state.recovered)
    view.newest, view.last_type = state.newest, state.last_type
    return Begun(head=head, view=view, low=low)


def _read_all(store: LogStore, state: snapshot.State) -> Tree:
    """Compute the tree again where a tile is missing or wrong."""
    tree = Tree()
    for low in range(0, state.size, _CHUNK):
        tree.extend(leaf_hashes(store.journal.read(low, min(state.size, low + _CHUNK))))
    if tree.peaks != list(state.peaks):
        raise ForkError("the leaves are not those of the snapshot", where=f"{state.size}.note")
    return tree
