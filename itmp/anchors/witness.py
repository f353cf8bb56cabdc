"""A witness: it cosigns a checkpoint only when that continues the newest one it has cosigned for the same origin.

The numbered steps of C2SP tlog-witness `add-checkpoint`; the code repeats the numbers:
1 the request has its one encoding (400); 2 the origin is known (404); 3 a key trusted for that origin signed it (403);
4 the old size is not above the new one (400); 5 the old size is the newest cosigned one (409 with that size); 6
equal sizes have equal roots, no leaves have the empty tree's, the proof holds, and from size 0 it is empty (422); 7 the
memory moves by compare-and-swap, durably (409 when it lost a race); 8 only then it cosigns (200).

So no origin ever gets cosignatures over two roots for one size, nor over a smaller size than before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from itmp.anchors.doors import Head, Seen
from itmp.anchors.request import Request, RequestError
from itmp.audit import Checkpoint, ProofError, SignedCheckpoint, verify_consistency
from itmp.errors import EvidenceInvalidError, InvalidInputError
from itmp.signing import NoteKey, NoteVerifier

OK: Final = 200
BAD_REQUEST: Final = 400
FORBIDDEN: Final = 403
NOT_FOUND: Final = 404
CONFLICT: Final = 409
UNPROCESSABLE: Final = 422
SIZE_TYPE: Final = "text/x.tlog.size"
_TEXT: Final = "text/plain; charset=utf-8"
_COSIGNATURE: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the witness answers: an HTTP status, a content type and a body."""

    status: int
    body: bytes
    type: str = _TEXT


class _RefusalError(Exception):
    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.reply = Reply(status=status, body=f"{why}\n".encode())


class Witness:
    """One witness key, the logs it knows and what it has cosigned. `now` gives POSIX seconds."""

    def __init__(
        self, key: NoteKey, logs: Sequence[NoteVerifier], seen: Seen, now: Callable[[], int]
    ) -> None:
        if key.algorithm != _COSIGNATURE:
            raise InvalidInputError(
                "not a witness's key", where=key.name, do="Make one: itmp witness key NAME"
            )
        self._key, self._seen, self._now = key, seen, now
        self._logs: dict[str, list[NoteVerifier]] = {}
        for log in logs:
            self._logs.setdefault(log.name, []).append(log)

    def add_checkpoint(self, body: bytes) -> Reply:
        """Judge one request; see the module's steps. Raises only when the memory fails."""
        try:
            request = Request.parse(body)  # 1
            return self._cosign(request, self._verified(request.note).checkpoint)
        except RequestError as error:
            return Reply(status=BAD_REQUEST, body=f"{error.what}\n".encode())
        except _RefusalError as refusal:
            return refusal.reply

    def _verified(self, note: bytes) -> SignedCheckpoint:
        origin = note.partition(b"\n")[0].decode(errors="replace")
        if origin not in self._logs:  # 2
            raise _RefusalError(NOT_FOUND, "this witness does not know that log")
        try:
            return SignedCheckpoint.open(note, self._logs[origin])  # 3
        except (EvidenceInvalidError, InvalidInputError) as error:
            raise _RefusalError(FORBIDDEN, error.what) from error

    def _cosign(self, request: Request, head: Checkpoint) -> Reply:
        if request.old > head.size:  # 4
            return Reply(status=BAD_REQUEST, body=b"the old size is above the checkpoint's\n")
        known, new = self._seen.newest(head.origin), Head(size=head.size, root=head.root)
        if request.old != known.size:  # 5
            return _conflict(known)
        try:
            _continues(known, new, request.proof)  # 6
        except ProofError as error:
            raise _RefusalError(UNPROCESSABLE, error.what) from error
        if not self._seen.swap(head.origin, known, new):  # 7
            return _conflict(self._seen.newest(head.origin))
        cosigned = self._key.cosign(request.note, time=self._now())  # 8
        return Reply(status=OK, body=cosigned[len(request.note) :])


def _continues(old: Head, new: Head, proof: Sequence[bytes]) -> None:
    if old.size == 0:
        if proof:
            raise ProofError("a proof from size 0 must be empty")
        if new.size == 0 and new.root != old.root:
            raise ProofError("no leaves, and another root than the empty tree's")
        return
    verify_consistency(old=old.size, new=new.size, old_root=old.root, new_root=new.root, proof=proof)


def _conflict(known: Head) -> Reply:
    return Reply(status=CONFLICT, type=SIZE_TYPE, body=b"%d\n" % known.size)
