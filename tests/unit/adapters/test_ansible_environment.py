"""Ansible's environment is made from nothing."""

from pathlib import Path

import pytest

from itmp.adapters.ansible import layout

WORDS = (
    "ANSIBLE_STRATEGY",
    "ANSIBLE_FORKS",
    "ANSIBLE_CONFIG",
    "ANSIBLE_LIBRARY",
    "ANSIBLE_HOST_KEY_CHECKING",
)


def test_no_variable_of_ansible_reaches_it_from_the_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*WORDS, "ANSIBLE_OF_TOMORROW", "PYTHONPATH"):
        monkeypatch.setenv(name, "from the shell")
    found = layout.environment(tmp_path, temporary=tmp_path)
    assert {name for name, value in found.items() if "from the shell" in value} == set()
    assert found["ANSIBLE_CONFIG"] == str(tmp_path / "ansible.cfg")
    asked = layout.environment(tmp_path, temporary=tmp_path, passed=("PYTHONPATH",))
    assert asked["PYTHONPATH"] == "from the shell"
