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
from itmp.signing import NoteKey
from itmp.testing.story import EXECUTOR, Story

NEXT: Final = "example.com/ops/2027"


def next_key(name: str = NEXT, seed: bytes = b"next") -> NoteKey:
    """Return the key of the next period."""
    return NoteKey.generate(name, hashlib.sha256(seed).digest())


def end(
    story: Story, new: NoteKey, *, by: Sequence[str] = ("alice", "bob"), reason: str = "", **lies: Any
) -> None:
    """End the story's log for the key `new`; `reason` revokes its own; `lies` replace lines of what people sign."""
    log, size = story.log, story.log.size()
    lines = {"role": "owner", "from": log.vkey, "to": new.vkey, "size": str(size)} | lies
    rotate = [story.sign("rotate", name, **lines).to_data() for name in by]
    events = []
    if reason:
        words = {"role": "owner", "size": str(size), "reason": reason}
        recover = [story.sign("recover", name, **words).to_data() for name in by]
        data = {"key": log.vkey, "size": size + 2, "statements": recover}
        events.append(Event(id=story.id(), type="key.revoked", actor=EXECUTOR, data=data))
    data = {"from": log.vkey, "to": new.vkey, "size": size + len(events) + 1, "statements": rotate}
    events.append(Event(id=story.id(), type="key.rotated", actor=EXECUTOR, data=data))
    log.extend(events)
    log.checkpoint()


class NextStory(Story):
    """The story after `before`, whose log has ended for `key`.

    `note` makes the signed handover, `previous` and `genesis` replace what the first leaf says.
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
    ) -> None:
        self.before, new = before, key or next_key()
        self._note = note or (lambda one: one.sign(before.key, new))
        self._previous = previous or {}
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
            leaf=last.hash,
            policy=digest(self.before.policy_bytes),
        )
        data = {
            "schema": "itmp-log/v1",
            "origin": self.key.name,
            "log_key": self.key.vkey,
            "previous": {**previous_data(given, at=last.event.t, note=self._note(given)), **self._previous},
            "policy": self.policy_bytes.decode(),
            "statements": (last.event.data or {}).get("statements", []),
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
