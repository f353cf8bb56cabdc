"""Pipes what Ansible runs on targets where nobody said otherwise, but not to programs that may ask for a terminal.

Piping saves a copy for each task and takes the terminal away: ssh gives none to a command that it feeds. Bare Ansible
does not pipe by itself, so a program that asks for a terminal to become another works there.

Rules kept here: only plain `sudo` is piped to by itself, because it asks for no terminal unless a host's sudoers say so
(`requiretty`), which no plan can know; a word of the project, in ansible.cfg or a variable, counts either way.
"""

import os
from pathlib import PurePosixPath
from typing import Any, Final

VARIABLE: Final = "ANSIBLE_PIPELINING"
"""Environment: set where the project's ansible.cfg says nothing."""
_PLAIN: Final = "sudo"
_NAMES: Final = frozenset({_PLAIN, f"ansible.builtin.{_PLAIN}"})


def bind() -> None:
    """Have a task follow bare Ansible where it becomes another by a program of its own."""
    if VARIABLE not in os.environ:
        return
    from ansible.plugins.action import ActionBase  # noqa: PLC0415 -- Ansible is imported in its own process only

    decide = ActionBase._is_pipelining_enabled  # noqa: SLF001 -- where actions ask, in every ansible-core

    def careful(self: Any, *style: Any, **more: Any) -> bool:
        return bool(decide(self, *style, **more)) and (pipes(self._connection) or asked_for(self._connection))

    ActionBase._is_pipelining_enabled = careful  # noqa: SLF001 -- as above


def pipes(connection: Any) -> bool:
    """Whether nothing that a task's connection becomes another by is known to ask for a terminal."""
    become = connection.become
    if become is None or connection.always_pipeline_modules:
        return True
    if become.ansible_name not in _NAMES:  # it need not even have the option
        return False
    return PurePosixPath(str(become.get_option("become_exe") or _PLAIN)).name == _PLAIN


def asked_for(connection: Any) -> bool:
    """Whether a variable of the project asks for it."""
    try:
        _, origin = connection.get_option_and_origin("pipelining")
    except KeyError:  # a connection without the option
        return False
    return str(origin).startswith("var:")


__all__ = ["VARIABLE", "asked_for", "bind", "pipes"]
