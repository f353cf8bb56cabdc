"""Heads that anchors left beside a whole log: each counts, however many there are, and none without the log's key."""

from collections.abc import Mapping, Sequence

import pytest

from itmp.audit import Checkpoint
from itmp.audit.doors import JournalPart
from itmp.audit.merkle import Tree, leaf_hash
from itmp.canonical import digest
from itmp.errors import EvidenceInvalidError, ForkError
from itmp.evidence.anchored import check_anchored
from itmp.evidence.trust import LogPolicy, Trust
from itmp.signing import NoteKey
from itmp.signing.notes import COSIGNATURE

ORIGIN = "example.com/ops/2026"
LOG = NoteKey.generate(ORIGIN, b"l" * 32)
WITNESS = NoteKey.generate("witness.example/w1", b"w" * 32, algorithm=COSIGNATURE)
MANY = 1500
TRUST = Trust(policy=LogPolicy(log=LOG.verifier, witnesses={"w1": WITNESS.verifier}), genesis=digest(b""))
LEAVES = [b"leaf %d" % at for at in range(MANY)]


class Beside:
    """A log's reader that holds nothing but anchors' files."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files, self.read = files, 0

    def get(self, path: str, limit: int) -> bytes | None:
        self.read += 1
        assert len(self.files[path]) <= limit
        return self.files[path]

    def names(self, folder: str) -> Sequence[str]:
        assert folder == "anchors"
        return sorted(self.files)

    def journal(self) -> Sequence[JournalPart]:
        raise NotImplementedError


def roots(leaves: Sequence[bytes]) -> list[bytes]:
    tree = Tree()
    found = [tree.root()]
    for leaf in leaves:
        tree.extend([leaf_hash(leaf)])
        found.append(tree.root())
    return found


ROOTS = roots(LEAVES)
FORK = roots([b"other", *LEAVES[1:10]])


def head(size: int, root: bytes, key: NoteKey = LOG) -> bytes:
    return key.sign(Checkpoint(origin=ORIGIN, size=size, root=root).to_text())


STAMPED = {f"anchors/{size}/stamps.note": head(size, ROOTS[size]) for size in range(10, MANY + 1)}
"""More heads that agree with the log than were once looked through, with no cosignature."""


def judge(files: Mapping[str, bytes], size: int = MANY) -> tuple[str, ...]:
    return check_anchored(Beside(files), TRUST, size, LEAVES[:size])


def test_an_old_fork_shows_behind_any_number_of_newer_heads() -> None:
    with pytest.raises(ForkError, match="forked: another root was anchored for 5 leaves"):
        judge(STAMPED | {"anchors/5/stamps.note": head(5, FORK[5])})


def test_a_witness_s_cover_shows_behind_any_number_of_time_stamps() -> None:
    note = WITNESS.cosign(head(7, ROOTS[7]), time=1)
    (told,) = judge(STAMPED | {"anchors/7/w1.note": note})
    assert told == f"anchor w1 (witness) covers 7 leaves of the log, {MANY - 7} not"


def test_files_that_the_log_s_key_did_not_sign_hide_nothing_and_say_nothing() -> None:
    stranger = NoteKey.generate(ORIGIN, b"s" * 32)
    junk = {f"anchors/{9 * 10**18 + at}/x.note": b"junk" for at in range(MANY)}
    junk |= {f"anchors/{MANY + at}/s.note": head(MANY + at, ROOTS[1], stranger) for at in range(1, 20)}
    junk |= {f"anchors/{at}/s.note": head(at, FORK[at], stranger) for at in range(1, 10)}
    cosigned = WITNESS.cosign(head(9, FORK[9], stranger), time=1)
    assert judge(STAMPED | junk | {"anchors/9/w1.note": cosigned})[0].startswith(
        "anchor w1 (witness) covers 0 "
    )
    with pytest.raises(ForkError, match=f"rolled-back: {MANY} leaves were anchored, the log has 20"):
        judge(STAMPED | junk, 20)


@pytest.mark.parametrize("size", [0, 1, MANY])
def test_a_line_of_a_witness_that_does_not_hold_takes_nothing_from_a_head(size: int) -> None:
    spoilt = bytearray(WITNESS.cosign(head(9, FORK[9]), time=1))
    spoilt[-10] ^= 1
    with pytest.raises(ForkError):
        judge({"anchors/9/w1.note": bytes(spoilt)}, size)


def test_a_head_of_no_leaves_has_the_empty_tree_s_root() -> None:
    assert judge({"anchors/0/a.note": head(0, ROOTS[0])})
    with pytest.raises(ForkError):
        judge({"anchors/0/a.note": head(0, ROOTS[1])})


def test_each_file_is_read_a_bounded_number_of_times() -> None:
    beside = Beside(STAMPED | {f"anchors/{at}/j.note": b"junk" for at in range(MANY)})
    check_anchored(beside, TRUST, MANY, LEAVES)
    assert beside.read <= 3 * len(beside.files)


def test_a_file_that_no_reader_takes_says_nothing() -> None:
    class Refusing(Beside):
        def get(self, path: str, limit: int) -> bytes | None:
            if path.endswith("large.note"):
                raise EvidenceInvalidError("a file of 65537 bytes")
            return super().get(path, limit)

    beside = Refusing({"anchors/9/large.note": b"", "anchors/5/a.note": head(5, FORK[5])})
    with pytest.raises(ForkError):
        check_anchored(beside, TRUST, MANY, LEAVES)
