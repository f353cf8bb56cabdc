import json

import pytest

from itmp.audit import Event
from itmp.audit.event import MAX_LEAF
from itmp.errors import InvalidInputError

BASE = {"actor": {"id": "itmp", "kind": "executor"}, "id": "0" * 32, "type": "log.read", "v": 1}


def leaf(**fields: object) -> bytes:
    return json.dumps({**BASE, **fields}, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def test_a_leaf_is_sorted_keys_without_blanks() -> None:
    event = Event(
        id="0" * 32, type="log.read", actor={"kind": "executor", "id": "itmp"}, on_behalf_of="alice"
    )
    assert event.to_bytes() == leaf(**{"for": "alice"})
    assert Event.from_bytes(event.to_bytes()) == event


def test_text_of_every_kind_survives() -> None:
    data = {
        "text": 'newline\n nul\x00 bidi\u202e sep\u2028 quote" \\ emoji😀',
        "deep": [{"a": [1, None, True]}],
    }
    event = Event(id="1" * 32, type="action.finished", actor={"kind": "human", "id": "x"}, data=data)
    assert Event.from_bytes(event.to_bytes()).data == data
    assert b"\x00" not in event.to_bytes()
    assert b"\n" not in event.to_bytes()


@pytest.mark.parametrize(
    "fields",
    [
        {"v": True}, {"v": 2}, {"type": "log.unknown"}, {"type": []}, {"type": {}}, {"outcome": []}, {"outcome": "fine"}, {"id": ""},
        {"id": 7}, {"rc": "1"}, {"rc": True}, {"rc": None}, {"rc": 2**53}, {"mono": 1.5}, {"cseq": []}, {"actor": []},
        {"actor": {"id": 1}}, {"target": "x"}, {"data": []}, {"data": "x"}, {"step": ""}, {"extra": 1}, {"data": {"ä": 1}},
    ],
    ids=str,
)  # fmt: skip
def test_other_fields_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError):
        Event.from_bytes(leaf(**fields))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{}", b"[]", b"null", leaf() + b"\n", b" " + leaf(), leaf().replace(b":", b": "), leaf()[:-1],
        leaf().replace(b'"v":1', b'"v":1,"v":1'), b'{"step":"\\ud800"}', b"\xff", b"[" * 60_000,
        leaf().replace(b'"v":1', b'"v":1.0'), leaf().replace(b'"v":1', b'"v":NaN'), leaf(step="é").replace("é".encode(), b"\\u00e9"),
    ],
    ids=range(15),
)  # fmt: skip
def test_other_encodings_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidInputError):
        Event.from_bytes(data)


def test_a_leaf_has_at_most_sixty_kibibytes() -> None:
    room = MAX_LEAF - len(leaf(step="x")) + 1
    fits = Event(id="0" * 32, type="log.read", actor=BASE["actor"], step="x" * room)
    assert len(fits.to_bytes()) == MAX_LEAF
    assert Event.from_bytes(fits.to_bytes()) == fits
    with pytest.raises(InvalidInputError, match="blob"):
        Event(id="0" * 32, type="log.read", actor=BASE["actor"], step="x" * (room + 1)).to_bytes()
    with pytest.raises(InvalidInputError):
        Event.from_bytes(leaf(step="x" * (room + 1)))
