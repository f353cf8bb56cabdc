"""A hostile executor writes nonsense where events should be: the verifier answers with a report, whatever it is."""

from dataclasses import replace
from functools import cache
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from itmp.audit import Event
from itmp.errors import Error
from itmp.evidence import Trust, archive, verify
from itmp.testing.forgery import forged, repacked
from itmp.testing.story import Story, small_plan

json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text("aé\n{}%", max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["hosts", "permit", "a"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@cache
def told() -> tuple[Story, Trust]:
    story = Story(plan=small_plan(hosts=["web1"])).tell()
    return story, Trust.from_files(story.trust())


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += paths(item, (*at, key))
    return found


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(value[path[0]], path[1:], new)
    return copy


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_nonsense_in_an_event_is_a_verdict_and_never_a_crash(data: st.DataObject) -> None:
    story, trust = told()
    events = [leaf.event for leaf in story.log.leaves()]
    at = data.draw(st.integers(1, len(events) - 1))
    before = events[at].data or {}
    new = put(before, data.draw(st.sampled_from(paths(before))), data.draw(json))
    assume(isinstance(new, dict) and new != before)

    def edit(all_: list[Event]) -> list[Event]:
        return [*all_[:at], replace(all_[at], data=new), *all_[at + 1 :]]

    try:
        bundle = forged(story, edit, rechain=True)
    except Error:
        return  # not even the liar's own tools can pack it
    assert verify(bundle, trust).exit_code in {40, 41, 42}


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_nonsense_in_an_events_fields_is_a_verdict(data: st.DataObject) -> None:
    story, trust = told()
    events = [leaf.event for leaf in story.log.leaves()]
    at = data.draw(st.integers(1, len(events) - 1))
    name = data.draw(
        st.sampled_from(["type", "run", "step", "intent", "phase", "outcome", "plan", "t", "boot", "target"])
    )
    values: dict[str, Any] = {
        "type": st.sampled_from(sorted({event.type for event in events})),
        "outcome": st.sampled_from(["ok", "denied", ""]),
        "t": st.sampled_from(
            ["", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00.000000Z", "now", "2026W471Z"]
        ),
        "target": st.sampled_from([None, {}, {"id": "web1"}, {"kind": "resource", "id": "urn"}]),
    }
    lie: dict[str, Any] = {name: data.draw(values.get(name, st.text("web1-", max_size=5)))}
    assume(getattr(events[at], name) != lie[name])
    try:
        bundle = forged(
            story, lambda all_: [*all_[:at], replace(all_[at], **lie), *all_[at + 1 :]], rechain=True
        )
    except Error:
        return
    # What means nothing in this event (a run on a close) may hold; it must still be a verdict.
    assert verify(bundle, trust).exit_code in {0, 40, 41, 42}


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_noise_in_a_member_is_a_verdict(data: st.DataObject) -> None:
    story, trust = told()
    bundle = story.evidence()
    name = data.draw(st.sampled_from(sorted(archive.unpack(bundle).keys() - {"MANIFEST"})))
    noise = data.draw(st.binary(max_size=40) | st.just(b"\xe2\x80\x94 a b\n") | st.just(b"[" * 3000))
    assert verify(repacked(bundle, {name: noise}), trust).exit_code in {40, 41, 42}


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=2000))
def test_noise_is_a_verdict(noise: bytes) -> None:
    assert verify(noise, told()[1]).exit_code == 40
