"""Canonical JSON: one value, one encoding, and nothing outside the subset."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itmp import canonical
from itmp.errors import InvalidInputError

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-canonical.MAX_INT, canonical.MAX_INT) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(alphabet="abcXYZ_09 ", max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_a_value_comes_back_from_its_one_encoding(value: object) -> None:
    data = canonical.dumps(value)
    assert canonical.loads(data) == value
    assert canonical.dumps(canonical.loads(data)) == data


@given(VALUES)
def test_any_other_encoding_of_a_value_is_refused(value: object) -> None:
    other = json.dumps(value, ensure_ascii=False, indent=1).encode() + b" "
    with pytest.raises(InvalidInputError):
        canonical.loads(other)


@pytest.mark.parametrize(
    "data",
    [
        b'{"b":1,"a":2}',
        b'{"a":1,"a":1}',
        b'{"a": 1}',
        b"1.0",
        b"1e3",
        b"-0",
        b"NaN",
        b"Infinity",
        b"9007199254740992",
        b'"\\u0041"',
        b'"\\ud800"',
        b'"\xff"',
        b'{"\xc3\xa9":1}',
        b"[1,]",
        b"",
        b"01",
        b"[" * 100 + b"]" * 100,
        b"1" * 5000,
    ],
)
def test_hostile_bytes_are_refused_with_our_error(data: bytes) -> None:
    with pytest.raises(InvalidInputError):
        canonical.loads(data)


@pytest.mark.parametrize("value", [1.5, {1: 2}, {"é": 1}, b"x", {"a": {1, 2}}, 2**53, "\ud800"])
def test_a_value_outside_the_subset_has_no_encoding(value: object) -> None:
    with pytest.raises(InvalidInputError):
        canonical.dumps(value)


def test_the_encoding_is_rfc_8785s() -> None:
    # RFC 8785 section 3.2.2.2: only these control characters have short forms, U+007F stands for itself.
    assert canonical.dumps('\b\t\n\f\r"\\/\x0f\x7f€') == b'"\\b\\t\\n\\f\\r\\"\\\\/\\u000f\x7f\xe2\x82\xac"'
    assert canonical.dumps({"b": [True, None], "a": -1}) == b'{"a":-1,"b":[true,null]}'


@pytest.mark.parametrize(
    "text", ["sha256:" + "A" * 64, "sha256:" + "a" * 63, "a" * 64, "sha256:" + "a" * 64 + "\n", 7]
)
def test_a_digest_has_one_form(text: object) -> None:
    with pytest.raises(InvalidInputError):
        canonical.parse_digest(text)  # type: ignore[arg-type]
