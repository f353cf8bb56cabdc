"""A log is held against what an anchor holds; who else signed it does not matter, the log's key does."""

from collections.abc import Iterator

from itmp.anchors import AnchorError, AnchorFloodedError, cover, judge
from itmp.audit.checkpoint import Checkpoint
from itmp.audit.merkle import Tree, leaf_hash
from itmp.signing import NoteKey

ORIGIN = "example.com/ops/2026"
LOG = NoteKey.generate(ORIGIN, b"l" * 32)
OTHER = NoteKey.generate(ORIGIN, b"o" * 32)


def tree(size: int, word: bytes = b"leaf") -> Tree:
    made = Tree()
    made.extend([leaf_hash(b"%s %d" % (word, at)) for at in range(size)])
    return made


def note(one: Tree, key: NoteKey = LOG) -> bytes:
    return key.sign(Checkpoint(origin=ORIGIN, size=one.size, root=one.root()).to_text())


def named(*notes: bytes, size: int = 7) -> tuple[list[tuple[str, bool]], int]:
    mine = tree(size)
    findings, newest = judge("anchor a", notes, LOG.verifier, lambda: mine.size, mine.root)
    return [(finding.name, finding.grave) for finding in findings], newest.size if newest else 0


def test_of_heads_that_the_log_continues_the_newest_holds() -> None:
    assert named(note(tree(3)), note(tree(7))) == ([], 7)
    assert named(note(tree(7)), note(tree(3))) == ([], 7)


def test_a_head_beyond_the_log_is_a_rollback() -> None:
    assert named(note(tree(3)), note(tree(8))) == ([("rolled-back", True)], 3)


def test_another_root_for_one_size_is_a_fork_also_below_one_that_holds() -> None:
    assert named(note(tree(3, b"other")), note(tree(7))) == ([("forked", True)], 7)
    assert named(note(tree(7)), note(tree(3, b"other"))) == ([("forked", True)], 7)


def test_what_another_key_signed_is_no_proof_against_the_log() -> None:
    altered = ("anchor-altered", False)
    for one in (note(tree(3, b"other"), OTHER), note(tree(9), OTHER), b""):
        assert named(one) == ([altered], 0)
        assert named(note(tree(7)), one) == ([altered], 7)


def test_a_head_that_another_key_signed_covers_nothing() -> None:
    assert named(note(tree(7), OTHER), note(tree(3))) == ([("anchor-altered", False)], 3)


def test_no_signature_is_looked_at_of_a_head_that_agrees_and_covers_nothing_more() -> None:
    assert named(note(tree(7)), note(tree(3), OTHER)) == ([], 7)


def test_a_head_of_leaves_that_came_meanwhile_is_no_rollback() -> None:
    mine, sizes = tree(9), iter([7, 9])
    findings, newest = judge("anchor a", [note(tree(9))], LOG.verifier, lambda: next(sizes), mine.root)
    assert (findings, newest and newest.size) == ((), 9)


def test_who_shows_too_much_or_fails_takes_back_nothing_that_was_shown() -> None:
    def shown(error: AnchorError) -> Iterator[bytes]:
        yield note(tree(8))
        raise error

    for error, told in (
        (AnchorFloodedError("full"), ("anchor-flooded", True)),
        (AnchorError("away"), ("anchor-failed", False)),
    ):
        mine = tree(7)
        findings, _ = judge("anchor a", shown(error), LOG.verifier, lambda: 7, mine.root)
        assert [(one.name, one.grave) for one in findings] == [("rolled-back", True), told]


def test_the_uncovered_tail_is_counted_from_the_newest_head() -> None:
    head = Checkpoint(origin=ORIGIN, size=5, root=b"r" * 32)
    assert (cover("a", "git", head, 9).size, cover("a", "git", head, 9).tail) == (5, 4)
    assert (cover("a", "git", None, 9).size, cover("a", "git", None, 9).tail) == (0, 9)
