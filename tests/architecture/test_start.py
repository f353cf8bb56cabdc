"""The command line starts fast: help loads none of the heavy packages, a short command only the rooms it enters."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "ansible",
    "ansible_runner",
    "pulumi",
    "boto3",
    "botocore",
    "sqlalchemy",
    "paramiko",
    "grpc",
    "cryptography",
}
# Typer itself asks pydantic about a command's options; the program's own help must do without.

ELSEWHERE = {
    "itmp.capacity", "itmp.evidence", "itmp.execution", "itmp.export", "itmp.inquiry", "itmp.lab", "itmp.patching",
    "itmp.runbook", "itmp.viewer",
    "itmp.documents.model", "itmp.plan.archive", "itmp.plan.showing", "itmp.plan.sources",
}  # fmt: skip
"""What judges evidence, carries runs out, answers auditors or compiles documents: a decision or a look needs none."""


def loaded(arguments: list[str], folder: Path) -> set[str]:
    """Type a command in `folder`; return the modules that its process has loaded when it ends."""
    program = (
        "import sys\nfrom itmp.cli.main import main\n"
        f"sys.argv = ['itmp', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('\\nLOADED', *sorted(sys.modules))\n"
    )
    environ = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environ, capture_output=True, text=True, check=True
    )
    return set(done.stdout.rsplit("LOADED", 1)[1].split())


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    packages = {name.split(".")[0] for name in loaded(arguments, tmp_path)}
    assert not HEAVY & packages
    if arguments != ["run", "--help"]:
        assert "pydantic" not in packages


def test_a_decision_and_a_look_load_only_the_rooms_that_they_enter(tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    founded = "init --key key --organization example.com --signer a@example.com"
    assert "itmp.workspace.founding" in loaded(founded.split(), tmp_path)
    verbs = {
        "approve nope --key key --yes": "deciding",
        "change open sha256:00 --reason t --key key": "deciding",
        "change list": "changes",
        "status nope": "watching",
        "logs nope": "entries",
    }
    for words, module in verbs.items():
        modules = loaded(words.split(), tmp_path)
        assert f"itmp.workspace.{module}" in modules, words
        assert not ELSEWHERE & modules, words
    assert not {"ssl", "http.client"} & loaded(["audit", "verify"], tmp_path), "nothing is posted"


def test_no_package_plugs_itself_into_the_reading_of_policies_and_documents(tmp_path: Path) -> None:
    (tmp_path / "guest.py").write_text("plugin = None\n")
    told = tmp_path / "guest-1.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1\n")
    (told / "entry_points.txt").write_text("[pydantic]\nguest = guest:plugin\n")
    modules = loaded(["schema", "runbook"], tmp_path)
    assert "itmp.documents.model" in modules
    assert "guest" not in modules
