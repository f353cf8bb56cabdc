"""The quick ways of reading a leaf take and refuse what the slow ones do, in the same words."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from test_events import EVENTS, JSON

from itmp import canonical
from itmp.audit import Event
from itmp.audit._read import read_values
from itmp.audit._stories import BACKWARD, DRIFT, Stories, _is_calm
from itmp.audit.merkle import leaf_hash
from itmp.canonical import MAX_INT, _loads
from itmp.errors import InvalidInputError

LEAF = Event(
    id="0" * 32, type="action.finished", actor={"kind": "executor", "id": "i"}, change="C", run="r", step="s",
    target={"kind": "host", "id": "h"}, outcome="ok", rc=0, data={"a": [1, {"b": "\n"}]}, t="2026-11-22T05:00:00.000000Z",
    mono=MAX_INT, boot="b", cseq=1, cprev="p",
)  # fmt: skip
KEYS = sorted(json.loads(LEAF.to_bytes()))
HOSTILE: tuple[Any, ...] = (
    None, "", "x", "ok", "é", "\ud800", 0, 1, -1, 2, True, False, 1.0, 2**53, -(2**53), [], ["x"], {}, {"a": "b"}, {"a": 1},
    {"a": None}, {"a": ""}, {"é": "b"}, [[[[]]]],
)  # fmt: skip


def said(read: Callable[[bytes], Any], data: bytes) -> Any:
    """What comes of reading: the value with its types, or what was wrong and where."""
    try:
        return repr(read(data))
    except InvalidInputError as error:
        return error.what, error.where


def of_event(leaf: bytes) -> Any:
    Event.from_bytes(leaf)
    return json.loads(leaf)


def raw(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def spoiled(data: bytes, at: int, how: int, byte: int) -> bytes:
    """Return `data` with one byte written over, put in, left out, or the rest of it twice."""
    at %= len(data) + 1
    return (
        data[:at] + bytes([byte]) + data[at + 1 :],
        data[:at] + bytes([byte]) + data[at:],
        data[:at] + data[at + 1 :],
        data + data[at:],
    )[how]


SPOILS = (
    st.integers(0, 2000),
    st.integers(0, 3),
    st.sampled_from(b' \n\t"\\/{}[],:019-.eEuN\x00\x7f\x80\xc3\xff'),
)


@given(JSON, *SPOILS)
def test_bytes_are_canonical_by_the_quick_way_if_they_are_by_the_long_one(
    value: Any, at: int, how: int, byte: int
) -> None:
    whole = canonical.dumps(value)
    for data in (whole, spoiled(whole, at, how, byte)):
        assert said(canonical.loads, data) == said(_loads, data)


@pytest.mark.parametrize(
    "text",
    [
        '{"b":1,"a":2}', '{"a":1,"a":1}', '{"a": 1}', ' {"a":1}', '{"a":1}\n', '{"a":"\\u0041"}', '{"a":"\\/"}', '{"a":"\\u001F"}',
        '{"a":"\\ud800"}', '{"\\u00e9":1}', '{"\x7f":1}', '{"a":-0}', '{"a":1.0}', '{"a":1e1}', '{"a":NaN}', '{"a":-Infinity}',
        '{"a":9007199254740991}', '{"a":9007199254740992}', '{"a":-9007199254740992}', "[[9007199254740992]]", '{"a":"\n"}', "",
        "[" * 64 + "]" * 64, "[" * 65 + "]" * 65, "[" * 66 + "]" * 66, '{"a":"' + "[" * 80 + '"}', "1" * 5000, "tru", '"a"x', "null",
    ],
)  # fmt: skip
def test_known_tricks_fare_alike(text: str) -> None:
    assert said(canonical.loads, text.encode()) == said(_loads, text.encode())


@given(EVENTS, *SPOILS)
def test_a_leaf_is_an_event_by_the_quick_way_if_it_is_by_the_long_one(
    event: Event, at: int, how: int, byte: int
) -> None:
    whole = event.to_bytes()
    for data in (whole, whole, spoiled(whole, at, how, byte)):  # the second time its keys and types are known
        assert said(read_values, data) == said(of_event, data)


@pytest.mark.parametrize("key", [*KEYS, "for", "on_behalf_of", "unknown"])
def test_no_value_passes_for_the_sake_of_another_of_its_type(key: str) -> None:
    value = json.loads(LEAF.to_bytes())
    read_values(LEAF.to_bytes())
    gone = {name: item for name, item in value.items() if name != key}
    for other in ({**value, key: item} for item in HOSTILE):
        assert said(read_values, raw(other)) == said(of_event, raw(other)), other
    for name in ("actor", "target"):
        for inner in HOSTILE:
            other = {**value, name: {**value[name], key: inner}}
            assert said(read_values, raw(other)) == said(of_event, raw(other)), other
    assert said(read_values, raw(gone)) == said(of_event, raw(gone))


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"null", b'"x"', b"x" * 70_000, raw({"a": "x" * 62_000})]
)
def test_what_is_no_leaf_is_refused_in_the_same_words(data: bytes) -> None:
    assert said(read_values, data) == said(of_event, data)


def test_a_leaf_that_is_too_large_is_refused_although_its_keys_are_known() -> None:
    value = json.loads(LEAF.to_bytes())
    read_values(LEAF.to_bytes())
    data = raw({**value, "step": "s" * 61_440})
    assert said(read_values, data) == said(of_event, data)
    assert "the limit is" in said(read_values, data)[0]


SECOND = 10**9


@given(st.integers(-(10**7), 2 * 10**11), st.integers(-(10**10), 2 * 10**14))
@example(0, 4 * SECOND)
@example(86_400_000_000, 86_400 * SECOND)
def test_clocks_that_are_passed_over_have_nothing_to_be_named(wall: int, passed: int) -> None:
    """`wall` microseconds and `passed` nanoseconds, by the rule's own words in exact numbers."""
    risen = timedelta(microseconds=wall)
    if _is_calm(risen, passed):
        assert passed >= 0
        assert risen >= -BACKWARD
        assert abs(wall * 1000 - passed) <= DRIFT / timedelta(microseconds=1) * 1000


@pytest.mark.parametrize("ahead", [-5_000_001, -5_000_000, -4_000_000, 0, 4_000_000, 5_000_000, 5_000_001])
@pytest.mark.parametrize("days", [0, 1, 40])
def test_a_step_is_named_from_five_seconds_on(ahead: int, days: int) -> None:
    stories, begin = Stories(), datetime(2026, 11, 22, tzinfo=UTC)
    moved = timedelta(days=days, seconds=20)
    for number, (at, mono) in enumerate(
        (
            (begin, 0),
            (begin + moved + timedelta(microseconds=ahead), moved // timedelta(microseconds=1) * 1000),
        )
    ):
        event = Event(
            id=f"{number:032x}", type="log.read", actor={}, t=f"{at:%Y-%m-%dT%H:%M:%S.%fZ}", mono=mono, boot="b"
        )  # fmt: skip
        stories.take(number + 1, event.to_bytes(), leaf_hash(event.to_bytes()))
    assert [one.name for one in stories.findings] == (["clock-stepped"] if abs(ahead) > 5_000_000 else [])
