"""The client of a C2SP tlog-witness.

Rules kept here: a cosignature counts only when it holds under the configured key and says when; lines of other keys are
dropped; a witness that knows more leaves than the log (409), or whose head the log's proof does not continue (422, of
older ones 409 at the same size), is the proof of a rollback or a fork. Who is trusted: the witness, to be another party
than the log's owner.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from itmp.adapters.anchors.posting import check_url, post
from itmp.anchors import AnchorError, Prove, Request
from itmp.audit import SignedCheckpoint
from itmp.errors import EvidenceInvalidError, ForkError, InvalidInputError
from itmp.signing import NoteVerifier, open_note

_OK: Final = 200
_CONFLICT: Final = 409
_UNPROCESSABLE: Final = 422
_MAX_DIGITS: Final = 19
_COSIGNATURE: Final = 4


class WitnessAnchor:
    """A witness at `url` (the submission prefix) with the verifier key `vkey`. Keeps the contract of `Anchor`."""

    kind = "witness"
    remark = ""

    def __init__(self, name: str, *, url: str, vkey: str) -> None:
        self.name = name
        self._url = check_url(url.rstrip("/"), f"anchor {name}") + "/add-checkpoint"
        self._key = NoteVerifier.parse(vkey)
        if self._key.algorithm != _COSIGNATURE:
            raise InvalidInputError("not a witness's key (type 04)", where=f"anchor {name}")

    def put(self, head: SignedCheckpoint, prove: Prove) -> Mapping[str, bytes]:
        """Have the witness cosign; return `NAME.note`, the head with its line."""
        size, head = head.checkpoint.size, _bare(head)
        status, answer = self._ask(size, head, ())  # right when it has cosigned this very head before
        if status == _CONFLICT:
            old = self._newest(answer)
            if old > size:
                raise self._fork(
                    f"it has cosigned {old} leaves, this log has {size}: an older log was put back"
                )
            if old == size:
                raise self._fork(f"it has cosigned another root for {size} leaves: another history")
            status, answer = self._ask(old, head, prove(old, size) if old else ())
        if status == _UNPROCESSABLE:
            raise self._fork(f"what it has cosigned is no part of this log of {size} leaves: another history")
        if status != _OK:
            raise AnchorError(f"status {status}: {answer[:120].decode(errors='replace')!r}", where=self._url)
        return {f"{self.name}.note": self._accept(head.note, answer)}

    def held(self, kept: Mapping[str, bytes]) -> Iterator[bytes]:
        """Yield the newest head that it has cosigned for us, and what else was kept in its name before that.

        A witness shows its memory only by what it refuses, so this is what it gave, beside the log. Its line says how
        far it covers the log, so it is looked for from the newest head down; older heads count against the log by the
        log's own signature, whoever cosigned them.
        """
        end, covered = f"/{self.name}.note", False
        sizes = (path.removesuffix(end) for path in kept if path.endswith(end))
        for size in sorted((size for size in sizes if size.isdecimal()), key=int, reverse=True):
            note = kept.get(f"{size}{end}", b"")
            covered = covered or self.cosigned(note)
            if covered:
                yield note

    def cosigned(self, note: bytes) -> bool:
        """Whether `note` carries this witness's valid line, with a time."""
        try:
            opened = open_note(note, [self._key])
        except EvidenceInvalidError:
            return False
        return all(signer.time for signer in opened.signers)

    def _ask(self, old: int, head: SignedCheckpoint, proof: Sequence[bytes]) -> tuple[int, bytes]:
        request = Request(old=old, proof=tuple(proof), note=head.note)
        return post(self._url, request.to_bytes(), type="text/plain; charset=utf-8")

    def _newest(self, answer: bytes) -> int:
        digits = answer.removesuffix(b"\n")
        if not digits.isdigit() or len(digits) > _MAX_DIGITS or str(int(digits)).encode() != digits:
            raise AnchorError("a conflict without a size", where=self._url)
        return int(digits)

    def _accept(self, note: bytes, answer: bytes) -> bytes:
        for line in answer.splitlines(keepends=True):
            cosigned = note + line
            if self.cosigned(cosigned):
                return cosigned
        raise AnchorError("no cosignature of the configured key holds", where=self._url)

    def _fork(self, what: str) -> ForkError:
        return ForkError(what, where=self._url, do="Keep both copies and compare them; never sign on.")


def _bare(head: SignedCheckpoint) -> SignedCheckpoint:
    """Return the head with the log's own line alone, which is the first: this witness may have signed it before."""
    text, _, lines = head.note.partition(b"\n\n")
    first = lines.partition(b"\n")[0]
    return SignedCheckpoint(checkpoint=head.checkpoint, note=text + b"\n\n" + first + b"\n")
