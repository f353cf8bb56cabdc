"""A complete change told into a log: genesis, request, votes, run, results, close.

Rules kept here: every statement is composed and signed as a client does it, every permit comes from the
real gate, and the executor's events are those of docs/formats/events.md; nothing is written that an honest
installation could not write, except where a test says `**lies`. The same arguments tell the same story,
byte for byte.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from itmp.audit import Event, Log, LogStore, Receipt
from itmp.calendars import format_time
from itmp.canonical import Digest, digest
from itmp.change import (
    Admission,
    ChangeRecord,
    GateInput,
    NeedsWorld,
    Permit,
    PolicyHistory,
    Refusal,
    World,
    fold,
    hosts_digest,
    judge,
    permit_event,
    policy_history,
    steps_digest,
    team_policy,
)
from itmp.change.statements import type_of
from itmp.evidence import build
from itmp.execution.doors import Slice
from itmp.execution.record import work_digest
from itmp.plan import AnsibleStep, ExpectedTask, Host, Manifest, Plan, Source, scope, slices, targets
from itmp.plan.model import Inventory, Risk
from itmp.signing import NoteKey, Signed, change_id, lines_of
from itmp.testing.memory_log import MemoryStore, StepClock, counting_ids
from itmp.testing.people import Person

ORIGIN: Final = "example.com/ops/2026"
START: Final = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)
EMPTY: Final = "0 " + base64.b64encode(hashlib.sha256(b"").digest()).decode()
EXECUTOR: Final = {"kind": "executor", "id": "itmp@example.com"}
PLAYBOOK: Final = "project/playbooks/restart.yml"
ROLES: Final[Mapping[str, tuple[str, ...]]] = {
    "alice": ("sre", "owner"),
    "bob": ("approver", "owner", "sre"),
    "carol": ("approver",),
    "dave": ("sre",),
}


def small_plan(
    *,
    hosts: Sequence[str] = ("web1", "web2"),
    environment: str = "production",
    risk: Risk = "low",
    group: str = "web",
    unpinned: Sequence[str] = (),
) -> Plan:
    """Return a plan of two Ansible steps over `hosts`, all in `group`, and one undo step."""
    play = b"- hosts: all\n  tasks:\n  - ansible.builtin.service: {name: nginx, state: restarted}\n"
    task = ExpectedTask(path=PLAYBOOK, line=3, action="ansible.builtin.service", name="Restart nginx")
    names = tuple(hosts)

    def step(name: str) -> AnsibleStep:
        return AnsibleStep(id=name, title=name, playbook=PLAYBOOK, hosts=names, expected=(task,))

    inventory = Inventory(
        sources=("inventories/hosts.yml",),
        snapshot="inventory/snapshot.json",
        unpinned=tuple(unpinned),
        hosts=tuple(
            Host(name=name, address=f"10.0.0.{at}", port=22, groups=(group,), vars=digest(name.encode()))
            for at, name in enumerate(names, 1)
        ),
    )
    manifest = Manifest(
        kind="runbook",
        name="restart-web",
        title="Rolling restart of the web tier",
        owner="team-web",
        environment=environment,
        risk=risk,
        document=Source(path="runbooks/restart.yml", digest=digest(b"document")),
        inputs={},
        steps=(step("drain"), step("restart")),
        undo=(step("back"),),
        artifacts={},
        versions={"ansible-core": "2.19.0"},
        inventory=inventory,
    )
    return Plan.build(manifest, {PLAYBOOK: play, "inventory/snapshot.json": b"{}"})


class Story:
    """A log under an in-memory store and the people who act on it. Every method writes what its name says."""

    def __init__(
        self,
        *,
        store: LogStore | None = None,
        plan: Plan | None = None,
        roles: Mapping[str, tuple[str, ...]] = ROLES,
        policy: bytes | None = None,
        roots: Sequence[str] = ("alice", "bob"),
        key: NoteKey | None = None,
        start: datetime = START,
    ) -> None:
        self.plan = plan or small_plan()
        self.clock = StepClock(start)
        self.people = {name: Person(f"{name}@example.com", "story") for name in roles}
        self.id = counting_ids()
        self.key = key or NoteKey.generate(ORIGIN, hashlib.sha256(b"log key").digest())
        self.log = Log(store or MemoryStore(self.key.name), self.key, self.clock, self.id)
        self.policy_bytes = policy or team_policy(
            {person.name: (person.public.line, roles[name]) for name, person in self.people.items()}
        )
        self.change = ""
        self._history: PolicyHistory | None = None
        self._found(roots)

    @property
    def history(self) -> PolicyHistory:
        """The policy's history as it stands."""
        head = self.log.policy_head()
        if self._history is None or self._history.latest.leaf != head:
            self._history = policy_history(self.log.leaves())
        return self._history

    @property
    def record(self) -> ChangeRecord:
        """The change's record as it stands."""
        return fold(
            self.log.of_change(self.change), self.history, manifest=self.plan.manifest, now=self.clock.now()
        )

    @property
    def request(self) -> str:
        """The leaf hash of `change.opened`."""
        return self.log.of_change(self.change)[0].hash

    def _found(self, roots: Sequence[str]) -> None:
        logkey, policy = self.log.vkey, digest(self.policy_bytes)
        enrolled = [
            self.sign("enrol", name, role="owner", policy=policy, logkey=logkey, previous="-", seen=EMPTY)
            for name in roots
        ]
        data = {
            "schema": "itmp-log/v1",
            "origin": self.key.name,
            "log_key": logkey,
            "previous": None,
            "policy": self.policy_bytes.decode(),
            "statements": [signed.to_data() for signed in enrolled],
        }
        self.write(Event(id=self.id(), type="log.created", actor=EXECUTOR, data=data))

    # Statements

    def sign(self, act: str, who: str, **fields: str) -> Signed:
        """Sign a statement of `act`; every line that is not given is the honest one."""
        now = self.clock.now().replace(microsecond=0)
        nonce = base64.b64encode(hashlib.sha256(self.id().encode()).digest()[:16]).decode()
        common = {
            "log": self.key.name,
            "valid": f"{format_time(now)} {format_time(now + timedelta(hours=12))}",
            "nonce": nonce,
        }
        if "seen" not in fields:
            common["seen"] = self._seen()
        if "policy" not in fields:
            common["policy"] = self.history.latest.policy.digest
        return self.people[who].state(act, {**common, **fields})

    def _seen(self) -> str:
        head = self.log.checkpoint().checkpoint
        return f"{head.size} {base64.b64encode(head.root).decode()}"

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

    def amend(self, new: bytes, by: Sequence[str] = ("alice", "bob"), **lies: str) -> Receipt:
        """Change the policy by the signatures of `by`."""
        old = self.history.latest.policy.digest
        lines = {"role": "owner", "from": old, "to": digest(new)} | lies
        signed = [self.sign("policy", name, **lines) for name in by]
        data = {"policy": new.decode(), "statements": [item.to_data() for item in signed]}
        return self.write(Event(id=self.id(), type="policy.changed", actor=EXECUTOR, data=data))

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
            binaries={"python": "3.11", "custody": custody},
        )
        return Permit.from_receipt(self.write(event))

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

    def write(self, event: Event) -> Receipt:
        """Append any event."""
        return self.log.append(event)

    def trust(self) -> dict[str, bytes]:
        """Return the files of the TRUST folder that `itmp init` would write."""
        return {
            "log.policy": f"log {self.log.vkey}\nquorum none\n".encode(),
            "genesis": f"{self.log.leaf(0).hash}\n".encode(),
        }

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
