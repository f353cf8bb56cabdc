"""From one period's log to the next: what ends the old one, what both keys sign, and when the new one continues it.

Rules kept here, in the order in which `continue_history` judges them, each with the name of what is found:
1. `period-missing`: the new genesis names the log, the final size and the root that the old one shows, no other;
2. `handover-open`: the old log ended with `key.rotated` as its last leaf, brought by its policy's quorum, and that leaf
   names the new log's key;
3. `handover-one-sided`: the handover's text is signed by the old log's key and by the new one's;
4. `handover-altered`: the text says what both logs say, and the same people stand behind both leaves;
5. `policy-carried`: the new log's first policy is, byte for byte, the one in force at the old log's end.

Nothing but the two logs' own leaves and one signed head of the old one is needed, so that a stranger can walk it.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from itmp import canonical
from itmp.canonical import Digest
from itmp.errors import Error, EvidenceInvalidError
from itmp.signing import LogKey, NoteVerifier, open_note

FIRST: Final = "itmp-handover/v1"
"""The first line of a handover's text: no checkpoint begins so, because no log can be named so."""

_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z\Z")
_KEYS: Final = {"origin", "log_key", "size", "root", "leaf", "at", "handover"}


class HandoverError(EvidenceInvalidError):
    """One period does not continue the other; `what` begins with the name of what was found.

    Where nothing else is said it is met in the first leaf of the log that continues, which tells of the one before.
    """

    def __init__(self, what: str, *, where: str = "leaf 0", do: str = "") -> None:
        super().__init__(what, where=where, do=do)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """What passes from one log to the next: both keys, and how the old log ended.

    `leaf` is the hash of its last leaf, `policy` the digest of the policy in force there.
    """

    old: NoteVerifier
    new: NoteVerifier
    size: int
    root: bytes
    leaf: Digest
    policy: Digest

    def to_text(self) -> str:
        """Return the lines that both keys sign."""
        lines = [
            FIRST,
            f"from {self.old.vkey}",
            f"size {self.size}",
            f"root {base64.b64encode(self.root).decode()}",
            f"leaf {self.leaf}",
            f"to {self.new.vkey}",
            f"policy {self.policy}",
        ]
        return "\n".join(lines) + "\n"

    def sign(self, old: LogKey, new: LogKey) -> str:
        """Return the note over the text with a line of each key."""
        text = self.to_text()
        line = new.sign(text).splitlines(keepends=True)[-1]
        return (old.sign(text) + line).decode()

    def check(self, note: str) -> None:
        """Raise `HandoverError` (rules 3 and 4) unless `note` is this text, signed by both keys."""
        try:
            opened = open_note(note.encode(), [self.old, self.new])
        except Error as error:
            raise HandoverError(f"handover-one-sided: {error.what}") from error
        signed = {signer.vkey for signer in opened.signers}
        for side, key in (("old", self.old), ("new", self.new)):
            if key.vkey not in signed:
                raise HandoverError(f"handover-one-sided: the {side} log's key has not signed it")
        if opened.text != self.to_text():
            raise HandoverError("handover-altered: its text says something else than the logs do")


@dataclass(frozen=True, slots=True, kw_only=True)
class Previous:
    """The log before, as a genesis names it: its key, final size and root, its last leaf's hash and time."""

    key: NoteVerifier
    size: int
    root: bytes
    leaf: Digest
    at: datetime
    note: str

    @property
    def origin(self) -> str:
        """The log's name."""
        return self.key.name

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Previous":
        """Read it from a genesis; raise `HandoverError` where it is malformed."""
        if data.keys() != _KEYS or type(data["size"]) is not int or data["size"] < 1:
            raise HandoverError("handover-altered: the genesis does not name the log before in full")
        texts = {name: data[name] for name in _KEYS - {"size"}}
        if not all(isinstance(value, str) for value in texts.values()) or not _TIME.match(texts["at"]):
            raise HandoverError(
                "handover-altered: the genesis does not name the log before by texts and a time"
            )
        try:
            key, root = NoteVerifier.parse(texts["log_key"]), _root(texts["root"])
            at, leaf = datetime.fromisoformat(texts["at"]), canonical.parse_digest(texts["leaf"])
        except (Error, ValueError) as error:
            raise HandoverError(f"handover-altered: previous cannot be read: {error}") from error
        if key.name != texts["origin"]:
            raise HandoverError("handover-altered: previous names another key than its log's")
        return cls(key=key, size=data["size"], root=root, leaf=leaf, at=at, note=texts["handover"])


def previous_data(handover: Handover, *, at: str, note: str) -> dict[str, Any]:
    """Return what a genesis holds under `previous`; `at` is the time of the old log's last leaf."""
    return {
        "origin": handover.old.name,
        "log_key": handover.old.vkey,
        "size": handover.size,
        "root": base64.b64encode(handover.root).decode(),
        "leaf": handover.leaf,
        "at": at,
        "handover": note,
    }


def check_successor(old: NoteVerifier, new: NoteVerifier) -> None:
    """Raise `HandoverError` unless `new` can be the key of the period after `old`'s."""
    if new.public == old.public:
        raise HandoverError("handover-altered: a new period needs a new key, and this is the old one")
    if series(new.name) != series(old.name) or new.name == old.name:
        raise HandoverError(f"handover-altered: {new.name} is no other period of {old.name}")


def series(origin: str) -> str:
    """Return what all periods of a log share: `<domain>/<name>`."""
    return origin.rpartition("/")[0]


def period_of(origin: str) -> str:
    """Return the last part of a log's name."""
    return origin.rpartition("/")[2]


def _root(text: Any) -> bytes:
    raw = base64.b64decode(str(text), validate=True)
    if len(raw) != 32 or base64.b64encode(raw).decode() != text:  # noqa: PLR2004 - sha256
        raise ValueError("not a root")
    return raw
