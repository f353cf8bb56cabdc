"""A log is held against what an anchor holds; who else signed it does not matter, the log's key does."""

from itmp.anchors import cover, judge
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


def named(*notes: bytes, size: int = 7) -> tuple[list[tuple[str, bool]], list[int]]:
    mine = tree(size)
    findings, heads = judge("anchor a", notes, LOG.verifier, mine.size, mine.root)
    return [(finding.name, finding.grave) for finding in findings], [head.size for head in heads]


def test_heads_that_the_log_continues_hold() -> None:
    assert named(note(tree(3)), note(tree(7))) == ([], [3, 7])


def test_a_head_beyond_the_log_is_a_rollback() -> None:
    assert named(note(tree(3)), note(tree(8))) == ([("rolled-back", True)], [3])


def test_another_root_for_one_size_is_a_fork() -> None:
    assert named(note(tree(3, b"other")), note(tree(7))) == ([("forked", True)], [7])


def test_what_another_key_signed_is_no_proof_against_the_log() -> None:
    altered = [("anchor-altered", False)] * 3
    assert named(note(tree(3, b"other"), OTHER), note(tree(9), OTHER), b"") == (altered, [])


def test_the_uncovered_tail_is_counted_from_the_newest_head() -> None:
    assert (cover("a", "git", [3, 5], 9).size, cover("a", "git", [3, 5], 9).tail) == (5, 4)
    assert (cover("a", "git", [], 9).size, cover("a", "git", [], 9).tail) == (0, 9)
