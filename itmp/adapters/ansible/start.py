"""Starts Ansible: `python -m itmp.adapters.ansible.start KIND ARGUMENTS`, like `python -m ansible`.

Rules kept here: whatever Ansible decrypts, in its main process or in a worker, is told to the executor before
anything can use it, so the executor masks it in every later result. What cannot be told is not decrypted: the task
fails. Decryption has one place in Ansible, `VaultLib.decrypt_and_get_vault_id`: group_vars, inline `!vault`,
vars_files, include_vars, vaulted files and the `unvault` filter all end there. It is wrapped before Ansible reads
anything; workers are forks and inherit the wrapping.

What Ansible copies to a target, where it does not pipe, lies in folders with the run's mark in their names, so that
what runs on there after a crash is found. They lie where bare Ansible's do, and go as those go.

Each slice is bound by a limit, which is ours: `ansible_limit` stays undefined, as where nobody types one, so that no
place of this machine reaches a play or a target.

A slice may have localhost as its one host although no inventory names it, as plays may. Ansible's command line takes
such a limit for one that leaves no host, and its plays do not.
"""

import hashlib
import os
from collections.abc import Callable
from typing import Any, Final

from itmp.adapters.actions import ActionClient, ActionRefusedError
from itmp.adapters.ansible import _kept_passwords, _piping, _preview, _rsync, _sooner
from itmp.adapters.ansible._plaintext import secrets_in

ROLE: Final = "decrypted values"
REMOTE_FOLDERS: Final = "ITMP_REMOTE_FOLDERS"
"""Environment: the run's mark in the names of temporary folders on targets."""


class Teller:
    """Tells the executor decrypted values: each once, over a connection of each process's own."""

    def __init__(self) -> None:
        self._clients: dict[int, ActionClient] = {}
        self._told: set[bytes] = set()  # digests; a worker inherits what its parent has told

    def tell(self, data: bytes) -> None:
        """Return once the executor masks what is in `data`; raise `ActionRefusedError` when it cannot be told."""
        name = hashlib.sha256(data).digest()
        if name in self._told:
            return
        client = self._clients.get(os.getpid())
        if client is None:
            client = self._clients[os.getpid()] = ActionClient.from_environment(ROLE)
        client.mask(secrets_in(data))
        self._told.add(name)


def watch_decryption(tell: Callable[[bytes], None]) -> None:
    """Let `tell` see each plaintext before Ansible does; its refusal is Ansible's vault error."""
    from ansible.parsing.vault import AnsibleVaultError, VaultLib  # noqa: PLC0415 -- Ansible is imported in this process's main only

    decrypt = VaultLib.decrypt_and_get_vault_id

    def decrypt_and_tell(self: Any, vaulttext: Any) -> Any:
        answer = decrypt(self, vaulttext)
        try:
            tell(answer[0])
        except ActionRefusedError as error:
            raise AnsibleVaultError(
                f"a decrypted value could not be kept out of the log: {error.what}"
            ) from None
        return answer

    VaultLib.decrypt_and_get_vault_id = decrypt_and_tell


def allow_localhost_alone() -> None:
    """Let a limit be the implicit localhost alone."""
    from ansible.cli import CLI  # noqa: PLC0415 -- Ansible is imported in this process's main only
    from ansible.errors import AnsibleError  # noqa: PLC0415 -- as above

    listed = CLI.get_host_list

    def get_host_list(inventory: Any, subset: Any, pattern: str = "all") -> Any:
        try:
            return listed(inventory, subset, pattern)
        except AnsibleError:
            found = inventory.get_hosts("localhost")  # within the limit, which is set by now
            if not found:
                raise
            return found

    CLI.get_host_list = staticmethod(get_host_list)


def keep_limit_unsaid() -> None:
    """Let plays see no `ansible_limit`, but for one that the document gives."""
    from ansible.vars import manager  # noqa: PLC0415 -- Ansible is imported in this process's main only

    load = manager.load_options_vars

    def unsaid(version: Any) -> Any:
        return {name: value for name, value in load(version).items() if name != "ansible_limit"}

    manager.load_options_vars = unsaid


def mark_remote_folders(mark: str) -> None:
    """Have the names of temporary folders on targets begin with `ansible-tmp-MARK-`."""
    from ansible.plugins.shell import ShellBase  # noqa: PLC0415 -- Ansible is imported in this process's main only

    made, known = ShellBase._generate_temp_dir_name, "ansible-tmp-"  # noqa: SLF001 -- the one place of the name

    def marked() -> str:
        return f"{known}{mark}-{made().removeprefix(known)}"

    ShellBase._generate_temp_dir_name = staticmethod(marked)  # noqa: SLF001 -- as above


def main() -> None:
    """Run the Ansible program that the arguments name."""
    _sooner.start_sooner()
    watch_decryption(Teller().tell)
    _preview.hold_if_asked()
    allow_localhost_alone()
    keep_limit_unsaid()
    _rsync.bind()
    _kept_passwords.bind()
    _piping.bind()
    if mark := os.environ.get(REMOTE_FOLDERS):
        mark_remote_folders(mark)
    from ansible.__main__ import main as ansible  # noqa: PLC0415 -- as above

    ansible()


if __name__ == "__main__":
    main()
