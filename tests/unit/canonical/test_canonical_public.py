"""RFC 8785's published pairs: inside our subset the same bytes, outside of it a refusal (see vectors/README.md)."""

import json
from pathlib import Path

import pytest

from itmp import canonical
from itmp.errors import InvalidInputError

PAIRS = {
    name: (given, out)
    for name, given, out in json.loads((Path(__file__).parent / "vectors/jcs.json").read_text())
}
OUTSIDE = {"french", "weird", "values"}
"""Keys beyond ASCII, and numbers that are no integers."""


@pytest.mark.parametrize("name", sorted(PAIRS.keys() - OUTSIDE))
def test_inside_the_subset_the_bytes_are_the_same(name: str) -> None:
    given, out = PAIRS[name]
    value = canonical.loads(out.encode())
    assert value == json.loads(given)
    assert canonical.dumps(value) == out.encode()
    with pytest.raises(InvalidInputError):
        canonical.loads(given.encode())  # the same value in other bytes


@pytest.mark.parametrize("name", sorted(OUTSIDE))
def test_outside_the_subset_nothing_is_written(name: str) -> None:
    with pytest.raises(InvalidInputError):
        canonical.loads(PAIRS[name][1].encode())
    with pytest.raises(InvalidInputError):
        canonical.dumps(json.loads(PAIRS[name][0]))
