"""To which programs Ansible's modules are piped where the project says nothing."""

from types import SimpleNamespace
from typing import Any

import pytest

from itmp.adapters.ansible import _piping


def connection(name: str = "", program: str | None = None, origin: str = "", *, always: bool = False) -> Any:
    """A task's connection, as far as it is asked."""
    become = SimpleNamespace(ansible_name=name, get_option=lambda _: program) if name else None

    def option(_: str) -> tuple[bool, str]:
        if not origin:
            raise KeyError
        return True, origin

    return SimpleNamespace(become=become, always_pipeline_modules=always, get_option_and_origin=option)


@pytest.mark.parametrize(
    ("name", "program", "piped"),
    [
        ("", None, True),
        ("sudo", None, True),
        ("sudo", "sudo", True),
        ("ansible.builtin.sudo", "/usr/local/bin/sudo", True),
        ("sudo", "/opt/pbrun", False),
        ("su", None, False),
        ("community.general.machinectl", None, False),
        ("acme.tools.sudo", None, False),
    ],
)
def test_only_plain_sudo_is_piped_to_by_itself(name: str, program: str | None, *, piped: bool) -> None:
    assert _piping.pipes(connection(name, program)) is piped


def test_a_program_that_cannot_be_named_is_asked_for_no_name() -> None:
    """`community.general.sudosu` has no option `become_exe`: to ask for it fails, and so would the task."""
    sudosu = connection("community.general.sudosu", "x")
    sudosu.become.get_option = {}.__getitem__
    assert not _piping.pipes(sudosu)


def test_a_connection_that_knows_nothing_else_pipes_to_every_program() -> None:
    assert _piping.pipes(connection("runas", always=True))


@pytest.mark.parametrize(
    ("origin", "asked"),
    [
        ("var: ansible_pipelining", True),
        ("env: ANSIBLE_PIPELINING", False),
        ("default", False),
        ("", False),
    ],
)
def test_a_word_of_the_project_counts(origin: str, *, asked: bool) -> None:
    assert _piping.asked_for(connection("doas", origin=origin)) is asked
