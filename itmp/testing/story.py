"""A complete change told into a log: genesis, request, votes, run, results, close.

Rules kept here: every statement is composed and signed as a client does it, every permit comes from the
real gate, and the executor's events are those of docs/formats/events.md; nothing is written that an honest
installation could not write, except where a test says `**lies`. The same arguments tell the same story,
byte for byte.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from itmp.audit import Event, Receipt
from itmp.calendars import format_time
from itmp.canonical import Digest
from itmp.change import (
    Admission,
    ChangeRecord,
    GateInput,
    NeedsWorld,
    Permit,
    Refusal,
    World,
    fold,
    hosts_digest,
    judge,
    permit_event,
    skim,
    steps_digest,
)
from itmp.change.policy import SYNCHRONISED
from itmp.change.statements import type_of
from itmp.evidence import build
from itmp.execution.doors import Slice
from itmp.execution.record import work_digest
from itmp.plan import AnsibleStep, Plan, scope, slices, targets
from itmp.signing import Signed, change_id, lines_of
from itmp.testing.signed_log import EMPTY, EXECUTOR, ORIGIN, START, SignedLog
from itmp.testing.small_plans import PLAYBOOK, small_plan

__all__ = ["EMPTY", "EXECUTOR", "ORIGIN", "PLAYBOOK", "START", "Story", "small_plan"]


class Story(SignedLog):
    """A change over a plan, in a log, and the people who act on it. Every method writes what its name says."""

    def __init__(self, *, plan: Plan | None = None, **log: Any) -> None:
        """Found a log as `SignedLog` does, for a change over `plan`."""
        self.plan = plan or small_plan()
        self.change = ""
        super().__init__(**log)

    @property
    def record(self) -> ChangeRecord:
        """The change's record as it stands."""
        return fold(
            self.log.of_change(self.change), self.history, manifest=self.plan.manifest, now=self.clock.now()
        )

    def told_twice(self) -> tuple[ChangeRecord, ...]:
        """Return the record, and the same as a skim tells it: equal, once results are left out of both, as they are."""
        about: dict[str, Any] = {
            "manifest": self.plan.manifest,
            "now": self.clock.now(),
            "blob": self.log.blob,
        }
        leaves = self.log.of_change(self.change)
        return tuple(_resultless(read(leaves, self.history, **about)) for read in (fold, skim))

    @property
    def request(self) -> str:
        """The leaf hash of `change.opened`."""
        return self.log.of_change(self.change)[0].hash

    # Statements

    def act(self, act: str, who: str, *, data: Mapping[str, Any] | None = None, **lies: str) -> Receipt:
        """Have `who` sign `act` on the change and record it; `lies` replace lines."""
        fields = self._lines(act) | lies
        signed = self.sign(act, who, **fields)
        return self.record_signed(act, who, signed, data=data)

    def record_signed(
        self, act: str, who: str, signed: Signed, *, data: Mapping[str, Any] | None = None, change: str = ""
    ) -> Receipt:
        """Record a signed statement in the leaf of its act."""
        actor = {"kind": "human", "id": self.people[who].name}
        body = {**signed.to_data(), **(data or {})}
        event = Event(
            id=self.id(),
            type=type_of(act),
            actor=actor,
            change=change or self.change,
            plan=self.plan.digest,
            data=body,
        )
        return self.write(event)

    def _lines(self, act: str) -> dict[str, str]:
        known = {
            "role": "approver" if act in {"approve", "reject", "revoke"} else "sre",
            "plan": self.plan.digest,
            "scope": scope(self.plan.manifest).text,
            "window": "-",
            "type": "normal",
            "reason": "nginx leaks memory",
            "external": "-",
            "limit": "-",
            "change": self.change,
        }
        if self.change:
            opened = self.log.of_change(self.change)[0]
            lines = dict(
                line.partition(" ")[::2] for line in str((opened.event.data or {})["text"]).splitlines()
            )
            known |= {"request": opened.hash, "window": lines["window"]}
        return {name: value for name, value in known.items() if name in lines_of(act)}

    def open(self, who: str = "alice", **lies: str) -> str:
        """Open the change for the plan, whose bytes the log keeps; return its id."""
        for data in (*self.plan.artifacts.values(), self.plan.manifest_bytes):
            self.log.put_blob(data)
        signed = self.sign("open", who, **(self._lines("open") | lies))
        self.change = change_id(signed)
        self.record_signed("open", who, signed)
        return self.change

    # The gate

    def ask(self, mode: Any, start: Digest | None = None, world: World | None = None) -> Any:
        """Ask the gate as it stands now."""
        return judge(
            GateInput(
                mode=mode,
                plan=self.plan,
                record=self.record,
                history=self.history,
                health=self.log.health(self.clock.now()),
                now=self.clock.now(),
                start=start,
                world=world,
            )
        )

    def world(self) -> World:
        """Return the world as the plan found it."""
        inventory = self.plan.manifest.inventory
        return World(hosts=inventory.hosts if inventory else None)

    def admit(self, who: str = "alice", mode: str = "run", **lies: str) -> Admission | Refusal | NeedsWorld:
        """Have `who` sign the start and ask the gate, world included."""
        start = self.act(mode, who, data=None, **lies)
        return self.ask(mode, start.hash, self.world())  # type: ignore[no-any-return]

    def permit(
        self,
        who: str = "alice",
        mode: str = "run",
        *,
        run: str = "run-1",
        custody: str = "namespaces",
        **lies: str,
    ) -> Permit:
        """Have the start admitted and its permit issued; raise the refusal otherwise."""
        admission = self.admit(who, mode, **lies)
        if not isinstance(admission, Admission):
            raise admission.to_error(self.change) if isinstance(admission, Refusal) else TypeError("no world")
        event = permit_event(
            admission,
            id=self.id(),
            run=run,
            manifest=self.plan.manifest,
            actor=EXECUTOR,
            binaries={"python": "3.11", "custody": custody, **self._clock_said(mode)},
        )
        return Permit.from_receipt(self.write(event))

    def _clock_said(self, mode: str) -> dict[str, str]:
        demanded = mode != "undo" and self.history.latest.policy.clock_demanded
        return {"clock": SYNCHRONISED} if demanded else {}

    def force(self, who: str = "alice", mode: str = "run", *, run: str = "run-1", **body: Any) -> Permit:
        """Write a permit that no gate has granted, as a lying owner of the log would; `body` replaces its parts."""
        given = self.act(mode, who, data=None)
        rests = [vote.given.leaf for vote in self.record.votes if vote.approves]
        hosts = targets(self.plan.manifest)
        claimed = {
            "schema": "itmp-permit/v1",
            "change": self.change,
            "plan": self.plan.digest,
            "run": run,
            "mode": mode,
            "limit": list(hosts),
            "hosts": hosts_digest(hosts),
            "steps": steps_digest(self.plan.manifest),
            "policy": self.history.latest.policy.digest,
            "statements": [self.request, *rests, given.hash],
            "binaries": {},
            "not_after": format_time(self.clock.now().replace(microsecond=0) + timedelta(hours=4)),
        } | body
        event = Event(
            id=self.id(),
            type="permit.issued",
            actor=EXECUTOR,
            change=self.change,
            plan=self.plan.digest,
            run=run,
            data={"permit": claimed},
        )
        return Permit.from_receipt(self.write(event))

    # The executor

    def execute(self, permit: Permit, *, outcome: str = "changed", state: str = "succeeded") -> None:
        """Carry the whole plan out, every host ending in `outcome`."""
        self.say(
            permit, "run.resumed" if permit.mode == "resume" else "run.started", data={"permit": permit.leaf}
        )
        for step in self.steps():
            self.slice(permit, step, outcome=outcome)
        hosts = dict.fromkeys(targets(self.plan.manifest), outcome)
        kind = "ok" if state == "succeeded" else "failed"
        self.say(permit, "run.finished", outcome=kind, data={"state": state, "hosts": hosts})

    def steps(self) -> tuple[AnsibleStep, ...]:
        """Return the plan's Ansible steps."""
        return tuple(step for step in self.plan.manifest.steps if isinstance(step, AnsibleStep))

    def slice(
        self,
        permit: Permit,
        step: AnsibleStep,
        *,
        hosts: Sequence[str] = (),
        outcome: str = "changed",
        phase: str = "do",
    ) -> Receipt:
        """Intend, do and finish one slice of the plan, on `hosts` or on all that the permit covers."""
        hosts = hosts or [host for host in step.hosts if permit.covers(host)]
        intent = self.intend(permit, step, hosts, phase=phase)
        for host in hosts:
            self.result(permit, step, intent.hash, host, outcome=outcome, phase=phase)
        self.say(
            permit,
            "slice.finished",
            step=step.id,
            phase=phase,
            intent=intent.hash,
            data={"slice": self._key(step, hosts, phase), "hosts": dict.fromkeys(hosts, outcome)},
        )
        return intent

    def intend(
        self, permit: Permit, step: AnsibleStep, hosts: Sequence[str], *, phase: str = "do"
    ) -> Receipt:
        """Write the intent of one slice."""
        key = self._key(step, hosts, phase)
        work = work_digest(Slice(key=key, step=step, hosts=tuple(hosts)))
        data = {"slice": key, "hosts": list(hosts), "work": work, "permit": permit.leaf}
        return self.say(permit, "slice.intended", step=step.id, phase=phase, data=data)

    def _key(self, step: AnsibleStep, hosts: Sequence[str], phase: str) -> str:
        """Return the key of the slice of the plan that does `step` on `hosts`."""
        name = f"undo:{step.id}" if phase == "undo" else step.id
        parts = slices(self.plan.manifest, "undo" if phase == "undo" else "do")
        found = [part for part in parts if part.step.id == step.id and set(hosts) <= set(part.hosts)]
        return f"{name}@{found[0].batch}" if found and found[0].batch else name

    def result(
        self,
        permit: Permit,
        step: AnsibleStep,
        intent: str,
        host: str,
        *,
        outcome: str = "changed",
        phase: str = "do",
    ) -> Receipt:
        """Write what one task did on one host."""
        task = step.expected[0]
        return self.say(
            permit,
            "action.finished",
            step=step.id,
            phase=phase,
            intent=intent,
            action=task.action,
            target={"kind": "host", "id": host},
            outcome=outcome,
            rc=0,
            data={"path": task.path, "line": task.line, "name": task.name, "message": ""},
        )

    def say(self, permit: Permit, type: str, **fields: Any) -> Receipt:  # noqa: A002 - the event's own word
        """Write one of the executor's events of a run."""
        return self.write(
            Event(
                id=self.id(),
                type=type,
                actor=EXECUTOR,
                change=self.change,
                plan=self.plan.digest,
                run=permit.run,
                **fields,
            )
        )

    def close(self, who: str = "alice", **lies: str) -> Receipt:
        """Close the change, committing all its events."""
        signed = self.sign("close", who, **(self._lines("close") | lies))
        count, root = self.log.commitment(self.change)
        return self.record_signed("close", who, signed, data={"count": count, "root": root})

    def evidence(self, since: bytes | None = None) -> bytes:
        """Publish a checkpoint and return the change's evidence."""
        self.log.checkpoint()
        return build(self.log, self.change, since=since)

    def tell(self, *, approvers: Sequence[str] = ("bob",), runner: str = "alice") -> "Story":
        """Tell the whole of it: open, approve, run, close."""
        self.open()
        for name in approvers:
            self.act("approve", name)
        self.execute(self.permit(runner))
        self.close()
        return self


def _resultless(record: ChangeRecord) -> ChangeRecord:
    runs = (
        replace(run, slices=tuple(replace(part, results=()) for part in run.slices)) for run in record.runs
    )
    return replace(record, runs=tuple(runs))
