"""Every parser of outside bytes keeps one oracle: our Error, or a value that gives the bytes back (tests/fuzz)."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parsers import Broken, Parser, parsers

EXAMPLES = int(os.environ.get("ITMP_FUZZ_EXAMPLES", "25"))
EDITS = st.lists(
    st.tuples(st.integers(0, 2**32), st.integers(0, 3), st.binary(max_size=8)), min_size=1, max_size=4
)


def edited(seed: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """Flip, replace, insert or cut at some places of an honest seed."""
    for place, kind, data in edits:
        at = place % (len(seed) + 1)
        if kind == 0 and seed:
            at %= len(seed)
            seed = seed[:at] + bytes([seed[at] ^ 1 << place % 8]) + seed[at + 1 :]
        elif kind == 1:
            seed = seed[:at] + data + seed[at + len(data) :]
        elif kind == 2:
            seed = seed[:at] + data + seed[at:]
        else:
            seed = seed[:at] + seed[at + len(data) :]
    return seed


@pytest.mark.parametrize("parser", parsers(), ids=lambda parser: f"{parser.family}: {parser.name}")
def test_our_error_or_a_value_that_gives_the_bytes_back(parser: Parser) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, database=None)
    @given(st.sampled_from(parser.seeds), EDITS)
    def near_honest(seed: bytes, edits: list[tuple[int, int, bytes]]) -> None:
        parser.judge(edited(seed, edits))

    @settings(max_examples=EXAMPLES, deadline=None, database=None)
    @given(
        st.binary(max_size=200) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass"))
    )
    def anything(data: bytes) -> None:
        parser.judge(data)

    for seed in parser.seeds:
        assert parser.back(seed) == seed  # an honest seed is no error: a parser that refuses all would pass
    for data in parser.odd:
        parser.judge(data)
    near_honest()
    anything()


def test_the_oracle_notices_a_lenient_reader() -> None:
    lenient = Parser(family="", name="lenient", back=lambda data: data.strip(), seeds=(b"x",))
    with pytest.raises(Broken):
        lenient.judge(b" x")
