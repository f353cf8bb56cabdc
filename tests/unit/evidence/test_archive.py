import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itmp.evidence import ArchiveError
from itmp.evidence.archive import pack, unpack

MEMBERS = {"MANIFEST": b"m", "leaves/0": b"x" * 600, "plan/manifest": b"", "statements/0.txt": b"y" * 512}
NAMES = st.from_regex(r"[a-z0-9]{1,8}(/[a-z0-9]{1,8})?", fullmatch=True)


@given(st.dictionaries(NAMES, st.binary(max_size=1500), max_size=5))
def test_what_is_packed_comes_back(members: dict[str, bytes]) -> None:
    assert unpack(pack(members)) == members


@given(st.binary(max_size=3000))
def test_noise_is_refused(noise: bytes) -> None:
    if noise != bytes(1024):
        with pytest.raises(ArchiveError):
            unpack(noise)


def test_stock_tar_reads_it() -> None:
    with tarfile.open(fileobj=io.BytesIO(pack(MEMBERS))) as tar:
        assert {m.name: tar.extractfile(m).read() for m in tar.getmembers()} == MEMBERS  # type: ignore[union-attr]


def test_no_byte_of_the_frame_is_free() -> None:
    honest = pack(MEMBERS)
    for at in range(len(honest)):
        data = bytearray(honest)
        data[at] ^= 1
        try:
            assert unpack(bytes(data)) != MEMBERS, at  # the flip lay in a member's content, and shows there
        except ArchiveError:
            continue


@pytest.mark.parametrize("cut", [1, 511, 512, 513, 1024, 1025, 2000])
def test_a_cut_or_longer_file_is_refused(cut: int) -> None:
    data = pack(MEMBERS)
    for other in (data[:-cut], data + bytes(cut)):
        with pytest.raises(ArchiveError):
            unpack(other)


def tar(build: "list[tuple[str, bytes, dict[str, object]]]", fmt: int = tarfile.USTAR_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=fmt) as archive:
        for name, data, more in build:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mode = 0o644
            for key, value in more.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(data))
    data = out.getvalue()
    return data[: len(data.rstrip(b"\0")) + -len(data.rstrip(b"\0")) % 512 + 1024]


@pytest.mark.parametrize(
    "hostile",
    [
        tar([("../evil", b"x", {})]),
        tar([("/etc/passwd", b"x", {})]),
        tar([("a/../../b", b"x", {})]),
        tar([("a//b", b"x", {})]),
        tar([("a", b"x", {}), ("a", b"y", {})]),
        tar([("b", b"x", {}), ("a", b"y", {})]),
        tar([("a", b"", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"})]),
        tar([("a", b"", {"type": tarfile.LNKTYPE, "linkname": "b"})]),
        tar([("a", b"", {"type": tarfile.CHRTYPE})]),
        tar([("a", b"", {"type": tarfile.DIRTYPE})]),
        tar([("a", b"x", {"mtime": 1})]),
        tar([("a", b"x", {"uid": 1})]),
        tar([("a", b"x", {"mode": 0o755})]),
        tar([("a", b"x", {"uname": "root"})]),
        tar([("a\n", b"x", {})]),
        tar([("é", b"x", {})], tarfile.PAX_FORMAT),
        tar([("a" * 200, b"x", {})], tarfile.GNU_FORMAT),
        b"\x1f\x8b" + bytes(600),
        b"",
        bytes(512),
    ],
)
def test_hostile_archives_are_refused(hostile: bytes) -> None:
    with pytest.raises(ArchiveError):
        unpack(hostile)


def test_a_member_that_claims_more_than_there_is_is_refused() -> None:
    data = bytearray(pack({"a": b"x"}))
    data[124:135] = b"77777777777"
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    with pytest.raises(ArchiveError, match="cut short"):
        unpack(bytes(data))
