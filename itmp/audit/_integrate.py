"""From journal to published head, in one order that survives a crash after any step.

Rules kept here: (1) what is signed is durable, re-opened and re-hashed first; (2) a root is computed by two
routes, from the leaves and from the files, and both agree; (3) the new head continues the recorded one, by
proof; (4) the head record moves by compare-and-swap before anything is signed, so that no size ever has two
roots and no size shrinks; (5) a partial tile is removed only when the full one is published; (6) a published file that
is missing is put again, from leaves that the tree vouches for; one that is there is never touched, whatever it holds;
(7) a head that was decided is published before another is decided, whoever was killed in between.
"""

from typing import Final

from itmp.audit.checkpoint import MAX_NOTE, Checkpoint, SignedCheckpoint
from itmp.audit.doors import Files, Head, Heads, Journal, LogStore
from itmp.audit.merkle import (
    EMPTY_ROOT,
    HASH,
    Tree,
    leaf_hashes,
    node_hash,
    perfect_parts,
    root_of,
    verify_consistency,
)
from itmp.audit.tiles import (
    ENTRIES,
    HEIGHT,
    MAX_BUNDLE,
    WIDTH,
    Tile,
    TileError,
    decode_bundle,
    decode_tile,
    encode_bundle,
    tiles_of,
)
from itmp.errors import ForkError, InvalidInputError, LogUnavailableError, RolledBackError
from itmp.signing import LogKey, NoteVerifier

RECORD: Final = "the head record"


def publish(store: LogStore, key: LogKey, tree: Tree, head: Head) -> SignedCheckpoint:
    """Publish the head of `tree` after the recorded `head`, as `integrate` does; remove what is superfluous then."""
    note = store.files.get("checkpoint", MAX_NOTE)
    opened = note and SignedCheckpoint.open(note, (key.verifier,), where="checkpoint")
    before = opened.checkpoint.size if opened else 0
    signed = integrate(store, key, tree, tree.size, head=head)
    prune(store.files, since=before, size=signed.checkpoint.size)
    return signed


def integrate(
    store: LogStore, key: LogKey, tree: Tree, size: int, *, head: Head | None = None
) -> SignedCheckpoint:
    """Publish the head of the first `size` leaves of `tree`; return it, or the newer one decided already.

    Called by one publisher at a time, who may have read the recorded `head` in its turn.
    `ForkError`: the tree is not a continuation of what was decided.
    """
    head = head or store.heads.read()
    size = max(size, head.size)
    continues(tree, head)
    if size > head.size > 0 and not serves(store.files, head, head.size):
        _sign(store, key, head)  # what a killed publisher left (7)
        head = store.heads.read()
    store.journal.sync(size)  # 1. the leaves survive a power cut
    if size > head.size:
        land(store.journal, store.files, tree, since=head.size, size=size)  # 2. bundles and tiles
        reread(store.files, tree, since=head.size, size=size)  # 3. what landed is what was meant
        root = root_from_files(store.files, size)  # 4. the second route to the root
        if root != tree.root(size):
            raise LogUnavailableError(
                "the tiles on disk do not give the tree's root", do="Run itmp audit verify."
            )
        head = _swap(store.heads, head, Head(origin=head.origin, size=size, root=root))  # 5. decided
    return _sign(store, key, head)


def serves(files: Files, head: Head, size: int) -> bool:
    """Whether the recorded `head` is published and of `size` leaves or more. Asked in the publisher's turn."""
    if not head.note or head.size < size:
        return False
    note = files.get("checkpoint", MAX_NOTE)
    return note is not None and note.startswith(head.note)


def published(store: LogStore, verifier: NoteVerifier) -> SignedCheckpoint | None:
    """Return the newest signed head, with the lines that witnesses added; None before the first."""
    head, note = store.heads.read(), store.files.get("checkpoint", MAX_NOTE)
    if head.note:
        note = note if note is not None and note.startswith(head.note) else head.note
    # A head that is decided and not signed yet has no note: the one before it is the newest that is signed.
    return None if note is None else SignedCheckpoint.open(note, (verifier,), where=RECORD)


def known_heads(store: LogStore, verifier: NoteVerifier, *, history: bool = True) -> dict[str, Head]:
    """Return every head that was decided or signed, by where it stands; of the history the newest.

    Read them before the leaves that they are held against: others publish meanwhile. `InvalidInputError` when the
    record is of another log than the key.
    """
    heads = {RECORD: store.heads.read()}
    if heads[RECORD].origin != verifier.name:
        raise InvalidInputError(f"the key is of {verifier.name}, the log is {heads[RECORD].origin}")
    for name in ("checkpoint", *(_newest_history(store) if history else ())):
        note = store.files.get(name, MAX_NOTE)
        if note is not None:
            seen = SignedCheckpoint.open(note, (verifier,), where=name).checkpoint
            heads[name] = Head(origin=seen.origin, size=seen.size, root=seen.root)
    return heads


def _newest_history(store: LogStore) -> list[str]:
    names = [
        name for name in store.files.names("history") if name[8:-5].isdecimal() and name.endswith(".note")
    ]
    return [max(names, key=lambda name: int(name[8:-5]))] if names else []


def continues(tree: Tree, head: Head, *, name: str = RECORD) -> None:
    """Raise `ForkError` unless `tree` is the tree of `head` or continues it, shown by a verified proof."""
    if head.size > tree.size:
        raise RolledBackError(
            f"the log has {tree.size} leaves, {name} knows {head.size}",
            where=name,
            do="An older copy was put back, or leaves were lost. Restore the newest log; never sign on.",
        )
    if head.size == 0:
        if head.root != EMPTY_ROOT:
            raise ForkError(f"{name} holds a root for an empty log that is not the empty root", where=name)
        return
    if tree.root(head.size) != head.root:
        raise ForkError(
            f"two histories: the log's first {head.size} leaves are not those of {name}",
            where=name,
            do="Keep both copies and compare them; never sign on.",
        )
    proof = tree.consistency(head.size, tree.size)
    verify_consistency(old=head.size, new=tree.size, old_root=head.root, new_root=tree.root(), proof=proof)


def land(journal: Journal, files: Files, tree: Tree, *, since: int, size: int) -> None:
    """Write every bundle and tile that `size` has and `since` has not; each is durable on return."""
    for tile in tiles_of(size, since=since):
        files.put(tile.path, _content(journal, tree, tile))


def mend(store: LogStore, tree: Tree, head: Head) -> None:
    """Put again what is missing of the published `head`, which `tree` continues; each is durable on return."""
    found = set(store.files.names("tile"))
    for tile in tiles_of(head.size):
        if found.isdisjoint({tile.path, Tile(level=tile.level, n=tile.n).path}):
            store.files.put(tile.path, _content(store.journal, tree, tile))
    note = f"history/{head.size}.note"
    if head.note and store.files.get(note, MAX_NOTE) is None:
        store.files.put(note, head.note)


def _content(journal: Journal, tree: Tree, tile: Tile) -> bytes:
    if tile.level != ENTRIES:
        return tile.content(tree)
    leaves = journal.read(tile.start, tile.start + tile.width)
    if b"".join(leaf_hashes(leaves)) != tree.hashes(0, tile.start, tile.width):
        raise LogUnavailableError(
            "the journal changed under the log", where=tile.path, do="Run itmp audit verify."
        )
    return encode_bundle(leaves)


def reread(files: Files, tree: Tree, *, since: int, size: int) -> None:
    """Open again what `land` wrote and hash it: entries to leaf hashes, 256 hashes to the one above."""
    lifted: dict[tuple[int, int], bytes] = {}
    for tile in tiles_of(size, since=since):
        hashes = _hashes_on_disk(files, tile)
        level = max(tile.level, 0)
        if b"".join(hashes) != tree.hashes(level * HEIGHT, tile.start, tile.width):
            raise LogUnavailableError("what landed is not what was written", where=tile.path)
        if tile.width == WIDTH and tile.level != ENTRIES:
            lifted[level + 1, tile.n] = root_of(hashes)
        for at, item in enumerate(hashes):
            if lifted.get((tile.level, tile.start + at), item) != item:
                raise LogUnavailableError("a tile does not hash to the one above it", where=tile.path)


def root_from_files(files: Files, size: int) -> bytes:
    """Return the root of `size` from the tiles at the right edge alone."""
    acc: bytes | None = None
    level = 0
    while size >> (HEIGHT * level):
        count = size >> (HEIGHT * level)
        if count % WIDTH:
            tile = Tile(level=level, n=count // WIDTH, width=count % WIDTH)
            for part in reversed(perfect_parts(_hashes_on_disk(files, tile))):
                acc = part if acc is None else node_hash(part, acc)
        level += 1
    return EMPTY_ROOT if acc is None else acc


def prune(files: Files, *, since: int, size: int) -> None:
    """Remove partial tiles and bundles whose full ones became part of the published `size`."""
    for tile in tiles_of(size, since=since):
        if tile.width == WIDTH:
            for name in files.names(tile.path + ".p"):
                files.remove(name)


def _hashes_on_disk(files: Files, tile: Tile) -> list[bytes]:
    limit = MAX_BUNDLE if tile.level == ENTRIES else WIDTH * HASH
    data = files.get(tile.path, limit)
    if data is None:
        raise TileError("a tile is missing", where=tile.path)
    if tile.level == ENTRIES:
        return leaf_hashes(decode_bundle(data, tile.width, where=tile.path))
    return decode_tile(data, tile.width, where=tile.path)


def _swap(heads: Heads, old: Head, new: Head) -> Head:
    if not heads.swap(old, new):
        raise ForkError(
            "the head record moved under the publisher",
            do="Another machine writes this log: stop one of them.",
        )
    return new


def _sign(store: LogStore, key: LogKey, head: Head) -> SignedCheckpoint:
    """Steps 6 to 9: sign, keep the note in record, history and checkpoint; each may be repeated."""
    checkpoint = Checkpoint(origin=head.origin, size=head.size, root=head.root)
    if not head.note:
        signed = SignedCheckpoint.sign(checkpoint, key)  # 6.
        head = _swap(
            store.heads, head, Head(origin=head.origin, size=head.size, root=head.root, note=signed.note)
        )  # 7.
    signed = SignedCheckpoint(checkpoint=checkpoint, note=head.note)
    published = store.files.get("checkpoint", MAX_NOTE)
    if published is None or not published.startswith(head.note):  # witnesses may have added lines
        store.files.put(f"history/{head.size}.note", head.note)  # 8.
        store.files.put("checkpoint", head.note)  # 9. published
    return signed
