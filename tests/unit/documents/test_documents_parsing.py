from typing import Literal

import pytest

from itmp.documents import Block, Document, DocumentError, bind, json_schema, parse, resolve_inputs
from itmp.documents.scalars import Duration, Name, Templated
from itmp.documents.text import visible


class Item(Block):
    id: Name
    size: Templated[int] = 1
    wait: Templated[Duration] = 5


class Toy(Document):
    itmp: Literal["toy/v1"]
    items: tuple[Item, ...] = ()


REGISTRY = {"toy/v1": Toy}
HEAD = "itmp: toy/v1\nname: a\ntitle: A\nowner: o\nenvironment: lab\nrisk: low\n"


def read(text: str) -> Toy:
    document = parse("t.yml", text.encode(), REGISTRY)
    assert isinstance(document, Toy)
    return document


def refused(text: str) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        read(text)
    return str(caught.value).splitlines()


def test_a_document_knows_its_marks():
    document = read(HEAD + "items:\n  - {id: x, size: 3, wait: 5m}\n")
    assert document.items == (Item(id="x", size=3, wait="5m"),)
    assert document.items[0].wait == 300
    assert document.mark("items", 0, "wait") == "t.yml:8:28"


def test_all_problems_at_once_with_suggestions():
    lines = refused(
        HEAD.replace("owner", "ownr").replace("low", "lwo")
        + "items:\n  - {idd: x}\n  - {id: X, wait: 5 min}\n"
    )
    assert lines == [
        "t.yml:1:1: the key 'owner' is missing",
        "t.yml:4:1: unknown key 'ownr' (did you mean 'owner'?)",
        "t.yml:6:7: Input should be 'low', 'moderate' or 'high' (did you mean 'low'?)",
        "t.yml:8:5: the key 'id' is missing",
        "t.yml:8:6: unknown key 'idd' (did you mean 'id'?)",
        "t.yml:9:10: String should match pattern '^[a-z][a-z0-9-]{0,62}$'",
        "t.yml:9:19: not a duration: write a whole number and s, m, h or d, such as 30s or 4h",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: a\nitmp: toy/v1\n", "the first key of a document is itmp"),
        ("itmp: toi/v1\n", "did you mean 'toy/v1'?"),
        ("itmp: [1]\n", "no such kind"),
        ("- a\n", "a mapping of keys and values"),
        (HEAD + "inputs: {a: {type: string, default: 5}}\n", "not text"),
        (HEAD + "inputs: {a: {type: integer, default: 5, maximum: 3}}\n", "not within"),
        (HEAD + "inputs: {a: {type: integer, minimun: 3}}\n", "did you mean 'minimum'?"),
        (HEAD + "inputs: {Bad-Name: {type: string}}\n", "'Bad-Name' is not a valid name"),
        (HEAD + "inputs: {a: {type: string, pattern: '('}}\n", "not a regular expression"),
        (HEAD + "inputs: {db_password: {type: string}}\n", "an input's value stands in the plan"),
        (HEAD + "items: [{id: x, size: '${inputs.n}'}]\n", "there is no input 'n'"),
        (
            HEAD + "inputs: {num: {type: integer}}\nitems: [{id: x, size: '${inputs.nun}'}]\n",
            "did you mean 'num'?",
        ),
        (HEAD + "description: '${input.x}'\n", "did you mean 'inputs'?"),
        (HEAD + "description: '${host.name}'\n", "cannot stand here"),
        (HEAD + "moved: {gone: skip 3}\n", "skip up to N"),
        (HEAD + "moved: {gone: skip up to ٣}\n", "skip up to N"),
        (HEAD + "reviewed: {on: 2026-13-01, every: 90d}\n", "not a date"),
        (HEAD + "reviewed: {on: 2026-10-01, every: 999999999d}\n", "less than or equal"),
        (HEAD + "title: A\nfoo: 1\n", "occurs twice"),
    ],
)
def test_refusals_name_what_to_write(text: str, says: str):
    assert any(says in line for line in refused(text)), refused(text)


def test_bind_replaces_and_checks_again():
    document = read(
        HEAD
        + "inputs: {n: {type: integer}, w: {type: duration, default: 4h}}\nitems: [{id: x, size: '${inputs.n}', wait: '${inputs.w}'}]\n"
    )
    bound = bind(document, resolve_inputs(document.inputs, {"n": "4"}))
    assert (bound.items[0].size, bound.items[0].wait) == (4, 14400)
    assert bound.mark("items", 0, "size") == "t.yml:8:23"


def test_bind_refuses_an_input_of_the_wrong_type_at_its_place():
    document = read(HEAD + "inputs: {n: {type: string}}\nitems: [{id: x, size: '${inputs.n}'}]\n")
    with pytest.raises(DocumentError, match=r"t\.yml:8:23: a whole number expected"):
        bind(document, {"n": "many"})


def test_a_review_counts_until_its_last_day():
    reviewed = read(HEAD + "reviewed: {on: 2026-10-01, every: 90d}\n").reviewed
    assert reviewed is not None
    assert reviewed.due.isoformat() == "2026-12-30"


def test_documents_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        read(HEAD).name = "b"


def test_the_schema_names_every_key():
    schema = json_schema(Toy)
    assert schema["additionalProperties"] is False
    assert {"itmp", "name", "items", "inputs", "moved"} <= set(schema["properties"])


def test_messages_cannot_move_the_terminal():
    (line,) = refused('"itmp": "toy\\nv1"\n')
    assert "\x1b" not in line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü", "plain ü"),
        ("a\nb", r"a\nb"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\u202e", r"\u202e"),
        ("\U000e0041", r"\U000e0041"),
        ("a\\b\n", r"a\\b\n"),
        ("\ud800", r"\ud800"),
    ],
)
def test_visible_leaves_nothing_hidden(text: str, shown: str):
    assert visible(text) == shown
