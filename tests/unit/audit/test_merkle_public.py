"""Proofs of transparency-dev/merkle: all that it accepts, and nothing that it refuses (see vectors/README.md)."""

import json
from base64 import b64decode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from itmp.audit.merkle import ProofError, verify_consistency, verify_inclusion

FOLDER = Path(__file__).parent / "vectors"


def cases(name: str) -> list[list[Any]]:
    return list(json.loads((FOLDER / name).read_text()))


def proof_of(texts: list[str] | None) -> list[bytes]:
    return [b64decode(text) for text in texts or []]


def root_of(text: str) -> bytes:
    """Return a root; where the vectors write a few words in its place ("don't care"), their hash stands for them."""
    data = b64decode(text)
    return data if len(data) == 32 else sha256(data).digest()


@pytest.mark.parametrize("case", cases("merkle_inclusion.json"), ids=lambda case: str(case[0]))
def test_inclusion(case: list[Any]) -> None:
    _, index, size, root, leaf, proof, refused = case
    given = {"leaf": b64decode(leaf), "root": b64decode(root)}
    try:
        verify_inclusion(index=index, size=size, proof=proof_of(proof), **given)
    except ProofError:
        assert refused
    else:
        assert not refused


@pytest.mark.parametrize("case", cases("merkle_consistency.json"), ids=lambda case: str(case[0]))
def test_consistency(case: list[Any]) -> None:
    name, old, new, old_root, new_root, proof, refused = case
    roots = {"old_root": root_of(old_root), "new_root": root_of(new_root)}
    try:
        verify_consistency(old=old, new=new, proof=proof_of(proof), **roots)
    except ProofError:
        assert refused, name
    else:
        assert not refused


def test_all_of_them_are_here() -> None:
    for name in ("merkle_inclusion.json", "merkle_consistency.json"):
        assert len(cases(name)) == 98
        assert {case[-1] for case in cases(name)} == {True, False}
