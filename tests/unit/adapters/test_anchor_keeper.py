"""The keeper of another account: a program that stands alone, and judges every request for itself."""

import base64
import subprocess
import sys
from pathlib import Path

import pytest

from itmp.adapters.anchors.apart import keep
from itmp.adapters.anchors.apart.account import SOURCE, find_account, named_account
from itmp.anchors import Request
from itmp.audit import Checkpoint, SignedCheckpoint
from itmp.audit.merkle import Tree, leaf_hash
from itmp.signing import NoteKey

KEY = NoteKey.generate("example.com/ops/2026", b"\x05" * 32)
TREE = Tree()
TREE.extend([leaf_hash(b"%d" % number) for number in range(70)])


def head(size: int, key: NoteKey = KEY, root: bytes | None = None) -> bytes:
    root = root or TREE.root(size)
    return SignedCheckpoint.sign(Checkpoint(origin=key.name, size=size, root=root), key).note


def request(old: int, new: int, *, note: bytes | None = None, key: NoteKey = KEY) -> bytes:
    proof = TREE.consistency(old, new) if 0 < old < new else ()
    body = Request(old=old, proof=tuple(proof), note=note or head(new, key)).to_bytes()
    return b"log %s\n%s" % (key.vkey.encode(), body)


def refusal(body: bytes, store: Path) -> tuple[str, int]:
    with pytest.raises(keep.RefusedError) as caught:
        keep.keep(body, str(store))
    return str(caught.value), caught.value.code


def kept(store: Path) -> list[str]:
    return sorted(file.name for file in store.rglob("*.note"))


def test_heads_that_continue_are_kept_as_they_came(tmp_path: Path) -> None:
    for old, new in ((0, 1), (1, 2), (2, 3), (3, 8), (8, 13), (13, 64), (64, 70)):
        assert keep.keep(request(old, new), str(tmp_path)) == f"kept {new}"
    (file,) = tmp_path.rglob("70.note")
    assert file.read_bytes() == head(70)
    assert keep.keep(request(70, 70), str(tmp_path)) == "kept 70", "repeating is harmless"


def test_every_pair_of_sizes_is_proven_and_no_other(tmp_path: Path) -> None:
    for old in range(1, 24):
        for new in range(old + 1, 25):
            proof = list(TREE.consistency(old, new))
            roots = TREE.root(old), TREE.root(new)
            keep.continues(old, new, *roots, proof)
            for wrong in (proof[:-1], [*proof, b"\x00" * 32], [b"\x01" * 32, *proof[1:]], []):
                if wrong != proof:
                    with pytest.raises(keep.RefusedError):
                        keep.continues(old, new, *roots, wrong)
            with pytest.raises(keep.RefusedError):
                keep.continues(old, new, roots[1], roots[1], proof)
    assert kept(tmp_path) == []


def test_what_does_not_continue_changes_nothing(tmp_path: Path) -> None:
    keep.keep(request(0, 8), str(tmp_path))
    forked = head(9, root=b"\x07" * 32)
    assert refusal(request(8, 9, note=forked), tmp_path)[1] == 42
    assert refusal(request(0, 8, note=head(8, root=b"\x07" * 32)), tmp_path)[1] == 42
    assert refusal(request(0, 5), tmp_path) == ("newest 8", 3)
    assert refusal(request(5, 9), tmp_path) == ("newest 8", 3)
    assert kept(tmp_path) == ["8.note"]


def test_only_the_key_that_began_a_store_is_heard(tmp_path: Path) -> None:
    keep.keep(request(0, 8), str(tmp_path))
    other = NoteKey.generate(KEY.name, b"\x06" * 32)
    unsigned = request(8, 9, note=head(9, other))
    assert refusal(unsigned, tmp_path) == ("refused: the log's key did not sign this head", 1)
    assert keep.keep(request(0, 9, key=other), str(tmp_path)) == "kept 9", "another log, of its own"
    (folder,) = [file.parent for file in tmp_path.rglob("8.note")]
    (folder / "key").write_text(other.vkey)
    assert refusal(request(8, 9), tmp_path)[0] == "refused: another key began this log's store"


@pytest.mark.parametrize("at", [4, 40, 67])
def test_a_signature_that_does_not_hold_is_refused(at: int, tmp_path: Path) -> None:
    keep.keep(request(0, 8), str(tmp_path))
    text, _, line = head(9).rpartition(b" ")
    signature = bytearray(base64.b64decode(line))  # a key id of 4 bytes, then the signature's 64
    signature[at] ^= 1
    note = text + b" " + base64.b64encode(signature) + b"\n"
    assert refusal(request(8, 9, note=note), tmp_path) == ("refused: the log's key did not sign this head", 1)
    assert kept(tmp_path) == ["8.note"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n\n",
        b"log x\nold 0\n\n",
        b"x" * 200_000,
        request(0, 8).replace(b"old 0", b"old 00"),
        request(0, 8).replace(b"log ", b"log\t"),
        request(0, 8).replace(b"example.com/ops/2026\n", b"../../etc\n"),
        request(0, 8).replace(b"\n8\n", b"\n08\n"),
        b"log %s\nold 1\n%s\n" % (KEY.vkey.encode(), b"A\n" * 70) + head(8),
        b"log %s\nold 0\n\n" % KEY.vkey.encode()
        + f"{KEY.name}\n9223372036854775808000\n{base64.b64encode(b'1' * 32).decode()}\n\nx\n".encode(),
    ],
)
def test_what_is_no_request_is_refused(body: bytes, tmp_path: Path) -> None:
    assert refusal(body, tmp_path)[1] == 1
    assert kept(tmp_path) == []


def test_a_logs_name_is_no_way_out_of_the_store(tmp_path: Path) -> None:
    key = NoteKey.generate("../../x", b"\x05" * 32)
    note = key.sign(f"{key.name}\n8\n{base64.b64encode(TREE.root(8)).decode()}\n")
    keep.keep(b"log %s\nold 0\n\n%s" % (key.vkey.encode(), note), str(tmp_path / "store"))
    assert [folder.name for folder in tmp_path.iterdir()] == ["store"]


def test_only_the_oldest_beyond_64_go(tmp_path: Path) -> None:
    for size in range(1, 68):
        keep.keep(request(size - 1, size), str(tmp_path))
    assert len(kept(tmp_path)) == 64
    assert {"3.note"} & set(kept(tmp_path)) == set()


def test_the_program_needs_nothing_of_ours() -> None:
    call = [sys.executable, "-I", "-S", "-c", "import sys; sys.modules['itmp'] = None\n" + SOURCE.read_text()]
    done = subprocess.run(call, input=b"noise", capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, b"refused: not a request\n"), done.stderr


def test_an_account_is_named_by_setting_environment_or_habit() -> None:
    assert named_account({}) == "itmp-anchor"
    assert named_account({"ITMP_ANCHOR_ACCOUNT": "none"}) == ""
    assert named_account({"ITMP_ANCHOR_ACCOUNT": "x"}, "y") == "y"
    assert find_account("") is None
    assert find_account("root") is None, "root is no other account to root, and no anchor's"
    assert find_account("no-such-account-here") is None
