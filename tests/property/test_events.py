"""Events and their bytes: one encoding, and nothing else is read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itmp.audit import Event
from itmp.errors import InvalidInputError

TEXT = st.text(max_size=20).filter(lambda text: not any("\ud800" <= one <= "\udfff" for one in text))
KEYS = st.text(st.characters(max_codepoint=127), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
EVENTS = st.builds(
    Event,
    id=st.from_regex(r"[0-9a-f]{32}", fullmatch=True),
    type=st.sampled_from(["log.read", "action.finished", "change.closed"]),
    actor=st.dictionaries(KEYS, TEXT, max_size=3),
    change=TEXT,
    step=TEXT,
    outcome=st.sampled_from(["", "ok", "unknown"]),
    rc=st.none() | st.integers(-255, 255),
    data=st.none() | st.dictionaries(KEYS, JSON, max_size=4),
)


@given(EVENTS)
def test_an_event_survives_its_bytes(event: Event) -> None:
    leaf = event.to_bytes()
    assert Event.from_bytes(leaf) == event
    assert Event.from_bytes(leaf).to_bytes() == leaf
    assert (
        leaf
        == json.dumps(json.loads(leaf), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    )


@given(EVENTS, st.data())
def test_what_is_read_is_what_would_be_written(event: Event, data: st.DataObject) -> None:
    leaf = bytearray(event.to_bytes())
    at = data.draw(st.integers(0, len(leaf) - 1))
    leaf[at] = data.draw(st.integers(0, 255))
    try:
        read = Event.from_bytes(bytes(leaf))
    except InvalidInputError:
        return
    assert read.to_bytes() == bytes(leaf)


@given(EVENTS, st.sampled_from(["step", "change", "data", "rc", "cprev"]))
def test_empty_fields_are_left_out_and_never_read(event: Event, name: str) -> None:
    value = json.loads(event.to_bytes())
    for empty in ("", None):
        with pytest.raises(InvalidInputError):
            Event.from_bytes(
                json.dumps(
                    {**value, name: empty}, sort_keys=True, separators=(",", ":"), ensure_ascii=False
                ).encode()
            )
