"""Every example of the repository compiles as it stands: documents against the example inventory."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ITMP = Path(sys.executable).parent / "itmp"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for part in ("playbooks", "runbooks", "stacks", "inventories"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "itmp.yml").write_text("organization: example.com\ninventories: [inventories/example/hosts.yml]\n")
    return tmp_path


def itmp(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ITMP, *words], cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def test_every_document_is_valid(workspace: Path) -> None:
    files = sorted(str(path.relative_to(workspace)) for path in workspace.glob("runbooks/*/*.yml"))
    assert len(files) >= 6
    done = itmp(workspace, "validate", *files)
    assert done.returncode == 0, done.stdout


def test_the_example_inventory_is_read_with_its_group_variables(workspace: Path) -> None:
    done = itmp(workspace, "hosts", "list")
    assert done.returncode == 0, done.stderr
    assert "192.0.2.14:22" in done.stdout
    planned = itmp(workspace, "plan", "runbooks/operate/restart-web.yml", "-o", "restart.plan.tar")
    assert planned.returncode == 0, planned.stderr
    shown = itmp(workspace, "show", "restart.plan.tar").stdout
    assert "inventory/group_vars/web.yml" in shown
    assert "1 + 1 + 1 + 1" in shown


def test_a_schema_is_written_for_each_kind_of_document(workspace: Path) -> None:
    for kind in ("runbook", "patch-schedule", "capacity-adjustment"):
        done = itmp(workspace, "schema", kind)
        assert done.returncode == 0, done.stderr
        assert '"properties"' in done.stdout
