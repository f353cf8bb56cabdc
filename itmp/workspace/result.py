"""What a verb that meets the gate or the fleet comes back with: the one final object of architecture §9."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

SCHEMA: Final = "itmp-result/v1"
RETRYABLE: Final = frozenset({10, 11, 19})
CODES: Final[Mapping[str, int]] = {
    "succeeded": 0,
    "failed": 13,
    "unknown": 14,
    "stopped": 13,
    "undone": 20,
    "running": 14,
    "admitted": 14,
}
"""The exit code of each state of a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """`exit_code` as in docs/formats/cli.md; `checks` are the gate's; `hosts` maps a target to its state.

    `asks` are the questions that wait for an answer. `next` names the commands that a person would type next;
    `replayed` says that nothing ran now because the run had already finished.
    """

    exit_code: int = 0
    change: str = ""
    plan: str = ""
    run: str = ""
    state: str = ""
    retry_at: str = ""
    replayed: bool = False
    checks: tuple[Mapping[str, Any], ...] = ()
    hosts: Mapping[str, str] = field(default_factory=dict)
    asks: tuple[Mapping[str, Any], ...] = ()
    next: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def retryable(self) -> bool:
        """Whether the same command may succeed later without anybody changing the plan."""
        return self.exit_code in RETRYABLE

    def to_json(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        return {
            "schema": SCHEMA,
            "exit_code": self.exit_code,
            "retryable": self.retryable,
            "retry_at": self.retry_at or None,
            "change": self.change or None,
            "plan": self.plan or None,
            "run": self.run or None,
            "state": self.state or None,
            "replayed": self.replayed,
            "checks": [dict(check) for check in self.checks],
            "hosts": dict(self.hosts),
            "asks": [dict(one) for one in self.asks],
            "next": list(self.next),
            "notes": list(self.notes),
        }
