"""A witness cosigns one history of each log, whatever it is asked."""

import base64
from collections import UserDict
from pathlib import Path

import pytest

from itmp.adapters.anchors.serving import SqliteSeen
from itmp.adapters.anchors.witness import WitnessAnchor
from itmp.anchors import Head, Reply, Request, RequestError, Witness
from itmp.audit.checkpoint import Checkpoint, SignedCheckpoint
from itmp.audit.merkle import EMPTY_ROOT, Tree, leaf_hash
from itmp.errors import LogUnavailableError
from itmp.signing import NoteKey, open_note

ORIGIN = "example.com/ops/2026"
LOG = NoteKey.generate(ORIGIN, b"l" * 32)
KEY = NoteKey.generate("witness.example/w1", b"w" * 32, algorithm=4)
NOW = 1_790_000_000


def grown(size: int, word: bytes = b"leaf", upto: int = 0) -> Tree:
    """Return a tree whose leaves below `upto` are the honest ones, the others named after `word`."""
    tree = Tree()
    tree.extend([leaf_hash(b"%s %d" % (b"leaf" if at < upto else word, at)) for at in range(size)])
    return tree


def head(tree: Tree, key: NoteKey = LOG, origin: str = ORIGIN) -> bytes:
    return key.sign(Checkpoint(origin=origin, size=tree.size, root=tree.root()).to_text())


@pytest.fixture
def seen(tmp_path: Path) -> SqliteSeen:
    memory = SqliteSeen(tmp_path / "memory")
    memory.create()
    return memory


@pytest.fixture
def witness(seen: SqliteSeen) -> Witness:
    return Witness(KEY, [LOG.verifier], seen, lambda: NOW)


def ask(witness: Witness, tree: Tree, old: int, note: bytes = b"") -> Reply:
    proof = tree.consistency(old, tree.size) if 0 < old <= tree.size else ()
    return witness.add_checkpoint(Request(old=old, proof=proof, note=note or head(tree)).to_bytes())


def test_it_cosigns_the_first_head_and_what_continues_it(witness: Witness) -> None:
    for old, size in ((0, 5), (5, 5), (5, 9), (9, 70)):
        reply = ask(witness, grown(size), old)
        assert reply.status == 200, reply
        note = head(grown(size)) + reply.body
        signers = {
            signer.name: signer.time for signer in open_note(note, [LOG.verifier, KEY.verifier]).signers
        }
        assert signers == {ORIGIN: None, KEY.name: NOW}


def test_two_roots_for_one_size_are_never_both_cosigned(witness: Witness) -> None:
    assert ask(witness, grown(5), 0).status == 200
    other = ask(witness, grown(5, b"other"), 5)
    assert other.status == 422
    other = ask(witness, grown(5, b"other"), 0)
    assert (other.status, other.type, other.body) == (409, "text/x.tlog.size", b"5\n")


def test_a_smaller_size_than_before_is_never_cosigned(witness: Witness) -> None:
    assert ask(witness, grown(9), 0).status == 200
    for old in (0, 5):
        assert (ask(witness, grown(5), old).status, ask(witness, grown(5), old).body) == (409, b"9\n")
    assert ask(witness, grown(5), 9).status == 400, "the old size is above the checkpoint's"


def test_a_fork_is_not_cosigned_whatever_proof_comes_along(witness: Witness, seen: SqliteSeen) -> None:
    assert ask(witness, grown(5), 0).status == 200
    fork = grown(9, b"other", upto=4)
    assert ask(witness, fork, 5).status == 422
    short = Request(old=5, proof=(), note=head(grown(9))).to_bytes()
    assert witness.add_checkpoint(short).status == 422
    assert seen.newest(ORIGIN) == Head(size=5, root=grown(5).root())


def test_a_proof_from_size_zero_must_be_empty(witness: Witness) -> None:
    request = Request(old=0, proof=(b"x" * 32,), note=head(grown(5)))
    assert witness.add_checkpoint(request.to_bytes()).status == 422


def test_an_empty_log_has_one_root(witness: Witness) -> None:
    empty = Checkpoint(origin=ORIGIN, size=0, root=b"x" * 32)
    assert ask(witness, Tree(), 0, note=LOG.sign(empty.to_text())).status == 422
    assert ask(witness, Tree(), 0).status == 200


def test_unknown_logs_and_bad_signatures_are_told_apart(witness: Witness) -> None:
    stranger = NoteKey.generate("example.org/other/2026", b"s" * 32)
    assert ask(witness, grown(5), 0, head(grown(5), stranger, stranger.name)).status == 404
    assert ask(witness, grown(5), 0, head(grown(5), NoteKey.generate(ORIGIN, b"x" * 32))).status == 403


def test_a_line_with_the_logs_key_id_by_another_key_is_refused(witness: Witness) -> None:
    note = head(grown(5), NoteKey.generate(ORIGIN, b"x" * 32))
    text, _, line = note.rpartition(b" ")
    forged = LOG.verifier.key_id + base64.b64decode(line)[4:]
    assert ask(witness, grown(5), 0, text + b" " + base64.b64encode(forged) + b"\n").status == 403


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 0",
        b"old 00\n\n",
        b"old -1\n\n",
        b"old 0\r\n\r\n",
        b"old 1\n" + b"A" * 44 + b"\n\nx",
        b"old 1\n" + base64.b64encode(b"short") + b"\n\nx",
        b"old 1\n" + (base64.b64encode(b"x" * 32) + b"\n") * 64 + b"\nx",
        b"old 0\n\n" + b"x" * 200_000,
    ],
)
def test_what_is_no_request_is_refused_before_anything_else(witness: Witness, body: bytes) -> None:
    assert witness.add_checkpoint(body).status == 400
    with pytest.raises(RequestError):
        Request.parse(body)


def test_of_two_that_race_one_loses_and_is_told_the_newest_size(seen: SqliteSeen) -> None:
    class Slow(SqliteSeen):
        """Lets another request through between reading and writing."""

        def newest(self, origin: str) -> Head:
            found = super().newest(origin)
            if found.size == 0:
                assert seen.swap(origin, found, Head(size=9, root=grown(9).root()))
            return found

    witness = Witness(KEY, [LOG.verifier], Slow(seen._path), lambda: NOW)
    reply = ask(witness, grown(5), 0)
    assert (reply.status, reply.body) == (409, b"9\n")


def test_a_lost_memory_is_no_empty_one(witness: Witness, tmp_path: Path) -> None:
    assert ask(witness, grown(5), 0).status == 200
    (tmp_path / "memory").unlink()
    with pytest.raises(LogUnavailableError):
        ask(witness, grown(5, b"other"), 0)


def test_the_memory_moves_only_from_what_it_is(seen: SqliteSeen) -> None:
    nothing, five = Head(size=0, root=EMPTY_ROOT), Head(size=5, root=b"5" * 32)
    assert seen.swap(ORIGIN, nothing, five)
    assert not seen.swap(ORIGIN, nothing, Head(size=9, root=b"9" * 32))
    assert not seen.swap(ORIGIN, Head(size=5, root=b"x" * 32), Head(size=9, root=b"9" * 32))
    assert seen.newest(ORIGIN) == five


def test_requests_have_one_encoding() -> None:
    tree = grown(9)
    request = Request(old=5, proof=tree.consistency(5, 9), note=head(tree))
    assert Request.parse(request.to_bytes()) == request
    assert SignedCheckpoint.open(request.note, [LOG.verifier]).checkpoint.size == 9


def test_a_cosignature_that_does_not_say_when_is_none() -> None:
    anchor = WitnessAnchor("w1", url="http://127.0.0.1:1", vkey=KEY.vkey)
    assert not anchor.cosigned(KEY.cosign(head(grown(5)), time=0))
    assert anchor.cosigned(KEY.cosign(head(grown(5)), time=1))


def test_what_was_kept_is_read_from_the_newest_down_and_only_as_it_is_wanted() -> None:
    read = list[str]()

    class Kept(UserDict[str, bytes]):
        """Tells what is read of it."""

        def __getitem__(self, path: str) -> bytes:
            read.append(path)
            return super().__getitem__(path)

    anchor = WitnessAnchor("w1", url="http://127.0.0.1:1", vkey=KEY.vkey)
    kept = Kept({f"{size}/w1.note": KEY.cosign(head(grown(size)), time=NOW) for size in (9, 10, 11)})
    kept |= {"12/w1.note": head(grown(12)), "12/w2.note": b"", "x/w1.note": b""}
    shown = anchor.held(kept)
    assert next(shown) == kept.get("11/w1.note")
    assert read == ["12/w1.note", "11/w1.note", "11/w1.note"], "the newest is not cosigned: it covers nothing"
    assert len(list(shown)) == 2
