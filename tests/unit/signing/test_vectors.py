"""Ed25519 verification against public vectors (see vectors/README.md)."""

import json
from pathlib import Path
from typing import Any

import pytest

from itmp.errors import Error
from itmp.signing import PublicKey
from itmp.signing.signatures import check_signature
from itmp.signing.wire import string

FOLDER = Path(__file__).parent / "vectors"
TYPE = string(b"ssh-ed25519")
REFUSED = {
    "low_order_A",
    "low_order_R",
    "non_canonical_A",
    "non_canonical_R",
    "low_order_residue",
    "reencoded_k",
}
"""Cofactorless verification with strict encodings refuses these; a mere low-order component is harmless."""


def cases(name: str) -> list[list[Any]]:
    return list(json.loads((FOLDER / name).read_text()))


def holds(key: str, sig: str, message: bytes) -> bool:
    try:
        public = PublicKey.from_blob(TYPE + string(bytes.fromhex(key)))
        check_signature(public, TYPE + string(bytes.fromhex(sig)), message)
    except Error:
        return False
    return True


@pytest.mark.parametrize("case", cases("ed25519_edges.json"), ids=lambda case: str(case[0]))
def test_edge_cases(case: list[Any]) -> None:
    _, key, sig, message, flags = case
    assert holds(key, sig, message.encode()) is not bool(REFUSED & set(flags))


@pytest.mark.parametrize("case", cases("ed25519_wycheproof.json"), ids=lambda case: str(case[0]))
def test_wycheproof(case: list[Any]) -> None:
    _, key, sig, message, result = case
    assert holds(key, sig, bytes.fromhex(message)) is (result == "valid")


def test_the_vectors_hold_both_answers() -> None:
    assert {bool(REFUSED & set(case[4])) for case in cases("ed25519_edges.json")} == {True, False}
    assert {case[4] for case in cases("ed25519_wycheproof.json")} == {"valid", "invalid"}
