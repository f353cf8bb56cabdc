"""The quick ways of reading a leaf take and refuse what the slow ones do, in the same words."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from test_events import EVENTS, JSON

from itmp import canonical
from itmp.audit import Event, _forms
from itmp.audit._forms import Forms, Said
from itmp.audit._stories import BACKWARD, DRIFT, Stories, _is_calm
from itmp.audit.event import TYPES
from itmp.audit.merkle import leaf_hash
from itmp.canonical import _loads
from itmp.errors import InvalidInputError

LEAF = Event(
    id="0" * 32, type="action.finished", actor={"kind": "executor", "id": "i"}, change="C", run="r", step="s",
    target={"kind": "host", "id": "h"}, outcome="ok", rc=0, data={"a": [1, {"b": "\n"}]}, t="2026-11-22T05:00:00.000000Z",
    mono=10**14, boot="b", cseq=1, cprev="p",
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
    """What the event itself says."""
    event = Event.from_bytes(leaf)
    said = {name: getattr(event, name) for name in Said._fields}
    return Said(**said | {"data": event.data if event.type == "change.closed" else None})


def knowing(*leaves: bytes) -> Callable[[bytes], Any]:
    """A reader that has seen leaves of these forms."""
    forms = Forms()
    for leaf in leaves:
        forms.read(leaf)
    return forms.read


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
    for data in (whole, spoiled(whole, at, how, byte)):
        assert said(knowing(whole), data) == said(of_event, data)


def is_known(forms: Forms, leaf: bytes) -> bool:
    """Whether a leaf is of a form that was learned: else nothing here would be put to the test."""
    return any(form.fullmatch(leaf.decode()) for known in forms._known.values() for _, form in known)


def test_forms_are_looked_for_a_bounded_number_of_times(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled, real = list[str](), re.compile
    monkeypatch.setattr(_forms.re, "compile", lambda form: compiled.append(form) or real(form))
    forms = Forms()
    for kind in sorted(TYPES):
        for n in range(40):
            forms.read(replace(LEAF, type=kind, data={f"k{n}": [n] * n}).to_bytes())
        forms.read(replace(LEAF, type=kind, data={"k": [1] * 2000}).to_bytes())
    assert len(compiled) > _forms._TRIES
    assert len(compiled) <= _forms._ALL_TRIES
    assert max(map(len, compiled)) <= _forms._WIDEST
    assert max(map(len, forms._known.values())) <= _forms._MOST


def test_a_form_that_is_met_again_is_held_and_one_of_long_ago_makes_room() -> None:
    forms, kept = Forms(), LEAF.to_bytes()
    for n in range(3 * _forms._MOST):
        forms.read(replace(LEAF, data={f"k{n}": 1}).to_bytes())
        forms.read(kept)
    assert is_known(forms, kept)
    assert not is_known(forms, replace(LEAF, data={"k0": 1}).to_bytes())
    assert is_known(forms, replace(LEAF, data={f"k{n}": 1}).to_bytes())


def test_a_leaf_is_of_its_own_form() -> None:
    for leaf in (LEAF, replace(LEAF, type="change.closed", data={"count": 1, "root": "r", "text": "a\n"})):
        forms, data = Forms(), leaf.to_bytes()
        forms.read(data)
        assert is_known(forms, data)
        assert is_known(forms, replace(leaf, id="1" * 32, step="t", outcome="failed", cseq=2).to_bytes())
        assert is_known(
            forms, replace(leaf, mono=104 * 86_400 * SECOND).to_bytes()
        )  # a machine that runs for months
        assert not is_known(forms, replace(leaf, rc=None).to_bytes())


@given(EVENTS, EVENTS, EVENTS)
def test_a_leaf_of_a_known_form_says_what_its_event_says(first: Event, second: Event, third: Event) -> None:
    read = knowing(first.to_bytes(), second.to_bytes())
    mixed = replace(first, data=second.data, change=third.change, rc=third.rc, outcome=third.outcome)
    for event in (
        first,
        second,
        third,
        mixed,
        replace(mixed, type="change.closed"),
        replace(first, id=third.id),
    ):
        assert said(read, event.to_bytes()) == said(of_event, event.to_bytes())


@pytest.mark.parametrize("kind", ["action.finished", "change.closed"])
@pytest.mark.parametrize("key", [*KEYS, "for", "on_behalf_of", "unknown"])
def test_no_value_passes_for_the_sake_of_another(key: str, kind: str) -> None:
    whole = raw(value := {**json.loads(LEAF.to_bytes()), "type": kind})
    read = knowing(whole)
    others = [{name: item for name, item in value.items() if name != key}]
    for item in HOSTILE:
        others.append({**value, key: item})
        others += [{**value, name: {**value[name], key: item}} for name in ("actor", "target", "data")]
        others += [
            {**value, "data": {"a": [1, item]}},
            {**value, "data": {"a": [1, {"b": item}]}},
            {**value, "data": {"a": item}},
        ]
    for other in map(raw, others):
        assert said(read, other) == said(of_event, other), other


@pytest.mark.parametrize("texts", [[], ["a"], ["a", "b"], ["a", 1], ["", "\\"], ["a", ["b"]], ["é"]])
def test_lists_of_texts_are_of_one_form(texts: list[Any]) -> None:
    for first in (["x"], ["x", "y"], [], [1]):
        read = knowing(raw({**json.loads(LEAF.to_bytes()), "data": {"hosts": first}}))
        other = raw({**json.loads(LEAF.to_bytes()), "data": {"hosts": texts}})
        assert said(read, other) == said(of_event, other)


@pytest.mark.parametrize("at", range(0x80))
def test_every_character_has_its_one_encoding(at: int) -> None:
    read, known = knowing(LEAF.to_bytes()), json.loads(LEAF.to_bytes())
    short = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}.get(at, chr(at))
    for name in ("action", "step", "id", "change"):
        for written in (chr(at), f"\\{chr(at)}", f"\\u{at:04x}", f"\\u{at:04X}", short):
            data = raw({**known, name: "HERE"}).replace(b"HERE", b"a" + written.encode())
            assert said(read, data) == said(of_event, data), data


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "-0",
        "-1",
        "01",
        "+1",
        "999999999999999",
        "8999999999999999",
        "9000000000000000",
        "-8999999999999999",
        "1e1",
        "9007199254740991",
        "9007199254740992",
        "-9007199254740992",
        "9" * 17,
        "true",
        "NaN",
        '"1"',
    ],
)
@pytest.mark.parametrize("name", ["rc", "mono", "cseq", "v"])
def test_integers_have_one_encoding_and_are_bounded(text: str, name: str) -> None:
    known = json.loads(LEAF.to_bytes())
    read = knowing(LEAF.to_bytes(), raw({**known, "data": {"n": 1}}))
    for data in (raw({**known, name: "HERE"}), raw({**known, "data": {"n": "HERE"}})):
        written = data.replace(b'"HERE"', text.encode())
        assert said(read, written) == said(of_event, written)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"null", b'"x"', b"x" * 70_000, raw({"a": "x" * 62_000})]
)
def test_what_is_no_leaf_is_refused_in_the_same_words(data: bytes) -> None:
    assert said(knowing(LEAF.to_bytes()), data) == said(of_event, data)


def test_a_leaf_that_is_too_large_is_refused_although_its_form_is_known() -> None:
    data = raw({**json.loads(LEAF.to_bytes()), "step": "s" * 61_440})
    assert said(knowing(LEAF.to_bytes()), data) == said(of_event, data)
    assert "the limit is" in said(of_event, data)[0]


def test_forms_are_bounded_and_more_of_them_fare_alike() -> None:
    known = json.loads(LEAF.to_bytes())
    leaves = [raw({**known, "data": {f"k{n}": "x"}}) for n in range(30)]
    read = knowing(*leaves)
    for leaf in leaves:
        for data in (
            leaf,
            leaf.replace(b'"x"', b'""'),
            leaf.replace(b'"x"', b"1"),
            leaf.replace(b'"ok"', b'"no"'),
        ):
            assert said(read, data) == said(of_event, data)


SECOND = 10**9


@given(st.integers(-(10**7), 2 * 10**11), st.integers(-(10**10), 2 * 10**14))
@example(0, 4 * SECOND)
@example(86_400_000_000, 86_400 * SECOND)
@example(86_400_000_000, 0)
@example(-2_000_000, 86_398 * SECOND)
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
