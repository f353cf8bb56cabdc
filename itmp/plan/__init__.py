"""The plan: what people approve and what runs, as one manifest and the artifacts behind its digests."""

from itmp.plan.archive import from_tar, to_tar
from itmp.plan.bundle import Plan
from itmp.plan.codec import decode, encode
from itmp.plan.differing import Difference, diff
from itmp.plan.model import (
    AnsibleStep,
    Change,
    CheckStep,
    ExpectedTask,
    Host,
    HttpProbe,
    Inventory,
    LeafStep,
    Manifest,
    Moved,
    Operation,
    Present,
    Probe,
    PulumiStep,
    Review,
    RollingStep,
    Source,
    Step,
    TcpProbe,
)
from itmp.plan.order import Part, Scope, all_steps, delegates, resources, scope, slices, step_hosts, targets
from itmp.plan.rendering import render_play
from itmp.plan.showing import Section, show
from itmp.plan.sources import Facts, Needs, Sources

__all__ = [
    "AnsibleStep",
    "Change",
    "CheckStep",
    "Difference",
    "ExpectedTask",
    "Facts",
    "Host",
    "HttpProbe",
    "Inventory",
    "LeafStep",
    "Manifest",
    "Moved",
    "Needs",
    "Operation",
    "Part",
    "Plan",
    "Present",
    "Probe",
    "PulumiStep",
    "Review",
    "RollingStep",
    "Scope",
    "Section",
    "Source",
    "Sources",
    "Step",
    "TcpProbe",
    "all_steps",
    "decode",
    "delegates",
    "diff",
    "encode",
    "from_tar",
    "render_play",
    "resources",
    "scope",
    "show",
    "slices",
    "step_hosts",
    "targets",
    "to_tar",
]
