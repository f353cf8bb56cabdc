"""The next period of a told story: its log ends, another begins, and whoever lies in the handover lies in one place.

Rules kept here: without `lies` everything is what `itmp audit rotate` writes; the new story's log is a log like any
other, on which a change can be told.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from itmp.audit import Event, LogStore
from itmp.canonical import digest
from itmp.change import Handover, previous_data
from itmp.evidence import archive
from itmp.evidence.bundle import handover, manifest_of
from itmp.signing import NoteKey, Signed
from itmp.testing.story import EXECUTOR, Story

NEXT: Final = "example.com/ops/2027"


def next_key(name: str = NEXT, seed: bytes = b"next") -> NoteKey:
    """Return the key of the next period."""
    return NoteKey.generate(name, hashlib.sha256(seed).digest())


def end(
    story: Story,
    new: NoteKey,
    *,
    by: Sequence[str] = ("alice", "bob"),
    reason: str = "",
    counts: int = 0,
    **lies: Any,
) -> None:
    """End the story's log for the key `new`; `reason` revokes its own, which then counts for `counts` leaves or all.

    `lies` replace lines of what people sign; `claims` is what the leaf says instead of `counts`.
    """
    claims = lies.pop("claims", counts)
    log, size = story.log, story.log.size()
    lines = {"role": "owner", "from": log.vkey, "to": new.vkey, "size": str(size)} | lies
    rotate = [story.sign("rotate", name, **lines).to_data() for name in by]
    events = []
    if reason:
        words = {"role": "owner", "size": str(counts or size), "reason": reason}
        recover = [story.sign("recover", name, **words).to_data() for name in by]
        data = {"key": log.vkey, "size": claims or size + 2, "statements": recover}
        events.append(Event(id=story.id(), type="key.revoked", actor=EXECUTOR, data=data))
    data = {"from": log.vkey, "to": new.vkey, "size": size + len(events) + 1, "statements": rotate}
    events.append(Event(id=story.id(), type="key.rotated", actor=EXECUTOR, data=data))
    log.extend(events)
    log.checkpoint()


def lose(
    story: Story,
    new: NoteKey,
    *,
    by: Sequence[str] = ("alice", "bob"),
    reason: str = "key lost: disk",
    **lies: Any,
) -> tuple[Signed, ...]:
    """Have people say that the story's log key is lost, and that `new` goes on from its published head."""
    size = str(story.log.checkpoint().checkpoint.size)
    rotate = {"role": "owner", "from": story.log.vkey, "to": new.vkey, "size": size} | lies
    recover = {"role": "owner", "size": size, "reason": reason}
    return tuple(
        story.sign(act, name, **lines)
        for name in by
        for act, lines in (("rotate", rotate), ("recover", recover))
    )


class NextStory(Story):
    """The story after `before`, whose log has ended for `key`.

    `note` makes the signed handover; `lost` are the statements (`lose`) of those who say that its key is lost;
    `previous` and `genesis` replace what the first leaf says.
    """

    def __init__(
        self,
        before: Story,
        key: NoteKey | None = None,
        *,
        note: Callable[[Handover], str] | None = None,
        previous: Mapping[str, Any] | None = None,
        policy: bytes | None = None,
        store: LogStore | None = None,
        lost: Sequence[Signed] = (),
    ) -> None:
        self.before, new = before, key or next_key()
        self._note = note or (lambda one: one.sign(before.key, new))
        self._previous = previous or {}
        self._lost = lost
        super().__init__(
            store=store,
            key=new,
            plan=before.plan,
            policy=policy or before.policy_bytes,
            start=before.clock.now() + timedelta(hours=1),
        )

    def _found(self, roots: Sequence[str]) -> None:  # noqa: ARG002 - nobody enrols: the log before passes it on
        old = self.before.log
        head, last = old.checkpoint().checkpoint, old.leaf(old.size() - 1)
        given = Handover(
            old=self.before.key.verifier,
            new=self.key.verifier,
            size=head.size,
            root=head.root,
            leaf=old.leaf(0).hash if self._lost else last.hash,
            policy=digest(self.before.policy_bytes),
            lost=bool(self._lost),
        )
        now = self.clock.now().isoformat(timespec="microseconds").replace("+00:00", "Z")
        people = [one.to_data() for one in self._lost] or (last.event.data or {}).get("statements", [])
        data = {
            "schema": "itmp-log/v1",
            "origin": self.key.name,
            "log_key": self.key.vkey,
            "previous": {
                **previous_data(given, at=now if self._lost else last.event.t, note=self._note(given)),
                **self._previous,
            },
            "policy": self.policy_bytes.decode(),
            "statements": people,
        }
        self.write(Event(id=self.id(), type="log.created", actor=EXECUTOR, data=data))

    def bundle(self, *, drop: Sequence[str] = ()) -> bytes:
        """Return the change's evidence with every handover before it, members named in `drop` left out."""
        members = archive.unpack(self.evidence())
        older = []
        story: Story = self
        while isinstance(story, NextStory):
            story = story.before
            older.append(handover(story.log))
        for number, handed in enumerate(reversed(older), 1):
            members |= {f"handovers/{number}/{name}": value for name, value in handed.items()}
        members = {name: data for name, data in members.items() if not name.startswith(tuple(drop) or ("/",))}
        members["MANIFEST"] = manifest_of(members)
        return archive.pack(members)
