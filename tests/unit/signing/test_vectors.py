"""Ed25519 verification against public vectors: selections, or whole files where `ITMP_VECTORS` names a folder of them.

See vectors/README.md for both.
"""

import json
import os
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


WHOLE = os.environ.get("ITMP_VECTORS", "")
"""A folder with the files as they were published; empty for the selections here."""


def edges() -> list[list[Any]]:
    """Return cases as [number, key, signature, message, flags]."""
    if not WHOLE:
        return list(json.loads((FOLDER / "ed25519_edges.json").read_text()))
    told = json.loads((Path(WHOLE) / "ed25519vectors.json").read_text())
    return [[one["number"], one["key"], one["sig"], one["msg"], one["flags"] or []] for one in told]


def wycheproof() -> list[list[Any]]:
    """Return cases as [number, key, signature, message, result]."""
    if not WHOLE:
        return list(json.loads((FOLDER / "ed25519_wycheproof.json").read_text()))
    told = json.loads((Path(WHOLE) / "ed25519_test.json").read_text())
    return [
        [one["tcId"], group["publicKey"]["pk"], one["sig"], one["msg"], one["result"]]
        for group in told["testGroups"]
        for one in group["tests"]
    ]


def holds(key: str, sig: str, message: bytes) -> bool:
    try:
        public = PublicKey.from_blob(TYPE + string(bytes.fromhex(key)))
        check_signature(public, TYPE + string(bytes.fromhex(sig)), message)
    except Error:
        return False
    return True


@pytest.mark.parametrize("case", edges(), ids=lambda case: str(case[0]))
def test_edge_cases(case: list[Any]) -> None:
    _, key, sig, message, flags = case
    assert holds(key, sig, message.encode()) is not bool(REFUSED & set(flags))


@pytest.mark.parametrize("case", wycheproof(), ids=lambda case: str(case[0]))
def test_wycheproof(case: list[Any]) -> None:
    _, key, sig, message, result = case
    assert holds(key, sig, bytes.fromhex(message)) is (result == "valid")


def test_the_vectors_hold_both_answers() -> None:
    assert {bool(REFUSED & set(case[4])) for case in edges()} == {True, False}
    assert {case[4] for case in wycheproof()} == {"valid", "invalid"}
