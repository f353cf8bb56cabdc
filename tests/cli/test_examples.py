"""Every example of the repository compiles as it stands, and none lies here that no test runs.

Documents are read against the example inventory. A document is run by the test that `RUN_BY` names, through the real
`itmp`; a playbook by a document that calls it, as a step or as its undo; a stack by a document that names it. The catalog's
page is read as well: its commands are those that compile, and it names each input.
"""

import ast
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ITMP = Path(sys.executable).parent / "itmp"

EXAMPLES = "tests/integration/test_story_examples.py::"
DEBIAN = "tests/catalog/test_catalog_debian.py::"
SERVICES = "tests/catalog/test_catalog_services.py::"
BALANCER = "tests/catalog/test_catalog_balancer.py::"
PATCHES = "tests/integration/test_story_patch.py::"
CATALOG = {
    "runbooks/operate/rolling-restart.yml": BALANCER
    + "test_a_rolling_restart_loses_no_request_keeps_three_quarters_in_and_is_taken_back",
    "runbooks/operate/certificate-rotation.yml": SERVICES
    + "test_certificate_rotation_serves_the_approved_one_or_the_old_one",
    "runbooks/operate/disk-clean-up.yml": DEBIAN + "test_disk_clean_up_archives_elsewhere_and_puts_back",
    "runbooks/operate/log-level.yml": DEBIAN + "test_log_level_reaches_the_service_and_goes_back",
    "runbooks/operate/database-hand-over.yml": SERVICES
    + "test_database_hand_over_loses_no_transaction_and_hands_back",
    "runbooks/operate/config-rollout.yml": SERVICES + "test_config_rollout_reaches_every_host_and_goes_back",
    "runbooks/operate/user-off-boarding.yml": DEBIAN
    + "test_user_off_boarding_closes_the_account_and_opens_it_again",
    "runbooks/operate/dns-switch.yml": SERVICES + "test_dns_switch_points_the_name_there_and_back",
    "runbooks/operate/cron-pause.yml": DEBIAN + "test_cron_pause_pauses_and_resumes",
    "runbooks/operate/kernel-parameter.yml": DEBIAN
    + "test_kernel_parameter_is_set_now_and_at_boot_and_put_back",
    "runbooks/operate/service-key-rotation.yml": DEBIAN
    + "test_service_key_rotation_leaves_one_key_and_goes_back",
    "runbooks/operate/emergency-stop.yml": SERVICES
    + "test_emergency_stop_stops_what_ran_and_starts_no_more_than_that",
}
RUN_BY = CATALOG | {
    "runbooks/audit/host-records.yml": EXAMPLES + "test_host_records_are_collected_and_held_against_the_log",
    "runbooks/capacity/web-scale-out.yml": EXAMPLES
    + "test_web_scale_out_moves_the_group_and_the_service_and_back",
    "runbooks/operate/install-web.yml": EXAMPLES + "test_install_web_starts_the_service_once",
    "runbooks/operate/restart-web.yml": EXAMPLES + "test_restart_web_drains_restarts_and_puts_back",
    "runbooks/operate/scale-and-configure.yml": EXAMPLES
    + "test_scale_and_configure_moves_group_and_hosts_and_back",
    "runbooks/patch/lab-two-rings.yml": PATCHES + "test_lab_two_rings_goes_to_the_locked_versions_and_back",
    "runbooks/patch/web-monthly.yml": PATCHES + "test_web_monthly_waits_for_each_service_and_goes_back",
}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for part in ("playbooks", "runbooks", "stacks", "inventories"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "itmp.yml").write_text(
        "organization: example.com\ninventories: [inventories/example/hosts.yml]\n"
    )
    return tmp_path


def itmp(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ITMP, *words], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )


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


def test_a_test_runs_every_document() -> None:
    documents = {str(path.relative_to(ROOT)) for path in ROOT.glob("runbooks/**/*.y*ml")}
    assert documents == set(RUN_BY)
    for document, test in RUN_BY.items():
        file, _, name = test.partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        (body,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
        texts = {node.value for node in ast.walk(body) if isinstance(node, ast.Constant)}
        assert document in texts, f"{test} does not name {document}"


def test_the_catalogs_page_names_each_runbook_with_its_inputs_and_a_command_that_compiles(
    workspace: Path,
) -> None:
    page = (ROOT / "docs/howto/catalog.md").read_text(encoding="utf-8")
    table = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| [")]
    commands = [shlex.split(cells[3].strip("`")) for cells in table]
    assert [words[2] for words in commands] == list(CATALOG)
    for cells, document in zip(table, CATALOG, strict=True):
        assert f"](../../{document})" in cells[0]
        inputs = yaml.safe_load((ROOT / document).read_text(encoding="utf-8"))["inputs"]
        told = {name: bold for bold, name in re.findall(r"(\*\*)?`(\w+)`", cells[2])}
        assert told == {name: "" if "default" in one else "**" for name, one in inputs.items()}
        assert all(one.get("description") for one in inputs.values()), f"{document}: an input without a word"
    with ThreadPoolExecutor(2) as pool:
        done = list(
            pool.map(lambda words: itmp(workspace, *words[1:], "-o", f"{Path(words[2]).stem}.tar"), commands)
        )
    assert [one.stderr for one in done if one.returncode] == []


def test_a_document_calls_every_playbook_and_stack() -> None:
    documents = [yaml.safe_load((ROOT / path).read_text(encoding="utf-8")) for path in RUN_BY]
    called = {value for document in documents for value in values_of(document, "playbook")}
    assert called == {path.stem for path in ROOT.glob("playbooks/*.y*ml")}
    texts = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("playbooks/*.y*ml"))
    for path in (*ROOT.glob("playbooks/files/*"), *ROOT.glob("playbooks/templates/*")):
        used = rf"(src: {path.name}\n|\b{path.name} (\{{\{{|\w))"
        assert re.search(used, texts), f"no playbook uses {path.name}"
    programs = {value for document in documents for value in values_of(document, "program", "stack")}
    folders = {path.parent for path in ROOT.glob("stacks/*/*.py")}
    packages = {folder for folder in folders if not (folder / "__main__.py").is_file()}
    assert programs == {folder.name for folder in folders - packages}
    for package in packages:
        users = [(folder / "__main__.py").read_text(encoding="utf-8") for folder in folders - packages]
        assert any(f"from {package.name} import" in text for text in users), f"no stack uses {package.name}"


def values_of(node: object, *keys: str) -> Iterator[str]:
    """Yield each text that stands under one of `keys`, at any depth of a document."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in keys and isinstance(value, str):
                yield value
            yield from values_of(value, *keys)
    elif isinstance(node, list):
        for value in node:
            yield from values_of(value, *keys)
