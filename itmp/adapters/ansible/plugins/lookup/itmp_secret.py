"""Ansible lookup `itmp_secret`: one of the step's secrets, asked from the executor when it is used.

Rules kept here: the value is never on disk, in an argument or in an environment on its way here, and
Ansible treats it as data (lookup results are not templated again).
"""

import os
from typing import Any, ClassVar

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from itmp.adapters.actions import ActionClient
from itmp.errors import Error

DOCUMENTATION = """
name: itmp_secret
short_description: a secret of the step
description: Asks the executor for the value of one of the step's secrets.
options:
  _terms:
    description: Names of secrets.
    required: true
"""


class LookupModule(LookupBase):  # type: ignore[misc]  # Ansible ships no types
    """Asks over its own connection, one per process: workers are forks."""

    _clients: ClassVar[dict[int, ActionClient]] = {}

    def run(self, terms: list[str], variables: Any = None, **_: Any) -> list[str]:  # noqa: ARG002 -- Ansible's signature
        """Return the values of the secrets named in `terms`."""
        try:
            client = self._clients.get(os.getpid())
            if client is None:
                client = self._clients[os.getpid()] = ActionClient.from_environment("secrets")
            return [client.secret(term) for term in terms]
        except Error as error:
            raise AnsibleError(f"secret {' '.join(terms)}: {error.what}") from None
