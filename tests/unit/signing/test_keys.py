import base64
import hashlib

import pytest

from itmp.signing import PublicKey, WeakKeyError, points
from itmp.signing.wire import Reader, WireError, mpint, string, unbase64
from itmp.testing.people import Person

LINE = Person("alice", 1).public.line
BODY = LINE.split(" ")[1]


@pytest.mark.parametrize(
    "line", [LINE, LINE + "\n", LINE + " alice@laptop", LINE + " a comment with spaces\n"]
)
def test_a_pub_file_is_read_without_its_comment(line: str) -> None:
    key = PublicKey.parse(line)
    assert (key.line, key.type, key.hardware) == (LINE, "ssh-ed25519", False)
    digest = base64.b64encode(hashlib.sha256(key.blob).digest()).decode().rstrip("=")
    assert key.fingerprint == f"SHA256:{digest}"
    assert hash(key) == hash(PublicKey.parse(LINE))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ssh-ed25519",
        BODY,
        " " + LINE,
        LINE.replace(" ", "  "),
        LINE.replace(" ", "\t"),
        LINE + "\r\n",
        LINE + "\n" + LINE,
        LINE + " \x1b[2J",
        LINE + "=",
        LINE[:-1],
        LINE[:-4],
        LINE.replace("ssh-ed25519", "ssh-rsa"),
        f"no-pty {LINE}",
        f"@cert-authority * {LINE}",
        "ssh-ed25519 " + base64.b64encode(b"").decode(),
        "ssh-ed25519 " + base64.b64encode(b"\xff" * 50).decode(),
        "ssh-ed448 " + base64.b64encode(string(b"ssh-ed448") + string(b"x" * 57)).decode(),
        "x " + "A" * 100_000,
        "\ud800 " + BODY,
    ],
)
def test_other_lines_are_no_keys(line: str) -> None:
    with pytest.raises(WeakKeyError):
        PublicKey.parse(line)


def double(x: int, y: int) -> tuple[int, int]:
    d = -121665 * pow(121666, -1, points.P) % points.P
    product = d * x * x * y * y % points.P
    return (
        2 * x * y * pow(1 + product, -1, points.P) % points.P,
        (y * y + x * x) * pow(1 - product, -1, points.P) % points.P,
    )


def recover_x(y: int) -> int:
    d = -121665 * pow(121666, -1, points.P) % points.P
    square = (y * y - 1) * pow(d * y * y + 1, -1, points.P) % points.P
    root = pow(square, (points.P + 3) // 8, points.P)
    if root * root % points.P != square:
        root = root * pow(2, (points.P - 1) // 4, points.P) % points.P
    assert root * root % points.P == square
    return root


def test_the_small_order_points_are_the_eight_of_the_curve() -> None:
    """Doubling three times leads to the identity, from each of them, and from no fewer than eight."""
    found = set()
    for y in points._SMALL_ORDER_Y:
        x = recover_x(y)
        for point in {(x, y), (-x % points.P, y)}:
            at = point
            for _ in range(3):
                at = double(*at)
            assert at == (0, 1)
            found.add(point)
    assert len(found) == 8


def test_an_honest_point_has_no_fault() -> None:
    raw = PublicKey.parse(LINE).blob[-32:]
    assert points.fault(raw) == ""
    assert points.scalar_fault((points.L - 1).to_bytes(32, "little")) == ""
    assert points.scalar_fault(points.L.to_bytes(32, "little"))
    assert points.scalar_fault(bytes(31))


def test_mpint_writes_what_the_reader_reads() -> None:
    for value in (0, 1, 127, 128, 255, 256, 2**255, 2**256 - 1):
        reader = Reader(mpint(value), "number")
        assert reader.mpint() == value
        reader.end()


@pytest.mark.parametrize("data", [b"\x80", b"\xff\x01", b"\x00", b"\x00\x7f", b"\x00\x00\x80"])
def test_other_mpints_are_refused(data: bytes) -> None:
    with pytest.raises(WireError, match="integer"):
        Reader(string(data), "number").mpint()


def test_the_reader_refuses_lengths_beyond_the_bytes_and_the_limit() -> None:
    with pytest.raises(WireError, match="too early"):
        Reader(b"\0\0\0\x05abcd", "x").string()
    with pytest.raises(WireError, match="limit"):
        Reader(b"\xff\xff\xff\xff", "x").string()
    with pytest.raises(WireError, match="too early"):
        Reader(b"\0\0", "x").uint(4)
    with pytest.raises(WireError, match="control"):
        Reader(string(b"a\0"), "x").text()


@pytest.mark.parametrize(
    "text", ["A", "AA", "AA=", "AB==", "AAA", "AAAA=", "AA==AA==", "A-_A", " AAAA", "AAAA\n"]
)
def test_base64_has_one_form(text: str) -> None:
    with pytest.raises(WireError):
        unbase64(text, "x")
