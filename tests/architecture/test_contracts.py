"""Each import contract holds, and each one is seen to break when its rule is broken."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

BREAKS = {
    "floors": ("itmp/canonical.py", "import itmp.cli.printing\n"),
    "pure": ("itmp/plan/model.py", "import subprocess\n"),
    "verifier": ("itmp/cli/verify.py", "import itmp.adapters.supervisor\n"),
    "permit": ("itmp/workspace/config.py", "import itmp.change.permit\n"),
    "api": ("itmp/cli/runs.py", "import itmp.execution\n"),
    "acyclic": ("itmp/audit/event.py", "import itmp.audit.log\n"),
}


def test_each_contract_is_broken_once() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert {contract["id"] for contract in declared} == set(BREAKS)


def lint(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command as c; c()",
            "--no-cache",
            *arguments,
        ],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "itmp", tmp_path / "itmp", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def _kept() -> None:
    """Ask once, of all contracts: what breaks below is broken by its planted line alone."""
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.usefixtures("_kept")
@pytest.mark.parametrize("contract", BREAKS)
def test_a_broken_rule_breaks_its_contract(copy: Path, contract: str) -> None:
    path, line = BREAKS[contract]
    target = copy / path
    target.write_text(target.read_text() + line)
    broken = lint(copy, "--contract", contract)
    assert broken.returncode == 1, broken.stdout
    assert "BROKEN" in broken.stdout


def test_an_undeclared_room_breaks_the_build(copy: Path) -> None:
    (copy / "itmp" / "cellar").mkdir()
    (copy / "itmp" / "cellar" / "__init__.py").write_text("")
    result = lint(copy, "--contract", "floors")
    assert result.returncode == 1
    assert "cellar" in result.stdout
