"""A log and the people who sign into it: founded under an in-memory store, its policy changed by their signatures.

Rules kept here: every statement is composed and signed as a client does it; the same arguments give the same log, byte
for byte.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from itmp.audit import Event, Log, LogStore, Receipt
from itmp.calendars import format_time
from itmp.canonical import digest
from itmp.change import PolicyHistory, policy_history, team_policy
from itmp.signing import NoteKey, Signed
from itmp.testing.memory_log import MemoryStore, StepClock, counting_ids
from itmp.testing.people import Person

ORIGIN: Final = "example.com/ops/2026"
START: Final = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)
EMPTY: Final = "0 " + base64.b64encode(hashlib.sha256(b"").digest()).decode()
EXECUTOR: Final = {"kind": "executor", "id": "itmp@example.com"}
ROLES: Final[Mapping[str, tuple[str, ...]]] = {
    "alice": ("sre", "owner"),
    "bob": ("approver", "owner", "sre"),
    "carol": ("approver",),
    "dave": ("sre",),
}


class SignedLog:
    """A log with its genesis, and `people` by their first names. Every method writes what its name says."""

    def __init__(
        self,
        *,
        store: LogStore | None = None,
        roles: Mapping[str, tuple[str, ...]] = ROLES,
        policy: bytes | None = None,
        roots: Sequence[str] = ("alice", "bob"),
        key: NoteKey | None = None,
        start: datetime = START,
    ) -> None:
        self.clock = StepClock(start)
        self.people = {name: Person(f"{name}@example.com", "story") for name in roles}
        self.id = counting_ids()
        self.key = key or NoteKey.generate(ORIGIN, hashlib.sha256(b"log key").digest())
        self.log = Log(store or MemoryStore(self.key.name), self.key, self.clock, self.id)
        self.policy_bytes = policy or team_policy(
            {person.name: (person.public.line, roles[name]) for name, person in self.people.items()}
        )
        self._history: PolicyHistory | None = None
        self._found(roots)

    @property
    def history(self) -> PolicyHistory:
        """The policy's history as it stands."""
        head = self.log.policy_head()
        if self._history is None or self._history.latest.leaf != head:
            self._history = policy_history(self.log.leaves())
        return self._history

    def _found(self, roots: Sequence[str]) -> None:
        logkey, policy = self.log.vkey, digest(self.policy_bytes)
        enrolled = [
            self.sign("enrol", name, role="owner", policy=policy, logkey=logkey, previous="-", seen=EMPTY)
            for name in roots
        ]
        data = {
            "schema": "itmp-log/v1",
            "origin": self.key.name,
            "log_key": logkey,
            "previous": None,
            "policy": self.policy_bytes.decode(),
            "statements": [signed.to_data() for signed in enrolled],
        }
        self.write(Event(id=self.id(), type="log.created", actor=EXECUTOR, data=data))

    def sign(self, act: str, who: str, **fields: str) -> Signed:
        """Sign a statement of `act`; every line that is not given is the honest one."""
        now = self.clock.now().replace(microsecond=0)
        nonce = base64.b64encode(hashlib.sha256(self.id().encode()).digest()[:16]).decode()
        common = {
            "log": self.key.name,
            "valid": f"{format_time(now)} {format_time(now + timedelta(hours=12))}",
            "nonce": nonce,
        }
        if "seen" not in fields:
            common["seen"] = self._seen()
        if "policy" not in fields:
            common["policy"] = self.history.latest.policy.digest
        return self.people[who].state(act, {**common, **fields})

    def _seen(self) -> str:
        head = self.log.checkpoint().checkpoint
        return f"{head.size} {base64.b64encode(head.root).decode()}"

    def amend(self, new: bytes, by: Sequence[str] = ("alice", "bob"), **lies: str) -> Receipt:
        """Change the policy by the signatures of `by`."""
        old = self.history.latest.policy.digest
        lines = {"role": "owner", "from": old, "to": digest(new)} | lies
        signed = [self.sign("policy", name, **lines) for name in by]
        data = {"policy": new.decode(), "statements": [item.to_data() for item in signed]}
        return self.write(Event(id=self.id(), type="policy.changed", actor=EXECUTOR, data=data))

    def write(self, event: Event) -> Receipt:
        """Append any event."""
        return self.log.append(event)

    def trust(self) -> dict[str, bytes]:
        """Return the files of the TRUST folder that `itmp init` would write."""
        return {
            "log.policy": f"log {self.log.vkey}\nquorum none\n".encode(),
            "genesis": f"{self.log.leaf(0).hash}\n".encode(),
        }
