import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itmp import canonical
from itmp.audit import Event
from itmp.audit.commitments import Opening, commitments_of, open_commitment
from itmp.errors import EvidenceInvalidError, InvalidInputError

SALT = bytes(range(32))


def test_a_commitment_is_the_documented_hash() -> None:
    by_hand = hashlib.sha256(b"itmp/commit/v1\0" + SALT + b"/diff" + b'"+secret"').hexdigest()
    opening = Opening.of("+secret", salt=SALT)
    assert opening.commitment("/diff") == f"sha256:{by_hand}"
    assert open_commitment(opening.commitment("/diff"), "/diff", opening) == "+secret"


@given(st.text(max_size=50), st.binary(min_size=32, max_size=32))
def test_what_was_written_is_read_back(text: str, salt: bytes) -> None:
    try:
        opening = Opening.of(text, salt=salt)
    except InvalidInputError:
        return
    assert Opening.from_bytes(opening.to_bytes()) == opening


@pytest.mark.parametrize("value", ["+secrets", "", "+secret\n", 7, None])
def test_another_value_does_not_open_it(value: object) -> None:
    commitment = Opening.of("+secret", salt=SALT).commitment("/diff")
    with pytest.raises(EvidenceInvalidError):
        open_commitment(commitment, "/diff", Opening.of(value, salt=SALT))


def test_another_salt_or_pointer_does_not_open_it() -> None:
    opening = Opening.of("+secret", salt=SALT)
    commitment = opening.commitment("/diff")
    with pytest.raises(EvidenceInvalidError):
        open_commitment(commitment, "/diff", Opening.of("+secret", salt=bytes(32)))
    with pytest.raises(EvidenceInvalidError):
        open_commitment(commitment, "/after", opening)


def test_equal_values_have_different_commitments() -> None:
    one, two = (Opening.of("yes", salt=bytes([n]) * 32).commitment("/diff") for n in (1, 2))
    assert one != two


@pytest.mark.parametrize(
    "data", [b"", SALT, SALT[:31], SALT + b"{", SALT + b"1.5", SALT + b'{"b":1,"a":2}', SALT + b' "x"']
)
def test_a_file_that_is_no_opening_is_refused(data: bytes) -> None:
    with pytest.raises(EvidenceInvalidError):
        Opening.from_bytes(data)


def test_a_content_has_an_upper_bound() -> None:
    with pytest.raises(EvidenceInvalidError):
        Opening.of("x" * (1024 * 1024), salt=SALT).commitment("/diff")


def test_a_text_that_is_no_digest_commits_to_nothing() -> None:
    digest = canonical.digest(b"x")
    event = Event(
        id="0" * 32, type="log.read", actor={"kind": "executor", "id": "x"}, before="no", diff=digest
    )
    assert commitments_of(event) == {"/diff": digest}
