"""Ansible's environment is made from nothing."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from itmp.adapters.ansible import layout

MORE = {"ANSIBLE_SSH_ARGS", "ANSIBLE_OF_TOMORROW", "PYTHONPATH"}


def known() -> set[str]:
    """Every variable that the ansible-core that is here reads a setting from."""
    spec = find_spec("ansible")
    assert spec
    assert spec.origin
    text = (Path(spec.origin).parent / "config/base.yml").read_text()
    options = yaml.load(text, Loader=yaml.CSafeLoader).values()
    return {one["name"] for option in options for one in option.get("env") or ()}


def test_no_variable_of_ansible_reaches_it_from_the_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(known()) > 100
    for name in known() | MORE:
        monkeypatch.setenv(name, "from the shell")
    found = layout.environment(tmp_path, temporary=tmp_path)
    assert {name for name, value in found.items() if "from the shell" in value} == set()
    assert found["ANSIBLE_CONFIG"] == str(tmp_path / "ansible.cfg")
    asked = layout.environment(tmp_path, temporary=tmp_path, passed=("PYTHONPATH",))
    assert asked["PYTHONPATH"] == "from the shell"
