"""What a run writes into the log: one method per event, and how durable each one is.

Rules kept here: intents, the run's own beginning and end, and barriers are durable before the method returns;
results between them ride along. An intent is compare-and-append on the change's head: whatever landed
meanwhile makes us repeat the checks, so that a stranger's event stops nobody and a revocation is never
overlooked. Text from targets is cut to size and made valid before it is written: a hostile message must not
cost us the result.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from itmp import canonical
from itmp.audit import Expect, HeadMovedError, Receipt
from itmp.audit.event import OUTCOMES, Event
from itmp.canonical import Digest
from itmp.change import Permit
from itmp.errors import BusyError, Error, RefusedError
from itmp.execution.accounting import HostState
from itmp.execution.conformance import targets
from itmp.execution.doors import Action, ActionResult, Answer, Journal, Seal, Slice
from itmp.plan import AnsibleStep, AskStep, CheckStep, PulumiStep, WaitStep

MAX_INLINE: Final = 500  # hosts named in a leaf; beyond, a digest and a blob (docs/formats/events.md)
_MAX_BYTES: Final = 24 * 1024  # of one value in a leaf, whose limit is 60 KiB
_MAX_TEXT: Final = 1000  # characters of one line for people
_MAX_DIFF: Final = 64 * 1024  # characters of a diff, which is kept outside the log
_MAX_DEPTH: Final = 16  # of structured values; deeper ones are kept as text
_MAX_ATTEMPTS: Final = 64  # a change's head that moves faster than we can judge belongs to a busy change


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who writes: the executor account, the person on whose behalf, and the digest of the code that runs."""

    actor: Mapping[str, str]
    on_behalf_of: str = ""
    itmp: str = ""


class Recorder:
    """Writes one run's events into `journal`."""

    def __init__(
        self,
        journal: Journal,
        *,
        permit: Permit,
        author: Author,
        environment: str,
        ids: Callable[[], str],
        seal: Seal | None = None,
    ) -> None:
        self._journal, self._permit, self._author = journal, permit, author
        self._environment, self._ids, self._seal = environment, ids, seal

    def begun(self, *, resumed: bool, asked: Mapping[str, Any] | None = None) -> None:
        """Use the permit up: write that the run starts, and what a person asked of a resume.

        Raise `RefusedError` when it has been used before.
        """
        kind = "run.resumed" if resumed else "run.started"
        data = {"permit": self._permit.leaf, **(asked or {})}
        self._claim(self._event(kind, data=data), self._refuse_used_permit)

    def slice_intended(
        self, part: Slice, check: Callable[[], None], *, until: str = "", passed: str = ""
    ) -> Digest:
        """Write a slice's durable intent once `check` holds on the change's newest leaf; return its hash.

        `until` is when a wait ends; `passed` says why nothing of the slice will be done.
        """
        data = {
            "slice": part.key,
            "work": work_digest(part),
            "permit": self._permit.leaf,
            **self._fit("hosts", list(part.hosts)),
            **(self._fit("owed", _plain(dict(part.owed))) if part.owed else {}),
            **({"until": until} if until else {}),
            **({"passed": _text(passed)} if passed else {}),
        }
        event = self._event("slice.intended", step=part.step.id, phase=part.phase, data=data)
        return self._claim(event, check).hash

    def action_intended(self, part: Slice, intent: Digest, action: Action) -> Digest:
        """Write the durable intent of one resource operation; return its hash."""
        data = self._fit("inputs", _plain(_inputs(part, action)))
        event = self._event(
            "action.intended",
            step=part.step.id,
            phase=part.phase,
            intent=intent,
            action=_text(action.action),
            target=self._target(part, action.host),
            data=data,
        )
        return self._journal.append(event).hash

    def action_finished(self, part: Slice, intent: Digest, result: ActionResult) -> None:
        """Write one result; it becomes durable with the slice's barrier."""
        check = isinstance(part.step, CheckStep)
        data: dict[str, Any] = {"message": _text(result.message)}
        if not check:
            data |= {"path": _text(result.path), "line": result.line, "name": _text(result.name)}
            data |= {"delegate": _text(result.delegate)} if result.delegate else {}
            data |= self._fit("more", _plain(dict(result.data))) if result.data else {}
        diff, lost = self._sealed("/diff", result.diff)
        data |= lost
        event = self._event(
            "check.finished" if check else "action.finished",
            step=part.step.id,
            phase=part.phase,
            intent=intent,
            action=_text(result.action),
            target=self._target(part, result.host),
            outcome=result.outcome if result.outcome in OUTCOMES else "unknown",
            rc=result.rc if isinstance(result.rc, int) and abs(result.rc) <= canonical.MAX_INT else None,
            diff=diff,
            data=data,
        )
        self._journal.append(event, durable=False)

    def answered(self, part: Slice, intent: Digest, answer: Answer, outcome: HostState) -> None:
        """Write, durably, that the question of `part` is answered, and by which statement."""
        data = {"value": answer.value, "statement": answer.leaf}
        self._journal.append(self._word("ask.answered", part, intent, outcome, data))

    def waited(self, part: Slice, intent: Digest, until: str) -> None:
        """Write that the wait of `part` is over; it becomes durable with the slice's barrier."""
        event = self._word("check.finished", part, intent, "ok", {"message": f"waited until {until}"})
        self._journal.append(event, durable=False)

    def _word(
        self, kind: str, part: Slice, intent: Digest, outcome: HostState, data: Mapping[str, Any]
    ) -> Event:
        return self._event(
            kind,
            step=part.step.id,
            phase=part.phase,
            intent=intent,
            action=f"itmp.{part.step.kind}",
            target=self._target(part, targets(part)[0]),
            outcome=outcome,
            data=data,
        )

    def slice_finished(
        self, part: Slice, intent: Digest, states: Mapping[str, HostState], *, stopped: bool = False
    ) -> None:
        """Write a slice's end, durably: everything before it is durable too. `stopped`: on request, half-way."""
        data = {"slice": part.key, **self._fit("hosts", dict(states))}  # of a stack: its resources
        data |= {"stopped": True} if stopped else {}
        self._journal.append(
            self._event("slice.finished", step=part.step.id, phase=part.phase, intent=intent, data=data)
        )

    def run_stopped(self, why: str, *, code: int) -> None:
        """Write why no further ordinary slice starts; `code` is the exit code of what stopped it."""
        self._journal.append(self._event("run.stopped", data={"why": _text(why), "exit_code": code}))

    def run_finished(
        self, state: str, *, hosts: Mapping[str, HostState], resources: Mapping[str, HostState]
    ) -> None:
        """Write the end of the run and what became of every target."""
        data = {"state": state, **self._fit("hosts", dict(hosts))}
        if resources:
            data |= self._fit("resources", dict(resources))
        self._journal.append(self._event("run.finished", outcome=_run_outcome(state), data=data))

    def reconciled(self, part: Slice, intent: Digest, target: str, *, outcome: HostState, probe: str) -> None:
        """Write what a probe found out about a target whose outcome was unknown."""
        event = self._event(
            "action.reconciled",
            step=part.step.id,
            phase=part.phase,
            intent=intent,
            target=self._target(part, target),
            outcome=outcome,
            data={"probe": probe, "slice": part.key},
        )
        self._journal.append(event)

    def _claim(self, event: Event, check: Callable[[], None]) -> Receipt:
        for _ in range(_MAX_ATTEMPTS):
            # The head comes before the checks: whatever lands after it makes the append fail.
            head = self._journal.head_of(self._permit.change)
            check()
            try:
                return self._journal.append(event, expect=Expect(change=self._permit.change, head=head))
            except HeadMovedError:
                continue
        raise BusyError(
            "the change's record moves faster than its checks",
            where=self._permit.change,
            do="Try again later.",
        )

    def _refuse_used_permit(self) -> None:
        for leaf in self._journal.of_change(self._permit.change):
            event = leaf.event
            if (
                event.type in {"run.started", "run.resumed"}
                and (event.data or {}).get("permit") == self._permit.leaf
            ):
                raise RefusedError(
                    "this permit has been used", where=self._permit.change, do="Ask the gate for a new one."
                )

    def _event(self, kind: str, **more: Any) -> Event:
        permit, author = self._permit, self._author
        return Event(
            id=self._ids(),
            type=kind,
            actor=dict(author.actor),
            on_behalf_of=author.on_behalf_of,
            itmp=author.itmp,
            change=permit.change,
            plan=permit.plan,
            run=permit.run,
            **more,
        )

    def _target(self, part: Slice, target: str) -> dict[str, str]:
        kind = {"pulumi": "resource", "ask": "ask", "wait": "wait"}.get(part.step.kind, "host")
        return {"kind": kind, "id": _text(target), "env": self._environment}

    def _sealed(self, pointer: str, text: str) -> tuple[str, dict[str, str]]:
        """Return the commitment to `text`; that it could not be kept must not cost us the result."""
        if not text or self._seal is None:
            return "", {}
        try:
            return self._seal(pointer, _text(text, _MAX_DIFF)), {}
        except Error as error:
            return "", {"diff_lost": _text(error.what)}

    def _fit(self, name: str, value: Any) -> dict[str, Any]:
        data = canonical.dumps(value)
        if len(value) <= MAX_INLINE and len(data) <= _MAX_BYTES:
            return {name: value}
        blob = self._journal.put_blob(data)
        return {f"{name}_digest": canonical.digest(data), f"{name}_blob": blob}


def work_digest(part: Slice) -> Digest:
    """Return the digest of hosts and expected work: canonical JSON `{"hosts": […], "work": [[…], …]}`.

    A line of work is [path, line, action] for Ansible, [urn, op] for Pulumi, [host, kind of probe] for a
    check, [ask, question, type of answer, choices…] for a question, [wait, seconds, until] for a wait.
    """
    work: list[list[Any]]
    match part.step:
        case AnsibleStep(expected=expected):
            work = [[task.path, task.line, task.action] for task in expected]
        case PulumiStep(operations=operations):
            work = [[operation.urn, operation.op] for operation in operations]
        case CheckStep(probes=probes):
            work = [[host, probes[host].kind] for host in part.hosts if host in probes]
        case AskStep(question=question, answer=answer, choices=choices):
            work = [["ask", question, answer, *choices]]
        case WaitStep(seconds=seconds, until=until):
            work = [["wait", seconds, until]]
    return canonical.digest(canonical.dumps({"hosts": list(part.hosts), "work": work}))


def _run_outcome(state: str) -> str:
    return {"succeeded": "ok", "unknown": "unknown"}.get(state, "failed")


def _inputs(part: Slice, action: Action) -> dict[str, list[Any]]:
    """Return old and new of each input: as the engine says, else as it was approved."""
    names = sorted({*action.before, *action.after})
    if names or not isinstance(part.step, PulumiStep):
        return {name: [action.before.get(name), action.after.get(name)] for name in names}
    for operation in part.step.operations:
        if operation.urn == action.host:
            return {name: [change.old, change.new] for name, change in operation.inputs.items()}
    return {}


def _text(value: str, limit: int = _MAX_TEXT) -> str:
    text = str(value)
    return (text if text.isascii() else text.encode("utf-8", "replace").decode())[:limit]


def _plain(value: Any, depth: int = 0) -> Any:
    """Return `value` within the canonical subset: other numbers as text, ASCII keys, bounded depth."""
    match value:
        case None | bool():
            return value
        case int() if abs(value) <= canonical.MAX_INT:
            return value
        case Mapping() if depth < _MAX_DEPTH:
            return {_ascii(key): _plain(item, depth + 1) for key, item in value.items()}
        case list() | tuple() if depth < _MAX_DEPTH:
            return [_plain(item, depth + 1) for item in value]
        case _:
            return str(value).encode("utf-8", "replace").decode()


def _ascii(key: Any) -> str:
    return str(key).encode("ascii", "backslashreplace").decode()
