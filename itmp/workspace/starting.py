"""How a run, a resume or an undo is started: by a key that signs now, or by a statement that was recorded before.

Rules kept here: a recorded start is the newest one of its act that was signed elsewhere and taken in, that counts, that
no permit rests on and that is valid now (a start that somebody signed here, and that the gate refused, was for then);
its own `limit` line says which hosts, and nobody adds to it; whether it may start anything is the gate's question.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from itmp.adapters.clock import SystemClock
from itmp.canonical import Digest
from itmp.change import ChangeRecord, Given
from itmp.errors import InvalidInputError, NotFoundError
from itmp.plan import Plan
from itmp.workspace import changes
from itmp.workspace.narrowing import Limit, chosen_hosts, read_limit
from itmp.workspace.place import Workspace

if TYPE_CHECKING:
    from itmp.execution import Progress
    from itmp.workspace.gatekeeping import Mode

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
