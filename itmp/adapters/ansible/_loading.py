"""Reads the files of a plan's layout for Ansible's parser; runs in the `inspect` child only.

Rules kept here: nothing is decrypted, and what is read many times is copied only where somebody may change it.
"""

import re
from typing import Any, Final

from ansible.errors import AnsibleTemplateError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import is_encrypted

_ROLE_VALUES: Final = re.compile(r"/roles/[^/]+/(?:defaults|vars)/")


class Loader(DataLoader):  # type: ignore[misc]  # Ansible ships no types
    """Ansible's file loader, without vault secrets: an encrypted file reads as an empty mapping.

    Variables of roles are given as they were read: nothing changes them, and Ansible's copy for each time that a role
    is included took half the time of a project whose roles share large defaults.
    """

    def load_from_file(
        self,
        file_name: str,
        cache: str = "all",
        unsafe: bool = False,  # noqa: FBT001, FBT002 -- Ansible's signature
        *given: Any,
        **more: Any,
    ) -> Any:
        """Return what a file says; see Ansible's own, whose word for uncopied is `unsafe`."""
        uncopied = unsafe or bool(_ROLE_VALUES.search(file_name))
        return super().load_from_file(file_name, cache, uncopied, *given, **more)

    def _decrypt_if_vault_data(self, b_data: bytes) -> tuple[bytes, bool]:
        return (b"{}", False) if is_encrypted(b_data) else (b_data, True)


def is_lasting(error: BaseException) -> bool:
    """Tell whether what could not be read cannot be read at the run either, so that no task of it ever runs.

    A template may have its value only there: lookups, and filters and tests of the project, do not run while a plan is
    made, and vaulted files read as empty. Nor has a plan that grows too large anything to do with the run.
    """
    if isinstance(error, AnsibleTemplateError | ValueError):
        return False
    return error.__cause__ is None or is_lasting(error.__cause__)


__all__ = ["Loader", "is_lasting"]
