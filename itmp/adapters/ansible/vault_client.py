"""Vault password client: `python -m itmp.adapters.ansible.vault_client --vault-id ID`.

Rules kept here: the password comes from the executor over the action socket, so it is never on disk, in
an argument or in an environment; it goes to the pipe that Ansible reads.
"""

import argparse
import sys

from itmp.adapters.actions import ActionClient
from itmp.errors import Error

PREFIX = "vault:"


def main() -> int:
    """Print the password of the vault id named on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--vault-id", default="default")
    name = parser.parse_args().vault_id
    try:
        client = ActionClient.from_environment("vault")
        sys.stdout.write(client.secret(PREFIX + name) + "\n")
    except Error as error:
        sys.stderr.write(f"{error.what}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
