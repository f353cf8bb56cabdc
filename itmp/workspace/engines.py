"""Wiring of the engines: which runner carries out which kind of step, and what reads the present.

Only the part that a plan needs is imported, so that the Ansible extra works without the Pulumi one and the other way.
"""

import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from itmp.errors import ToolMissingError
from itmp.plan import Plan, all_steps
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


def runners(place: Workspace, plan: Plan) -> dict[str, "Runner"]:
    """Return what carries out each kind of step that `plan` has; raise `ToolMissingError` where an extra is missing."""
    kinds = {step.kind for step in all_steps(plan.manifest)}
    return {kind: _MAKERS[kind](place) for kind in sorted(kinds) if kind in _MAKERS}


def _ansible(place: Workspace) -> "Runner":
    _need("ansible_runner", "ansible")
    from itmp.adapters.ansible.runner import AnsibleRunner  # noqa: PLC0415 - needs the ansible extra

    return AnsibleRunner(vault_passwords=place.config.vault)


def _check(place: Workspace) -> "Runner":
    del place  # checks need no configuration
    from itmp.adapters.probes import CheckRunner  # noqa: PLC0415 - only plans with checks need it

    return CheckRunner()


def _need(module: str, extra: str) -> None:
    if find_spec(module) is None:
        raise ToolMissingError(f"the {extra} extra is not installed", do=f"pip install 'itmp[{extra}]'")


_MAKERS: "Mapping[str, Callable[[Workspace], Runner]]" = {"ansible": _ansible, "check": _check}
