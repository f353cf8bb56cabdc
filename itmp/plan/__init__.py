"""The plan: what people approve and what runs, as one manifest and the artifacts behind its digests.

What makes a plan, packs it or tells it to people loads when it is first used: whoever judges one does without.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from itmp.plan.bundle import Plan
from itmp.plan.codec import decode, encode
from itmp.plan.guarding import answer_value, known_from, meant, outcome_of
from itmp.plan.model import (
    Added,
    AnsibleStep,
    AskStep,
    Change,
    CheckStep,
    CommandProbe,
    ExpectedTask,
    Host,
    HostStep,
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
    WaitStep,
)
from itmp.plan.order import (
    Part,
    Scope,
    added,
    all_steps,
    delegates,
    questions,
    resources,
    scope,
    slice_key,
    slices,
    step_hosts,
    targets,
    word_target,
)
from itmp.plan.pausing import acts, forbidden, is_no, led, overtaking, rested_on

__all__ = [
    "Added",
    "AnsibleStep",
    "AskStep",
    "Change",
    "CheckStep",
    "CommandProbe",
    "Difference",
    "ExpectedTask",
    "Facts",
    "Host",
    "HostStep",
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
    "WaitStep",
    "acts",
    "added",
    "all_steps",
    "answer_value",
    "decode",
    "delegates",
    "diff",
    "encode",
    "forbidden",
    "from_tar",
    "is_no",
    "known_from",
    "led",
    "meant",
    "outcome_of",
    "overtaking",
    "questions",
    "render_play",
    "resources",
    "rested_on",
    "scope",
    "show",
    "slice_key",
    "slices",
    "step_hosts",
    "targets",
    "to_tar",
    "word_target",
]

_HOME: Final = {
    "from_tar": "archive", "to_tar": "archive",
    "Difference": "differing", "diff": "differing",
    "render_play": "rendering",
    "Section": "showing", "show": "showing",
    "Facts": "sources", "Needs": "sources", "Sources": "sources",
}  # fmt: skip

if TYPE_CHECKING:
    from itmp.plan.archive import from_tar, to_tar
    from itmp.plan.differing import Difference, diff
    from itmp.plan.rendering import render_play
    from itmp.plan.showing import Section, show
    from itmp.plan.sources import Facts, Needs, Sources


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(name)
    return getattr(import_module(f"itmp.plan.{_HOME[name]}"), name)
