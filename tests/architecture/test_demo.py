"""The demo proves what it says: each claim is computed from what was seen, none is written down as held."""

import ast
from pathlib import Path

import itmp.cli.demo


def test_no_proof_is_a_constant() -> None:
    tree = ast.parse(Path(itmp.cli.demo.__file__).read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    proofs = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "prove"]
    assert len(proofs) >= 10
    for call in proofs:
        _, holds = [*call.args, *(keyword.value for keyword in call.keywords)]
        seen = [node for node in ast.walk(holds) if isinstance(node, ast.Name | ast.Call)]
        assert seen, f"demo.py:{call.lineno}: what holds is computed from nothing: {ast.unparse(holds)}"


def test_no_proof_is_made_elsewhere() -> None:
    tree = ast.parse(Path(itmp.cli.demo.__file__).read_text(encoding="utf-8"))
    made = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Proof"
    ]
    assert len(made) == 1
