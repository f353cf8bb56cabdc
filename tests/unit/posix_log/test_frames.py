import pytest

from itmp.adapters.posix_log.frames import encode, judge_tail, scan
from itmp.audit.event import MAX_LEAF

LEAF = b'{"a":"' + b"x" * 50 + b'"}'


def test_frames_come_back_in_order() -> None:
    leaves = [LEAF, b"y", b"z" * MAX_LEAF]
    found = scan(b"".join(encode(leaf) for leaf in leaves))
    assert (found.leaves, found.tail) == (leaves, "clean")
    assert found.ends[0] == len(encode(LEAF))


@pytest.mark.parametrize("cut", range(1, len(encode(LEAF))))
def test_every_prefix_of_a_frame_is_a_torn_tail(cut: int) -> None:
    found = scan(encode(LEAF) + encode(LEAF)[:cut])
    assert (found.leaves, found.tail) == ([LEAF], "torn")
    assert judge_tail(encode(LEAF)[:cut] + bytes(40)) == "torn"


def test_zeros_after_whole_frames_are_torn() -> None:
    assert scan(encode(LEAF) + bytes(5000)).tail == "torn"


@pytest.mark.parametrize("at", range(len(encode(LEAF))))
def test_no_flipped_byte_passes_and_none_before_a_frame_counts_as_torn(at: int) -> None:
    frame = bytearray(encode(LEAF))
    frame[at] ^= 1
    found = scan(bytes(frame) + encode(LEAF))
    assert (found.leaves, found.tail) == ([], "damaged")


@pytest.mark.parametrize(
    "rest", [b"\x01", b"\x00\x01" + bytes(7), b"{", (MAX_LEAF + 1).to_bytes(4) + b"abcd" + b"x" * 9]
)
def test_what_no_write_of_ours_leaves_is_damage(rest: bytes) -> None:
    assert judge_tail(rest) == "damaged"
