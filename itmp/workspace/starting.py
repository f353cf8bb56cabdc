"""How a run, a resume or an undo is started: by a key that signs now, or by a statement that was recorded before.

Rules kept here: a recorded start is the newest one of its act that was signed elsewhere and taken in, that counts, that
no permit rests on and that is valid now (a start that somebody signed here, and that the gate refused, was for then);
its own `limit` line says which hosts, and nobody adds to it; whether it may start anything is the gate's question.
A change runs once: whoever asks for a run on other hosts than its run's is told so, whether it is over or under way.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from itmp.adapters.clock import SystemClock
from itmp.canonical import Digest
from itmp.change import ChangeRecord, Given, RunRecord, hosts_digest
from itmp.errors import InvalidInputError, NotFoundError
from itmp.plan import Plan, targets
from itmp.workspace import changes
from itmp.workspace.narrowing import Limit, chosen_hosts, kept_limit, read_limit
from itmp.workspace.place import Workspace

if TYPE_CHECKING:
    from itmp.execution import Progress
    from itmp.workspace.gatekeeping import Mode

Now: TypeAlias = Literal["going", "left", "over"]
"""Whether another process carries a run out, nobody does though it has not ended, or it has ended."""
_NOW: Final[Mapping[Now, str]] = {
    "going": "another process runs {0}",
    "left": "{0} has a run that has not ended,",
    "over": "{0} has run already,",
}
_INSTEAD: Final[Mapping[Now, str]] = {
    "going": "Follow it: itmp run {0}; or stop it: itmp stop {0} --reason TEXT",
    "left": "Take it up with: itmp resume {0}; for other hosts, close it after that, and open a new one.",
    "over": "For other hosts close it (itmp change close {0} --reason TEXT), and open a new one over its plan: "
    "itmp change open {0} --reason TEXT",
}
RESUMABLE: Final = frozenset({"admitted", "running", "stopped", "unknown", "failed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who starts it and how: `key` signs now, `recorded` takes a statement that stands in the log.

    `patience` is how many seconds to wait for another change that holds a target.
    """

    key: str | None
    recorded: bool
    patience: float
    progress: "Progress"

    def refuse_words(self, *given: object) -> None:
        """Raise `InvalidInputError` when a recorded statement is to be used and something is asked besides."""
        if self.recorded and (self.key or any(word not in (None, ()) for word in given)):
            raise InvalidInputError(
                "a recorded statement says itself who starts it and on which hosts",
                do="Leave out --key and what narrows hosts, or leave out --recorded.",
            )


def recorded_start(place: Workspace, record: ChangeRecord, act: "Mode") -> Given:
    """Return the newest recorded statement that may start `act`; `NotFoundError` when there is none."""
    now, policy = SystemClock().now(), place.history().latest.policy.digest
    used = {leaf for permit in record.permits for leaf in permit.body.get("statements", ())}
    fresh = [
        given
        for given in record.starts
        if given.act == act
        and given.leaf not in used
        and (place.log.leaf(given.index).event.data or {}).get("offline") is True
        and given.statement.valid[0] <= now <= given.until
        and given.line("policy") == policy
    ]
    if not fresh:
        raise NotFoundError(
            f"no recorded `{act}` statement of {record.id} is valid now and unused",
            do=f"Write one: itmp statement {record.id} --act {act} --signer ID; sign it; itmp statement add TEXT SIG",
        )
    return fresh[-1]


def wanted_hosts(
    place: Workspace, change: str, plan: Plan, limit: str | None, asked: Asked
) -> tuple[str, ...] | None:
    """Return the hosts on which a `run` would run a change (none: all); `None` where it does not say."""
    if limit is not None:
        return chosen_hosts(plan, limit)
    if asked.recorded:
        with suppress(NotFoundError):  # used already: by the run that is followed
            return limit_of(plan, recorded_start(place, changes.find(place, change), "run")).hosts
    return None


def refuse_other_hosts(
    plan: Plan, record: ChangeRecord, run: RunRecord, wanted: tuple[str, ...] | None, *, now: Now
) -> None:
    """Raise `InvalidInputError` where `wanted` (see `wanted_hosts`) is neither what `run` was asked for nor has.

    The two differ where the plan lets hosts be gone.
    """
    body, everyone = run.permits[0].body, targets(plan.manifest)
    start = record.start_of(body["statements"][-1])
    same = {body["hosts"], *({hosts_digest(limit_of(plan, start).hosts or everyone)} if start else ())}
    if wanted is None or hosts_digest(wanted or everyone) in same:
        return
    asked = () if wanted == everyone else wanted
    raise InvalidInputError(
        f"{_NOW[now].format(record.id)} {on_hosts(kept_limit(plan, run))}, and this asks to run it {on_hosts(asked)}",
        where=f"run {run.id}",
        do="A change runs once. " + _INSTEAD[now].format(record.id),
    )


def on_hosts(hosts: tuple[str, ...]) -> str:
    """Say on which hosts a run is limited to `hosts` (none: all)."""
    return f"on {', '.join(hosts):.200} alone" if hosts else "on all hosts of its plan"


def limit_of(plan: Plan, given: Given, kept: tuple[str, ...] = ()) -> Limit:
    """Return what a recorded start's `limit` line says; `kept` as in `read_limit`."""
    return read_limit(plan, given.line("limit"), kept)


def sign_start(place: Workspace, record: ChangeRecord, act: "Mode", limit: str, key: str | None) -> Digest:
    """Sign the start and record it; return its leaf."""
    own = start_lines(record, limit)
    statement, signed, signer = changes.sign_act(place, act, lambda _: own, key)
    return changes.append_act(place, statement, signed, changes.actor(signer), record).hash


def start_lines(record: ChangeRecord, limit: str) -> Mapping[str, str]:
    """Return the own lines of a start statement."""
    request = changes.request_of(record)
    return {"change": record.id, "plan": request.plan, "request": request.leaf, "limit": limit}


def refuse_start(record: ChangeRecord, act: str) -> None:
    """Raise when `act` cannot start anything on this change, whatever the gate says."""
    changes.refuse_ended(record)
    run, see = record.run, f"See: itmp status {record.id}"
    if act == "resume" and (run is None or run.state not in RESUMABLE):
        raise NotFoundError(f"{record.id} has nothing to resume", do=see)
    if act == "undo" and run is None:
        raise NotFoundError(f"{record.id} has never run: there is nothing to undo", do=see)
