import json
from functools import cache
from itertools import cycle, product
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from itmp.audit import Event, Leaf
from itmp.audit.event import OUTCOMES, TYPES
from itmp.errors import EvidenceInvalidError, InvalidInputError
from itmp.export import FORMATS, INDEX, leaf_of, record
from itmp.testing.story import ORIGIN, Story, small_plan

SCHEMAS = Path(__file__).parents[2] / "fixtures/schemas"


def leaves() -> tuple[Leaf, ...]:
    """A log with successes, failures, a refusal and an amended policy."""
    story = Story().tell()
    story.open(reason="again")
    story.act("reject", "bob")
    story.amend(story.policy_bytes + b"# amended\n")
    failing = Story(plan=small_plan(risk="moderate"))
    failing.open()
    failing.act("approve", "bob")
    failing.execute(failing.permit(), outcome="failed", state="failed")
    return (*story.log.leaves(), *failing.log.leaves())


LEAVES = leaves()


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_every_record_leads_back_to_its_leaf(form: str) -> None:
    for leaf in LEAVES:
        line = record(form, ORIGIN, leaf)
        assert line.isascii()
        assert b"\n" not in line
        assert leaf_of(form, line) == leaf.data
        value = json.loads(line)
        for name in INDEX[form]:
            value = value[name]
        assert value == leaf.index


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_a_record_with_another_event_is_found_out(form: str) -> None:
    line = record(form, ORIGIN, LEAVES[-1])
    forged = line.replace(b'"failed"', b'"ok"')
    assert forged != line
    with pytest.raises(EvidenceInvalidError, match="the record says leaf"):
        leaf_of(form, forged)


@pytest.mark.parametrize("line", [b"", b"[]", b"{}", b'{"leaf_hash":1}', b"[" * 100_000])
def test_what_is_no_record_is_an_error_and_no_crash(line: bytes) -> None:
    for form in FORMATS:
        with pytest.raises(EvidenceInvalidError):
            leaf_of(form, line)


PUBLISHED = {"cloudevents": "cloudevents-1.0.json", "ocsf": "ocsf-1.8.0-api-activity.json"}


@cache
def published(form: str) -> Any:
    """Return a validator of the published schema of a form."""
    loaded = json.loads((SCHEMAS / PUBLISHED[form]).read_text())
    kind = jsonschema.validators.validator_for(loaded)
    kind.check_schema(loaded)
    return kind(loaded, format_checker=kind.FORMAT_CHECKER)


def wrong(form: str, line: bytes) -> list[str]:
    """Return what the form's published schema, if it has one, finds wrong with a record."""
    found = published(form).iter_errors(json.loads(line)) if form in PUBLISHED else ()
    return [f"{error.json_path}: {error.message}" for error in found]


@pytest.mark.parametrize("form", sorted(PUBLISHED))
def test_records_satisfy_the_published_schema(form: str) -> None:
    for leaf in LEAVES:
        assert wrong(form, record(form, ORIGIN, leaf)) == []


def test_the_schemas_refuse_a_record_that_is_wrong() -> None:
    loaded = json.loads((SCHEMAS / "ocsf-1.8.0-api-activity.json").read_text())
    good = json.loads(record("ocsf", ORIGIN, LEAVES[0]))
    for wrong in (
        {**good, "severity_id": 42},
        {**good, "surprise": 1},
        {key: value for key, value in good.items() if key != "actor"},
        {**good, "metadata": {}},
    ):
        assert list(jsonschema.Draft202012Validator(loaded).iter_errors(wrong))


def test_cloudevents_names_follow_the_specification() -> None:
    value = json.loads(record("cloudevents", ORIGIN, LEAVES[0]))
    assert all(name.isalnum() and name.islower() and len(name) <= 20 for name in value)


def written(line: bytes) -> bytes:
    """Return the one way to write this record: ASCII, no blanks, keys in order at every depth."""
    return json.dumps(json.loads(line), sort_keys=True, separators=(",", ":")).encode()


TARGETS: tuple[dict[str, str] | None, ...] = (
    None,
    {},
    {"kind": "host"},
    {"id": "web1"},
    {"kind": "host", "id": "web1", "env": "lab"},
)
# As many as take their turn with every part of the others: 3 against 5 and 2.
ACTORS: tuple[dict[str, str], ...] = (
    {},
    {"kind": "human", "id": "alice@example.com", "key": "SHA256:x"},
    {"kind": "machine", "id": "deploy@example.com"},
)
# What only some events have; a form may write them at places of its own.
REST: tuple[dict[str, Any], ...] = (
    {},
    {"change": "CHG-0000000000", "plan": "sha256:" + "0" * 64, "run": "run-1", "step": "s", "phase": "do"}
    | {"action": "ansible.builtin.copy", "rc": -9, "t": "2026-11-28T00:00:00.000000Z", "mono": 1, "boot": "b"}
    | {"on_behalf_of": "alice@example.com", "intent": "sha256:" + "0" * 64, "data": {"message": "m"}},
)


@pytest.mark.parametrize("form", sorted(FORMATS))
@pytest.mark.parametrize("kind", sorted(TYPES))
def test_every_type_of_event_has_a_record_in_the_one_way_to_write_it(form: str, kind: str) -> None:
    told = product(["", *sorted(OUTCOMES)], REST)
    for (outcome, rest), target, actor in zip(told, cycle(TARGETS), cycle(ACTORS), strict=False):
        event = Event(id="0" * 32, type=kind, actor=actor, target=target, outcome=outcome, **rest)
        leaf = Leaf(index=7, data=event.to_bytes())
        line = record(form, ORIGIN, leaf)
        assert leaf_of(form, line) == leaf.data
        assert written(line) == line
        assert wrong(form, line) == [], event


TEXT = st.text(max_size=20) | st.sampled_from(['"', "\\", '","', '"},"unmapped":{', "\x7f", "\n", "\u2028"])


@given(
    st.dictionaries(
        st.sampled_from(["change", "plan", "run", "step", "action", "on_behalf_of", "boot"]), TEXT, max_size=7
    ),
    st.dictionaries(st.sampled_from(["kind", "id", "key"]), TEXT),
    TEXT,
    TEXT,
)
def test_hostile_text_ends_no_text_of_a_record(
    texts: dict[str, str], actor: dict[str, str], name: str, origin: str
) -> None:
    event = Event(
        id=name or "0", type="action.finished", actor=actor, target={"kind": "host", "id": name}, **texts
    )
    try:
        leaf = Leaf(index=7, data=event.to_bytes())
    except InvalidInputError:  # what is no event never was a leaf
        return
    for form in FORMATS:
        line = record(form, origin, leaf)
        assert line.isascii()
        assert leaf_of(form, line) == leaf.data
        assert written(line) == line


@given(
    st.text(max_size=40),
    st.sampled_from(["ok", "failed", "unknown", ""]),
    st.dictionaries(
        st.text(st.characters(codec="ascii"), min_size=1, max_size=8), st.text(max_size=20), max_size=3
    ),
)
def test_hostile_text_stays_text(name: str, outcome: str, data: dict[str, str]) -> None:
    event = Event(
        id="0" * 32,
        type="action.finished",
        actor={"kind": "executor", "id": "itmp"},
        target={"kind": "host", "id": name},
        outcome=outcome,
        data=data,
        t="2026-11-28T00:00:00.000000Z",
    )
    try:
        leaf = Leaf(index=7, data=event.to_bytes())
    except Exception:  # noqa: BLE001 - what is no event never was a leaf
        return
    for form in FORMATS:
        assert leaf_of(form, record(form, ORIGIN, leaf)) == leaf.data
