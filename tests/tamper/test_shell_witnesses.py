"""Whom TRUST asks to have cosigned: `verify.sh` reads `log.policy` and counts cosignatures as `itmp-verify` does."""

import base64
import os
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from attacks import SCRIPT, judged, shelled

from itmp.errors import InvalidInputError
from itmp.evidence import Trust, archive
from itmp.evidence.archive import MAX_BUNDLE
from itmp.signing import NoteKey
from itmp.testing.forgery import repacked
from itmp.testing.story import START, Story, small_plan

WITNESSES = {
    name: NoteKey.generate(f"witness.example/{name}", name.encode() * 16, algorithm=4)
    for name in ("w1", "w2", "w3")
}
LINES = {name: f"witness {name} {key.vkey} https://{name}.example\n" for name, key in WITNESSES.items()}
ALL = "".join(LINES.values())
WHEN = int(START.timestamp()) + 100
"""The witnesses' clocks and the log's agree."""


@cache
def told() -> tuple[bytes, bytes, dict[str, bytes]]:
    """Evidence, the note of its head, and TRUST."""
    story = Story(plan=small_plan(hosts=["web1"])).tell()
    bundle = story.evidence()
    return bundle, archive.unpack(bundle)["checkpoint"], story.trust()


def cosigned(*names: str) -> bytes:
    """The head's note with lines of these witnesses."""
    note = told()[1]
    for name in names:
        note = WITNESSES[name].cosign(note, time=WHEN)
    return note


def under(note: bytes) -> bytes:
    """The evidence with another note of its head."""
    bundle, old, _ = told()
    members = archive.unpack(bundle)
    return repacked(bundle, {name: data.replace(old, note) for name, data in members.items() if old in data})


def trust(policy: str) -> dict[str, bytes]:
    """TRUST with the log's own line, and `policy` after it."""
    files = told()[2]
    return {**files, "log.policy": files["log.policy"].replace(b"quorum none\n", policy.encode())}


def both(note: bytes, policy: str, folder: Path) -> tuple[int, str]:
    """The code of both verifiers, which must be one, and what the shell said."""
    code, out = shelled(under(note), trust(policy), folder)
    assert judged(under(note), trust(policy))[0] == code, out
    return code, out


QUORUMS: dict[str, tuple[str, tuple[str, ...], int]] = {
    "one witness": ("quorum w1\n", ("w1",), 0),
    "one witness, and another cosigned too": ("quorum w1\n", ("w3", "w1"), 0),
    "one witness, nobody cosigned": ("quorum w1\n", (), 40),
    "one witness, another cosigned": ("quorum w1\n", ("w2",), 40),
    "no quorum, one cosigned": ("quorum none\n", ("w1",), 0),
    "any of a group": ("group g any w1 w2\nquorum g\n", ("w2",), 0),
    "any of a group, a stranger to it": ("group g any w1 w2\nquorum g\n", ("w3",), 40),
    "all of a group": ("group g all w1 w2\nquorum g\n", ("w1", "w2"), 0),
    "all of a group, one is missing": ("group g all w1 w2\nquorum g\n", ("w1", "w3"), 40),
    "two of three": ("group g 2 w1 w2 w3\nquorum g\n", ("w1", "w3"), 0),
    "two of three, one": ("group g 2 w1 w2 w3\nquorum g\n", ("w3",), 40),
    "a group of groups": ("group g all w1 w2\ngroup h any g w3\nquorum h\n", ("w3",), 0),
    "a group of groups, by the other": ("group g all w1 w2\ngroup h any g w3\nquorum h\n", ("w1", "w2"), 0),
    "a group of groups, neither": ("group g all w1 w2\ngroup h any g w3\nquorum h\n", ("w1",), 40),
    "spaces, comments and no last line feed": ("# mine\n\n \tquorum\t w1 ", ("w1",), 0),
}


@pytest.mark.parametrize("name", QUORUMS)
def test_a_quorum_is_counted_alike(name: str, tmp_path: Path) -> None:
    policy, names, code = QUORUMS[name]
    found, out = both(cosigned(*names), ALL + policy, tmp_path)
    assert found == code, out
    assert ("BROKEN       rule 2: TRUST's quorum" in out) == (code == 40)
    assert f"cosigned by {names[0]}" in out if code == 0 and len(names) == 1 else True


def line(key: NoteKey, time: int, signature: bytes) -> bytes:
    """A cosignature's line, whatever it holds."""
    body = base64.b64encode(key.verifier.key_id + time.to_bytes(8) + signature).decode()
    return f"\u2014 {key.name} {body}\n".encode()


def signature(note: bytes) -> bytes:
    """The bare signature of a note's last line."""
    return base64.b64decode(note.rstrip(b"\n").rpartition(b" ")[2])[12:]


def bare() -> bytes:
    return told()[1]


LIES: dict[str, Callable[[], bytes]] = {
    "another time than it signed": lambda: bare()
    + line(WITNESSES["w1"], WHEN + 1, signature(cosigned("w1"))),
    "another witness's signature": lambda: bare() + line(WITNESSES["w1"], WHEN, signature(cosigned("w2"))),
    "over another head": lambda: bare()
    + line(WITNESSES["w1"], WHEN, signature(WITNESSES["w1"].cosign(bare().replace(b"ops", b"opt"), time=WHEN))),
    "the log's own signature": lambda: bare() + line(WITNESSES["w1"], WHEN, signature(b"x " + bare())),
    "a signature without a time": lambda: bare()
    + line(WITNESSES["w1"], WHEN, signature(cosigned("w1"))[:56]),
    "bytes after it": lambda: bare() + line(WITNESSES["w1"], WHEN, signature(cosigned("w1")) + b"\0"),
    "one line twice": lambda: cosigned("w1") + line(WITNESSES["w1"], WHEN, signature(cosigned("w1"))),
    "a time beyond what a signed number holds": lambda: bare()
    + line(WITNESSES["w1"], 2**63, signature(WITNESSES["w1"].cosign(bare(), time=2**63 - 1))),
    "a key of its name that TRUST does not know": lambda: NoteKey.generate(
        WITNESSES["w1"].name, b"x" * 32, algorithm=4
    ).cosign(bare(), time=WHEN),
    "a plain signature by the witness's key": lambda: bare()
    + NoteKey.generate(WITNESSES["w1"].name, b"w1" * 16).sign(bare().partition(b"\n\n")[0].decode() + "\n")
    .partition(b"\n\n")[2],
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_a_cosignature_that_is_none_is_refused_alike(name: str, tmp_path: Path) -> None:
    code, out = both(LIES[name](), f"{ALL}quorum w1\n", tmp_path)
    assert (code, "BROKEN       rule 2: " in out) == (40, True), out


def other(name: str, seed: bytes, algorithm: int = 4) -> str:
    return NoteKey.generate(name, seed, algorithm=algorithm).vkey


IDLESS = LINES["w1"].replace(WITNESSES["w1"].verifier.key_id.hex(), "00000000")
POLICIES: dict[str, str] = {
    "no quorum": ALL,
    "two quorums": f"{ALL}quorum w1\nquorum w1\n",
    "a quorum of nobody": f"{ALL}quorum w9\n",
    "a quorum before its witness": f"quorum w1\n{ALL}",
    "a second log": f"log {other('example.com/else/2026', b'l' * 32, 1)}\nquorum none\n",
    "one name twice": f"{LINES['w1']}{LINES['w2'].replace('witness w2', 'witness w1')}quorum w1\n",
    "a witness called none": f"{LINES['w1'].replace('witness w1', 'witness none')}quorum none\n",
    "one key twice": f"{LINES['w1']}{LINES['w1'].replace('witness w1', 'witness w2')}group g all w1 w2\nquorum g\n",
    "a log's key as a witness": f"witness w1 {other('w', b'l' * 32, 1)}\nquorum w1\n",
    "an id that is not the key's": f"{IDLESS}quorum w1\n",
    "a group that needs none": f"{ALL}group g 0 w1 w2\nquorum g\n",
    "a group that needs more than it has": f"{ALL}group g 3 w1 w2\nquorum g\n",
    "a group that needs a word": f"{ALL}group g most w1 w2\nquorum g\n",
    "a group that needs 01": f"{ALL}group g 01 w1 w2\nquorum g\n",
    "a group of nobody": f"{ALL}group g any\nquorum g\n",
    "a group of a stranger": f"{ALL}group g any w1 w9\nquorum g\n",
    "a member twice": f"{ALL}group g 2 w1 w1\nquorum g\n",
    "a member of two groups": f"{ALL}group g any w1\ngroup h any w1\nquorum h\n",
    "a group of its own name": f"{ALL}group w1 any w2\nquorum w1\n",
    "a group of none": f"{ALL}group g any none\nquorum g\n",
    "too many words": f"{ALL}quorum w1 w2\n",
    "an unknown word": f"{ALL}witnesses w1\nquorum w1\n",
    "a carriage return": f"{ALL}quorum w1\r\n",
}


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_that_is_none_is_a_usage_error_alike(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError):
        Trust.from_files(trust(POLICIES[name]))
    code, out = shelled(told()[0], trust(POLICIES[name]), tmp_path)
    assert (code, "TRUST/log.policy" in out) == (2, True), out


@pytest.mark.parametrize(("said", "code"), [(WHEN, 0), (WHEN + 1, 40)], ids=["holds", "another time"])
def test_an_anchored_head_is_asked_the_same(said: int, code: int, tmp_path: Path) -> None:
    """The line of a witness whom TRUST knows must hold wherever it stands."""
    story = Story(plan=small_plan(hosts=["web1"]))
    head, witness = story.log.checkpoint(), WITNESSES["w1"]
    note = head.note + line(witness, said, signature(witness.cosign(head.note, time=WHEN)))
    story.log.keep(f"{head.checkpoint.size}/w1.note", note)
    bundle = story.tell().evidence()
    files = {**story.trust(), "log.policy": story.trust()["log.policy"] + LINES["w1"].encode()}
    found, out = shelled(bundle, files, tmp_path)
    assert found == judged(bundle, files)[0] == code, out
    assert ("BROKEN       rule 6: " in out) == (code == 40)


def test_a_file_above_the_limit_is_not_even_copied(tmp_path: Path) -> None:
    """`itmp-verify` takes no larger one either. The file is sparse, so only a copy would need room."""
    room = tmp_path / "room"
    room.mkdir()
    (tmp_path / "trust").mkdir()
    (tmp_path / "bundle.tar").touch()
    os.truncate(tmp_path / "bundle.tar", MAX_BUNDLE + 1)
    call = ["bash", str(SCRIPT), str(tmp_path / "bundle.tar"), str(tmp_path / "trust")]
    env = {**os.environ, "TMPDIR": str(room)}
    done = subprocess.run(call, capture_output=True, text=True, timeout=60, check=False, env=env)
    assert (done.returncode, f"larger than any evidence file ({MAX_BUNDLE} bytes)" in done.stderr) == (
        2,
        True,
    )
    assert not list(room.iterdir())
