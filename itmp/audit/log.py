"""The log: append, read, prove, publish.

Rules kept here:
1. A receipt marked durable is given only after the leaf survives a power cut.
2. Judgement happens inside the writer's turn, on leaves read in that turn: ids, heads, chains, time.
3. An error from the store means "perhaps written"; the same event may be appended again and is found by its
   id.
4. On open the leaves must continue every head that is known (the record, the checkpoint, the newest history
   entry, the newest snapshot); otherwise `ForkError`, and nothing is written. Heads are read before leaves: what is
   signed meanwhile is of leaves that are there.
5. What an authenticated snapshot saves reading is exactly what reading every leaf would give.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime

from itmp import canonical
from itmp.audit import blobs, snapshot
from itmp.audit._bundles import stretches
from itmp.audit._draft import check_going, commitment
from itmp.audit._integrate import RECORD, continues, known_heads, mend, publish, published, serves
from itmp.audit._leaves import CHUNK, Leaves
from itmp.audit._resume import resume
from itmp.audit._turns import Turns
from itmp.audit.checkpoint import MAX_NOTE, SignedCheckpoint
from itmp.audit.doors import Clock, Head, LogStore
from itmp.audit.event import Event
from itmp.audit.health import judge_health
from itmp.audit.merkle import EMPTY_ROOT
from itmp.audit.model import Expect, Health, Leaf, Receipt
from itmp.canonical import Digest
from itmp.errors import EvidenceInvalidError, ForkError, InvalidInputError, LogUnavailableError, NotFoundError
from itmp.signing import LogKey


class Log:
    """One log and its key. Safe for threads; any number of `Log`s and processes may share one store."""

    def __init__(
        self,
        store: LogStore,
        key: LogKey,
        clock: Clock,
        ids: Callable[[], str],
        *,
        every: int = snapshot.EVERY,
    ) -> None:
        self._store, self._key = store, key
        self._lock = store.guard()
        self._every, self._whole = every, False
        begun = resume(store, key.verifier, self._bytes)
        self._snapshot, self._view = begun.head, begun.view
        self._leaves = Leaves(store, begun.view, begun.low)
        self._turns = Turns(store, begun.view, self._leaves, clock, ids)
        heads = known_heads(store, key.verifier)
        self._refresh()
        self._check_heads(heads)

    @property
    def origin(self) -> str:
        """The log's name, `<org-domain>/<name>/<period>`."""
        return self._key.name

    @property
    def vkey(self) -> str:
        """The text of the log's verifier key."""
        return self._key.vkey

    # Writing.

    def append(self, event: Event, *, expect: Expect | None = None, durable: bool = True) -> Receipt:
        """Append one event, or find it again by its id; see `extend`."""
        return self.extend((event,), expect=expect, durable=durable)[0]

    def extend(
        self, events: Sequence[Event], *, expect: Expect | None = None, durable: bool = True
    ) -> tuple[Receipt, ...]:
        """Append events in order, in one turn and one write; a crash may keep a prefix of them.

        `HeadMovedError`: `expect` does not hold, nothing written. `InvalidInputError`: an event is wrong, or
        its id is taken by another event, nothing written. `LogUnavailableError`: perhaps written; append the
        same again later. With `durable=False` the leaf rides along with a later sync and may be lost in a
        power cut until then.
        """
        with self._lock:
            placed = self._turns.take(events, expect, far=CHUNK)
            if placed is None:
                self._refresh()  # others write meanwhile
                placed = self._turns.take(events, expect) or []
        if durable and placed:
            self._store.journal.sync(max(leaf.index for leaf, _ in placed) + 1)
        return tuple(
            Receipt(index=leaf.index, hash=hashed, leaf=leaf, durable=durable) for leaf, hashed in placed
        )

    def checkpoint(self) -> SignedCheckpoint:
        """Sign and publish the head over all leaves; `ForkError` when they contradict an earlier one.

        One publisher may serve many callers: whose leaves were published while it waited takes that head.
        """
        asked = self.size()  # what others wrote is read before our turn, in which everybody waits for us
        with self._store.publishing():
            head = self._store.heads.read()
            self._mend(head)
            if not serves(self._store.files, head, asked):
                with self._lock:
                    self._refresh()
                    signed = self._publish(head)
                    if self._view.size - self._snapshot.size >= self._every:
                        self._keep_snapshot()
                    return signed
        with self._lock:
            self._refresh()  # to that head, and without anybody waiting for us
            continues(self._view.tree, head)
        return SignedCheckpoint.open(head.note, (self._key.verifier,), where=RECORD)

    def put_blob(self, data: bytes) -> Digest:
        """Durably store content by its digest, at most 256 MiB; `LogEndedError` where no leaf can follow to name it."""
        if len(data) > blobs.MAX_BLOB:
            raise InvalidInputError(f"a blob of {len(data)} bytes; the limit is {blobs.MAX_BLOB}")
        with self._publishing():  # a rotation moves the log only between two of us
            if self._view.size:
                check_going(self._view.last_type, "content")
            return blobs.store(self._store.files, data)

    # Reading.

    def size(self) -> int:
        """Return how many leaves the log has; the newest may not be durable yet."""
        with self._lock:
            self._refresh()
            return self._view.size

    def leaf(self, index: int) -> Leaf:
        """Return leaf `index`; `NotFoundError` beyond the end."""
        return next(self.leaves(index, index + 1))

    def leaves(self, start: int = 0, end: int | None = None) -> Iterator[Leaf]:
        """Yield leaves [start, end), end being the size at the call when None; each matches its hash."""
        size = self.size()
        end = size if end is None else end
        if not 0 <= start <= end <= size:
            raise NotFoundError(f"the log has {size} leaves, not {start} to {end}")
        return self._leaves.each(start, end)

    def of_change(self, change: str) -> tuple[Leaf, ...]:
        """Return the change's events in order; empty when there is none."""
        return tuple(self.each_of_change(change))

    def each_of_change(self, change: str) -> Iterator[Leaf]:
        """Yield the change's events up to the newest at the call, in order, without holding them all in memory."""
        with self._lock:
            self._refresh()
            indexes = tuple(self._view.events_of(change))
        return (leaf for start, end in stretches(indexes) for leaf in self._leaves.each(start, end))

    def head_of(self, change: str) -> Digest | None:
        """Return the hash of the change's newest event, for `Expect`."""
        with self._lock:
            self._refresh()
            return self._view.head_of(change)

    def newest(self, kind: str) -> int:
        """Return the newest leaf of a type among those since the log was opened (or shortly before), -1 if none is.

        Cheap, also where nothing else of the new leaves is wanted.
        """
        with self._lock:
            self._refresh()
            return self._view.newest_of(kind)

    def policy_head(self) -> Digest:
        """Return the hash of the newest of `policy_leaves`, for `Expect`."""
        with self._lock:
            self._refresh()
            return self._view.hash_of(self._view.policy)

    def changes(self) -> tuple[str, ...]:
        """Return every change in the log, in the order of their first events."""
        with self._lock:
            self._refresh()
            return self._view.changes()

    def policy_leaves(self) -> tuple[Leaf, ...]:
        """Return leaf 0 and every later leaf that changed the policy or the log's key, in order."""
        with self._lock:
            self._refresh()
            indexes = tuple(self._view.policies)
        return tuple(Leaf(index=index, data=self._leaves.one(index)) for index in indexes)

    def commitment(self, change: str) -> tuple[int, Digest]:
        """Return (count, root) over the change's events so far, as `change.closed` commits them."""
        with self._lock:
            self._refresh()
            return commitment(self._view, change)

    def published(self) -> SignedCheckpoint | None:
        """Return the newest signed head, with the lines that witnesses added; None before the first."""
        return published(self._store, self._key.verifier)

    def add_cosignatures(self, note: bytes) -> bool:
        """Publish `note`: the published head with witnesses' lines added, which the caller has verified.

        False, and nothing done, when another head, or one with other lines, is published by now.
        """
        with self._store.publishing():
            signed = self.published()
            if signed is None or not note.startswith(signed.note):
                return False
            self._store.files.put("checkpoint", note)
            return True

    def keep(self, path: str, data: bytes) -> None:
        """Durably store what an anchor gave, below `anchors/`; `LogUnavailableError` where another log lies by now."""
        with self._publishing():
            self._store.files.put(f"anchors/{path}", data)

    def anchored(self) -> Iterator[tuple[int, str]]:
        """Yield the size and name of every file that an anchor gave; nothing is read."""
        found = (path.split("/", 2)[1:] for path in self._store.files.names("anchors"))
        return ((int(parts[0]), parts[1]) for parts in found if len(parts) > 1 and parts[0].isdecimal())

    def kept(self, size: int | None = None) -> Iterator[tuple[str, bytes]]:
        """Yield what anchors gave (for the head of `size` leaves), as (path below `anchors/`, bytes)."""
        for path in self._store.files.names("anchors" if size is None else f"anchors/{size}"):
            data = self._store.files.get(path, MAX_NOTE)
            if data is not None:
                yield path.removeprefix("anchors/"), data

    def prove_inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        """Return the 32-byte hashes from leaf `index` to the root of `size`."""
        with self._lock:
            if (
                size > self._view.size
            ):  # what is in the tree stays: no look at the journal for each of many proofs
                self._refresh()
            return self._view.tree.inclusion(index, size)

    def prove_consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """Return the proof that `new` leaves continue `old` ones; 0 < old ≤ new."""
        with self._lock:
            self._refresh()
            return self._view.tree.consistency(old, new)

    def root(self, size: int) -> bytes:
        """Return the 32-byte root of the first `size` leaves."""
        with self._lock:
            self._refresh()
            return self._view.tree.root(size)

    def blob(self, digest: Digest) -> bytes:
        """Return content by its digest, verified; `NotFoundError` when absent."""
        data = blobs.stored(self._store.files, canonical.parse_digest(digest))
        if data is None:
            raise NotFoundError("no such blob", where=digest, do="It may have been redacted.")
        return data

    def health(self, now: datetime | Clock) -> Health:
        """Judge whether the log is fit to be run on: clock, rollback, store.

        A clock is read once the log has been: what others append meanwhile is not of the future.
        """
        with self._lock:
            return judge_health(self._store, self._view, self._key, now, refresh=self._refresh)

    # Inside.

    @contextmanager
    def _publishing(self) -> Iterator[None]:
        """Wait for the publisher's turn; what others wrote is read before it, and the little that is left within it."""
        self.size()
        with self._store.publishing(), self._lock:
            self._refresh()
            yield

    def _refresh(self) -> None:
        self._leaves.catch_up(self._store.journal.size())

    def _mend(self, head: Head, *, again: bool = False) -> None:
        """See to it, once, that what is published is there: whoever unlinked a file took nothing that we have not."""
        if again or not self._whole:
            with self._lock:
                self._refresh()
                continues(self._view.tree, head)
                mend(self._store, self._view.tree, head)
                self._whole = True

    def _publish(self, head: Head) -> SignedCheckpoint:
        try:
            return publish(self._store, self._key, self._view.tree, head)
        except EvidenceInvalidError:  # a file went since we looked
            head = self._store.heads.read()  # or after we had moved the record: that was nobody else
            self._mend(head, again=True)
            return publish(self._store, self._key, self._view.tree, head)

    def _bytes(self, start: int, end: int) -> Iterator[bytes]:
        return (leaf.data for leaf in self._leaves.each(start, end))

    def _keep_snapshot(self) -> None:
        with suppress(EvidenceInvalidError, LogUnavailableError):  # it saves time only
            snapshot.renew(self._store, self._key, self._view, self._bytes, every=self._every)
        self._snapshot = replace(self._snapshot, size=self._view.size, root=self._view.tree.root())

    def _check_heads(self, heads: Mapping[str, Head]) -> None:
        """Rule 4."""
        for name, head in {**heads, "the snapshot": self._snapshot}.items():
            continues(self._view.tree, head, name=name)
        if self._view.size:
            self._check_genesis()

    def _check_genesis(self) -> None:
        data = next(self._leaves.each(0, 1)).event.data or {}
        if (data.get("origin"), data.get("log_key")) != (self.origin, self.vkey):
            raise ForkError("the first leaf names another log or another key", where=self.origin)


def empty_head(origin: str) -> Head:
    """Return the record of a log without leaves."""
    return Head(origin=origin, size=0, root=EMPTY_ROOT)
