"""Wiring of the engines: which runner carries out which kind of step, and what reads the present.

Only the part that a plan needs is imported, so that the Ansible extra works without the Pulumi one and the other way.
"""

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from itmp.errors import ToolMissingError
from itmp.plan import Plan, all_steps
from itmp.workspace.place import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from itmp.adapters.ansible.runner import AnsibleRunner
    from itmp.adapters.pulumi.place import CloudPlace
    from itmp.adapters.pulumi.runner import PulumiRunner
    from itmp.adapters.pulumi.sources import PulumiSources
    from itmp.execution.doors import Prober, Room, Runner, Slice, Verdict


def present_value(place: Workspace, knob: str, name: str, field: str) -> int:
    """Read one present value of the cloud."""
    need("boto3", "aws")
    from itmp.adapters.aws import Aws  # noqa: PLC0415 - needs the aws extra

    cloud = _cloud(place)
    del field  # each knob has one field; the reading is that field's value
    return Aws(region=cloud.region, endpoint=cloud.endpoint).read(knob, name).value


def pulumi_sources(place: Workspace) -> "PulumiSources":
    """Return what previews stacks and reads present values for a plan."""
    need("pulumi", "pulumi")
    from itmp.adapters.pulumi import engine  # noqa: PLC0415 - needs the pulumi extra
    from itmp.adapters.pulumi.sources import PulumiSources  # noqa: PLC0415 - as above

    return PulumiSources(place.root, state=place.state / "pulumi", engine=engine.find(), cloud=_cloud(place))


def prober(place: Workspace, plan: Plan) -> "Prober":
    """Return what finds out, after a crash, whether a slice's effect is there."""
    return _Probers({kind: maker(place) for kind, maker in _PROBERS.items() if kind in _kinds(plan)})


class _Probers:
    """One prober per kind of step; a kind without one cannot be known."""

    def __init__(self, probers: "Mapping[str, Prober]") -> None:
        self._probers = probers

    def probe(
        self, plan: Plan, part: "Slice", targets: tuple[str, ...], *, room: "Room"
    ) -> "Mapping[str, Verdict]":
        """Answer for hosts (or resources) of one slice."""
        found = self._probers.get(part.step.kind)
        return found.probe(plan, part, targets, room=room) if found else {}


def runners(place: Workspace, plan: Plan) -> dict[str, "Runner"]:
    """Return what carries out each kind of step of `plan`; `ToolMissingError` where an extra or an image is missing."""
    made = {kind: _MAKERS[kind](place) for kind in sorted(_kinds(plan)) if kind in _MAKERS}
    container(plan)
    return made


def container(plan: Plan) -> dict[str, str]:
    """Return what a permit says of the plan's container image: its engine and its name there; nothing without one.

    Raises `ToolMissingError` where the image is not here.
    """
    if "ansible" not in _kinds(plan):
        return {}
    from itmp.adapters.ansible.runner import image_of  # noqa: PLC0415 - needs the ansible extra

    image = image_of(plan)
    return {"container": f"{image.kind} {image.id}"} if image else {}


def _kinds(plan: Plan) -> set[str]:
    return {step.kind for step in all_steps(plan.manifest)}


def _ansible(place: Workspace) -> "AnsibleRunner":
    need("ansible_runner", "ansible")
    from itmp.adapters.ansible.runner import AnsibleRunner  # noqa: PLC0415 - needs the ansible extra

    return AnsibleRunner(vault_passwords=place.config.vault)


def previewer(place: Workspace) -> "AnsibleRunner":
    """Return what previews Ansible steps."""
    need("ansible_runner", "ansible")
    from itmp.adapters.ansible.runner import AnsibleRunner  # noqa: PLC0415 - needs the ansible extra

    return AnsibleRunner(vault_passwords=place.config.vault)


def _check(place: Workspace) -> "Runner":
    del place  # checks need no configuration
    from itmp.adapters.probes import CheckRunner  # noqa: PLC0415 - only plans with checks need it

    return CheckRunner()


def need(module: str, extra: str) -> None:
    """Return when an extra is installed; raise `ToolMissingError` that says how to install it."""
    try:
        found = find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise ToolMissingError(f"the {extra} extra is not installed", do=f"pip install 'itmp[{extra}]'")


def _pulumi(place: Workspace) -> "PulumiRunner":
    need("pulumi", "pulumi")
    from itmp.adapters.pulumi import engine  # noqa: PLC0415 - needs the pulumi extra
    from itmp.adapters.pulumi.runner import PulumiRunner  # noqa: PLC0415 - as above

    return PulumiRunner(place.state / "pulumi", engine=engine.find(), cloud=_cloud(place))


def _cloud(place: Workspace) -> "CloudPlace":
    """Return region and endpoint: the environment's own, else those of itmp.yml."""
    from itmp.adapters.pulumi.place import CloudPlace  # noqa: PLC0415 - as above

    aws, environ = place.config.backends.aws, os.environ
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or aws.region
    return CloudPlace(region=region, endpoint=environ.get("AWS_ENDPOINT_URL") or aws.endpoint)


def _declared_prober(place: Workspace) -> "Prober":
    from itmp.adapters.probes import DeclaredProber  # noqa: PLC0415 - only a resume needs it

    return DeclaredProber(lambda: _ansible(place))


_MAKERS: "Final[Mapping[str, Callable[[Workspace], Runner]]]" = {
    "ansible": _ansible,
    "check": _check,
    "pulumi": _pulumi,
}
_PROBERS: "Final[Mapping[str, Callable[[Workspace], Prober]]]" = {
    "ansible": _declared_prober,
    "check": _declared_prober,
    "pulumi": _pulumi,
}
