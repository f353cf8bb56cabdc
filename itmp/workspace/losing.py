"""`itmp audit rotate --key-lost`: go on with another log where the key of this one is gone for good.

Rules kept here: nothing is said to be lost while it can be read, or while its agent has it; what stands in the key's
place then is its public half, so that the log opens and nothing is signed; the log stops at its published head,
whatever is open, and leaves beyond it are told; its people say so by both of their statements, with that exact size;
the new log's first leaf holds them, and its key alone signs the handover.
"""

from pathlib import Path
from typing import Final

from itmp.adapters import posix_log
from itmp.adapters.posix_log import durable, packed, periods
from itmp.adapters.posix_log.reading import KEY, LOST_KEY
from itmp.audit import Leaf, SignedCheckpoint
from itmp.change import policy_history
from itmp.change.handover import LOST
from itmp.errors import Error, EvidenceIncompleteError, InvalidInputError
from itmp.signing import NoteVerifier
from itmp.workspace import rotating
from itmp.workspace.place import Workspace

_MOST: Final = 4096


def rotate_lost(
    place: Workspace, reason: str, *, period: str = "", log_key: str = "", key: str | None = None
) -> "rotating.Rotation":
    """Say that this log's key is lost and begin the next period without it; each person of the quorum calls it.

    `InvalidInputError`: the key is here.
    """
    _give_up_key(place.state)
    with periods.rotating(place.state):
        proposal = rotating.proposed(place) or rotating.propose_lost(
            place, period=period, log_key=log_key, reason=LOST + reason
        )
    if not proposal.lost:
        raise InvalidInputError(
            "a rotation with the log's key is proposed", do="Give it up first: itmp audit rotate --abandon"
        )
    return rotating.sign_and_take(place, proposal, key)


def _give_up_key(state: Path) -> None:
    """Put the log's public key where its private one was; refuse while that can sign."""
    path = state / KEY
    if path.exists():
        try:
            fault = posix_log.read_key(path).fault()
        except Error as error:
            raise InvalidInputError(
                f"the key's file is here and cannot be used: {error.what}",
                where=str(path),
                do="Repair it, or move it away where it is spoilt: only a key that is gone is lost.",
            ) from error
        if not fault:
            raise InvalidInputError(
                "the log's key is here, and signs", where=str(path), do="itmp audit rotate"
            )
    verifier = _public(state / posix_log.LOG)
    with durable.unavailable("written", path):
        durable.make_folder(path.parent, mode=0o700)
        durable.replace(path, f"{LOST_KEY}{verifier.vkey}\n".encode(), mode=0o600)


def _public(folder: Path) -> NoteVerifier:
    """Return the key that the log's own first leaf names, if its published head is signed by it."""
    reader = posix_log.open_reader(folder)
    note = reader.get("checkpoint", posix_log.MAX_NOTE) or b""
    size = int(note.split(b"\n")[1]) if note.split(b"\n")[1:2] and note.split(b"\n")[1].isdigit() else 0
    if not size:
        raise EvidenceIncompleteError("a log without a checkpoint", where=str(folder), do="itmp audit verify")
    first = Leaf(index=0, data=next(iter(packed.leaves(reader, size))))
    verifier = NoteVerifier.parse(policy_history([first]).log_key)
    SignedCheckpoint.open(note, [verifier], where="checkpoint")
    return verifier
