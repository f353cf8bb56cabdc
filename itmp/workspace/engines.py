"""Wiring of the engines: which runner carries out which kind of step, and what reads the present.

Only the part that a plan needs is imported, so that the Ansible extra works without the Pulumi one and the other way.
"""

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

from itmp.workspace.place import Workspace

if TYPE_CHECKING:
    from itmp.execution.doors import Runner


def cloud_environment(place: Workspace) -> dict[str, str]:
    """Return the AWS variables that engine children see: itmp.yml's region and endpoint under the environment's own."""
    aws = place.config.backends.aws
    found = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    found.setdefault("AWS_REGION", aws.region)
    if aws.endpoint:
        found.setdefault("AWS_ENDPOINT_URL", aws.endpoint)
    return found


def runners(place: Workspace) -> dict[str, "Runner"]:
    """Return what carries out each kind of step; a kind whose extra is missing is absent, and the run says so."""
    found: dict[str, Runner] = {}
    if find_spec("ansible_runner"):
        from itmp.adapters.ansible.runner import AnsibleRunner  # noqa: PLC0415 - needs the ansible extra
        from itmp.adapters.probes import CheckRunner  # noqa: PLC0415 - as above

        found["ansible"] = AnsibleRunner(vault_passwords=place.config.vault)
        found["check"] = CheckRunner()
    return found
