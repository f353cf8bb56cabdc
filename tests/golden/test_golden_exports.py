"""Records stay what they were, byte for byte: a receiver that has some of a log's must not be told otherwise later."""

import json
from pathlib import Path

import pytest

from itmp.audit import Event, Leaf
from itmp.export import FORMATS, record

GOLDEN = Path(__file__).parent / "exports"
ORIGIN = "example.com/ops/2026"
WORDS = 'é\u2028\U0001f600 \x7f\x00\n\t"\\/</script>'
"""Text that JSON escapes in more than one way."""


def leaves() -> list[Leaf]:
    """Return a result with every field, one with as few as can be, and one that is made of hostile text."""
    full = Event(
        id="0" * 31 + "1",
        type="action.finished",
        actor={"kind": "machine", "id": "ci@example.com", "key": "SHA256:abc"},
        on_behalf_of="alice@example.com",
        observer="itmp",
        change="CHG-0123456789",
        plan="sha256:" + "1" * 64,
        run="run-1",
        step="restart",
        action="ansible.builtin.service",
        target={"kind": "host", "id": "web1", "env": "production"},
        outcome="failed",
        rc=2,
        data={"path": "play.yml", "line": 12, "itmp": {"data": [None, True, -1]}},
        t="2026-11-28T12:34:56.789012Z",
        mono=5,
        boot="b",
        cseq=3,
        cprev="sha256:" + "2" * 64,
    )
    bare = Event(id="0" * 32, type="log.read", actor={}, target={"kind": "host"})
    hostile = Event(
        id=WORDS, type="change.refused", actor={"kind": WORDS, "id": WORDS, "key": WORDS}, on_behalf_of=WORDS,
        change=WORDS, run=WORDS, action=WORDS, target={"kind": "host", "id": WORDS}, outcome="unknown",
        data={"a": WORDS}, t="2026-11-28T00:00:00.000000Z",
    )  # fmt: skip
    return [Leaf(index=n, data=event.to_bytes()) for n, event in enumerate((full, bare, hostile))]


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_records_are_the_same_bytes_as_ever(form: str) -> None:
    told = b"".join(record(form, ORIGIN, leaf) + b"\n" for leaf in leaves())
    assert told == (GOLDEN / f"{form}.jsonl").read_bytes()
    for line in told.splitlines():
        again = json.dumps(json.loads(line), sort_keys=True, separators=(",", ":"))
        assert again.encode() == line
