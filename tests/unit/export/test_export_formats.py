import json
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from itertools import cycle, product
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from itmp.audit import Event, Leaf
from itmp.audit.event import OUTCOMES, TYPES
from itmp.errors import EvidenceInvalidError, InvalidInputError
from itmp.export import FORMATS, INDEX, leaf_of, record
from itmp.export.ocsf import VERSION
from itmp.testing.story import ORIGIN, Story, small_plan

OTHER = 99
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


PUBLISHED = ("cloudevents", "ocsf")


def schema(form: str) -> Any:
    """Return the published schema of a form: no part of either was written here."""
    if form == "cloudevents":
        return json.loads((SCHEMAS / "cloudevents-1.0.json").read_text())
    return OcsfJsonSchemaEmbedded(compiled()).get_class_schema("api_activity")


@cache
def compiled() -> Any:
    """Return OCSF's own export of its compiled schema."""
    return get_ocsf_schema(VERSION)


@cache
def published(form: str) -> Any:
    """Return a validator of the published schema of a form."""
    loaded = schema(form)
    kind = jsonschema.validators.validator_for(loaded)
    kind.check_schema(loaded)
    return kind(loaded, format_checker=kind.FORMAT_CHECKER)


def wrong(form: str, line: bytes) -> list[str]:
    """Return what the form's published schema, if it has one, finds wrong with a record."""
    found = published(form).iter_errors(json.loads(line)) if form in PUBLISHED else ()
    return [f"{error.json_path}: {error.message}" for error in found]


def misnamed(value: Mapping[str, Any]) -> list[str]:
    """Return which captions beside a record's enumerated values are not the schema's: OCSF's server warns of these.

    JSON Schema cannot say it. Where the value is 99 (Other), the caption is the source's own.
    """
    told = compiled()["classes"]["api_activity"]["attributes"].items()
    return [
        f"{name} is {value[name]}, {about['sibling']} says {value[about['sibling']]}"
        for name, about in told
        if about.get("sibling") in value
        and (about["enum"][str(value[name])]["caption"] == value[about["sibling"]]) == (value[name] == OTHER)
    ]


@pytest.mark.parametrize("form", sorted(PUBLISHED))
def test_records_satisfy_the_published_schema(form: str) -> None:
    for leaf in LEAVES:
        assert wrong(form, record(form, ORIGIN, leaf)) == []


def test_the_vendored_schema_is_the_published_one_byte_for_byte() -> None:
    """https://github.com/cloudevents/spec, tag ce@v1.0.2, cloudevents/formats/cloudevents.json, Apache-2.0."""
    data = (SCHEMAS / "cloudevents-1.0.json").read_bytes()
    assert sha256(data).hexdigest() == "e28a6d252d7b7238d176618f6bbf6cde570b26a867bc5241563aed34c9dd1d83"


GOOD = json.loads(record("ocsf", ORIGIN, LEAVES[0]))


@pytest.mark.parametrize(
    "bad",
    [
        {**GOOD, "severity_id": 42},
        {**GOOD, "severity_id": "1"},
        {**GOOD, "status_id": 3},
        {**GOOD, "type_uid": 600342},
        {**GOOD, "time": "2026-11-28"},
        {**GOOD, "surprise": 1},
        {**GOOD, "cloud": {"provider": "x"}},  # of a profile that the record does not name
        {**GOOD, "metadata": {}},
        {**GOOD, "metadata": {**GOOD["metadata"], "product": {}}},
        {**GOOD, "actor": {"user": {}}},
        {**GOOD, "actor": {}},
        {**GOOD, "src_endpoint": {}},
        {**GOOD, "resources": {"name": "web1"}},
        *(
            {key: GOOD[key] for key in GOOD if key != name}
            for name in ("actor", "api", "class_uid", "src_endpoint", "time")
        ),
    ],
)
def test_the_schema_refuses_a_record_that_is_wrong(bad: dict[str, Any]) -> None:
    assert wrong("ocsf", json.dumps(bad).encode())


def test_captions_are_the_schema_s() -> None:
    assert misnamed({**GOOD, "activity_id": 1, "activity_name": "log.created"})
    assert misnamed({**GOOD, "activity_id": OTHER, "activity_name": "Other"})
    assert not misnamed({**GOOD, "activity_id": 1, "activity_name": "Create"})


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
        assert form != "ocsf" or misnamed(json.loads(line)) == []


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
