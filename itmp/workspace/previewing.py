"""Previews: what a plan would change on its real hosts, by check mode, for those who decide about it.

Rules kept here: a preview has no effect and needs no permit; it is never part of the plan, and nothing is judged by
it. Steps are asked by check mode, undo steps too (from the present state, so before the run), checks by asking once.
What it found (file contents may be in it) lies in `.itmp/private/`, where it can be deleted; the log gets counts
and a salted commitment, whose salt lies beside the content. With a signer's key a signed `preview` statement stands in
the event; without, it is the executor's word alone, and says so. Its age is shown, and whether hosts, variables or
present values moved since.
"""

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from shutil import rmtree
from typing import Any, Final

from itmp.adapters.clock import SystemClock, new_id
from itmp.adapters.private import PREVIEW, PRIVATE
from itmp.audit import Event
from itmp.canonical import Digest, digest, dumps
from itmp.change import World, moved_since
from itmp.errors import Error, EvidenceInvalidError
from itmp.execution import conform
from itmp.execution.conformance import Conformance
from itmp.execution.doors import Action, ActionResult, Phase, Room, Slice
from itmp.plan import AnsibleStep, AskStep, CheckStep, Host, Plan, PulumiStep, WaitStep, all_steps
from itmp.signing import Signed, Statement
from itmp.workspace import changes, foreseen, gatekeeping
from itmp.workspace.foreseen import Preview, Seen, WorldSeen, some
from itmp.workspace.place import EXECUTOR, Workspace

__all__ = ["Preview", "Seen", "WorldSeen", "preview", "preview_lines", "previewed", "signed_lines"]

_ID: Final = re.compile(r"[0-9a-f]{32}\Z", re.ASCII)
MAX_DIFF: Final = 20_000
"""Characters kept of one task's difference on one host."""
_DOMAIN: Final = b"itmp/commit/v1\0"
_OUTCOMES: Final = {"ok": "unchanged", "changed": "changed", "skipped": "skipped"}
_MAX_WHY: Final = 500


def preview(place: Workspace, plan: Plan, *, key: str | None = None, given: Signed | None = None) -> Preview:
    """Ask every step's hosts what it would change, and every check how it finds them; keep and log what they say.

    With `key` a `preview` statement is signed first; `given` is one that was signed elsewhere. A stack's operations
    stand in the plan itself. Hosts that cannot be reached are told as such.
    """
    given = given or (_sign(place, plan, key) if key is not None else None)
    signer = Statement.parse(given.text).fields["signer"] if given else ""
    eye = _Eye(plan)
    room = Room(folder=place.runs / f"preview-{new_id()}", token=secrets.token_hex(16), run="preview")
    notes = list(_beforehand(plan))
    for step, phase in _steps(plan):
        notes += _one(
            place, plan, Slice(key=step.id, step=step, hosts=step.hosts, phase=phase), room=room, eye=eye
        )
    rmtree(room.folder, ignore_errors=True)
    made = Preview(
        plan=plan.digest,
        at=SystemClock().now().replace(microsecond=0),
        by=signer,
        world=_world(gatekeeping.world(place, plan)),
        seen=tuple(eye.seen),
        notes=tuple(notes),
    )
    _keep(place, made, given)
    return made


def previewed(place: Workspace, plan: Plan) -> Preview | None:
    """Return the newest preview of this plan that is kept, was not redacted, and whether the world moved since."""
    from itmp.adapters.index import Query  # noqa: PLC0415 - one caller
    from itmp.inquiry.contents import previews_in  # noqa: PLC0415 - as above

    reading = place.reading()
    newest = Query(few=True, types=("plan.previewed",), newest=True)
    done = reading.index.leaves(Query(few=True, types=("redaction.done",)))
    redacted = {name for leaf in done for name in previews_in(leaf.event.data or {})}
    for leaf in reading.index.leaves(newest):
        if leaf.event.plan == plan.digest and leaf.event.id not in redacted:  # a backup may bring one back
            found = _kept(place, leaf.event)
            if found is not None:
                return _compared(place, plan, found)
    return None


def preview_lines(found: Preview, *, diffs: bool = False, now: datetime | None = None) -> Iterator[str]:
    """Yield the preview for an approver: age, what moved, counts, then tasks by step, hosts that agree on one line."""
    return foreseen.lines(found, now=now or SystemClock().now(), diffs=diffs)


def signed_lines(plan: Plan) -> Mapping[str, str]:
    """Return the own lines of a `preview` statement: it names the plan and no change."""
    return {"change": "-", "plan": plan.digest, "request": "-", "limit": "-"}


def _steps(plan: Plan) -> Iterator[tuple[AnsibleStep | CheckStep, Phase]]:
    """Yield the steps that can be asked, in order."""
    undo = {id(step) for step in plan.manifest.undo}
    for step in all_steps(plan.manifest):
        if isinstance(step, AnsibleStep | CheckStep):
            yield step, "undo" if id(step) in undo else "do"


class _Eye:
    """The observer of a preview: holds actions against the plan, keeps what would happen."""

    def __init__(self, plan: Plan) -> None:
        self.seen: list[Seen] = []
        self.part: Slice | None = None
        self._plan = plan
        self._rules: Conformance | None = None

    def begin(self, part: Slice) -> None:
        """Turn to the next step."""
        self.part, self._rules = part, Conformance(self._plan, part)

    def before(self, action: Action) -> None:
        """Return when the action is the plan's."""
        assert self._rules is not None  # noqa: S101 - set before each step
        self._rules.check(action)

    def after(self, result: ActionResult) -> None:
        """Keep what would happen."""
        assert self.part is not None  # noqa: S101 - as above
        why = str(result.data.get("cannot_know", ""))
        outcome = _OUTCOMES.get(result.outcome, "cannot know")
        if why or result.outcome not in _OUTCOMES:
            outcome, why = "cannot know", why or f"{result.outcome}: {result.message}"
        self.seen.append(
            Seen(
                step=self.part.step.id,
                host=result.host,
                name=result.name,
                action=result.action,
                path=result.path,
                line=result.line,
                outcome=outcome,
                why=why[:_MAX_WHY],
                diff=str(result.data.get("diff", ""))[:MAX_DIFF],
                phase=self.part.phase,
            )
        )

    def found(self, step: CheckStep, host: str, wrong: str) -> None:
        """Keep how a check finds a host."""
        assert self.part is not None  # noqa: S101 - as above
        self.seen.append(
            Seen(
                step=step.id, host=host, name=step.title, action=f"itmp.check.{step.probes[host].kind}", path="",
                line=0, outcome="fails" if wrong else "passes", why=wrong[:_MAX_WHY], phase=self.part.phase,
            )
        )  # fmt: skip


def _one(place: Workspace, plan: Plan, part: Slice, *, room: Room, eye: _Eye) -> tuple[str, ...]:
    eye.begin(part)
    step, before = part.step, len(eye.seen)
    try:
        if isinstance(step, CheckStep):
            _check(plan, part, step, eye)
        else:
            from itmp.workspace.engines import previewer  # noqa: PLC0415 - needs the ansible extra

            previewer(place).preview(plan, part, room=room, observer=eye)
    except Error as error:
        return (f"{step.id}: cannot know: {error.what}",)
    heard = {one.host for one in eye.seen[before:]}
    silent = [host for host in part.hosts if host not in heard]
    return (f"{step.id}: cannot know: no answer from {some(silent)}",) if silent else ()


def _check(plan: Plan, part: Slice, step: CheckStep, eye: _Eye) -> None:
    """Ask once from here what the check will ask; each question is held against the plan first."""
    from itmp.adapters.probes import verdicts  # noqa: PLC0415 - only plans with checks need it

    for host, probe in step.probes.items():
        conform(plan, part, Action(id=f"{step.id}@{host}", host=host, action=f"itmp.check.{probe.kind}"))
    for host, wrong in verdicts(step).items():
        eye.found(step, host, wrong)


def _beforehand(plan: Plan) -> Iterator[str]:
    """Name what no check mode can tell."""
    for step in all_steps(plan.manifest):
        if isinstance(step, PulumiStep):
            yield f"{step.id}: the stack's operations stand in the plan"
        elif isinstance(step, AnsibleStep):
            yield from (f"{step.id}: outside the plan's bytes: {one}" for one in step.outside)
            yield from (f"{step.id}: cannot know what the include brings: {one}" for one in step.opaque)
        elif isinstance(step, AskStep | WaitStep):
            yield f"{step.id}: {step.kind}s during the run; a preview does not"
    yield from (f"{name}: only where {guard}" for name, guard in plan.manifest.guards.items())
    if any(isinstance(step, AnsibleStep) for step in plan.manifest.undo):
        yield "undo: told from the present state, not from what the run will leave"


def _compared(place: Workspace, plan: Plan, found: Preview) -> Preview:
    """Look at the world again: what has moved since the preview, and what is no longer as the plan has it."""
    from itmp.workspace.engines import need  # noqa: PLC0415 - only where there is a preview

    try:
        if plan.manifest.inventory is not None:
            need("ansible_runner", "ansible")
        now = gatekeeping.world(place, plan)
    except Error as error:
        now = World(problems=(error.what,))
    return replace(found, moved=found.world.moved_to(_world(now)), stale=moved_since(plan.manifest, now))


def _world(found: World) -> WorldSeen:
    return WorldSeen(
        hosts={host.name: digest(dumps(_host(host))) for host in found.hosts or ()},
        present={" ".join(key): value for key, value in found.present.items()},
        problems=found.problems,
    )


def _host(host: Host) -> list[Any]:
    return [host.name, host.address, host.port, list(host.groups), host.vars]


def _sign(place: Workspace, plan: Plan, key: str) -> Signed:
    _, signed, _ = changes.sign_act(place, "preview", lambda _: signed_lines(plan), key)
    return signed


def _keep(place: Workspace, made: Preview, given: Signed | None) -> None:
    name, salt = new_id(), secrets.token_bytes(32)
    content = json.dumps(made.to_json(diffs=True), sort_keys=True).encode()
    private = place.state / PRIVATE
    private.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(private / f"{PREVIEW}{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(salt + content)
    counts = {key.replace(" ", "_"): count for key, count in made.counts().items()}
    data = {"preview": _commitment(salt, content), **counts, **(given.to_data() if given else {})}
    data |= {} if made.by else {"assurance": "self-attested"}
    place.log.append(
        Event(
            id=name,
            type="plan.previewed",
            actor=dict(EXECUTOR),
            on_behalf_of=made.by,
            plan=made.plan,
            data=data,
        )
    )
    place.log.checkpoint()


def _kept(place: Workspace, event: Event) -> Preview | None:
    """Return the kept content of a preview's event; None when it was deleted."""
    file = place.state / PRIVATE / f"{PREVIEW}{event.id}"
    if not _ID.match(event.id) or not file.is_file():
        return None
    data = file.read_bytes()
    salt, content = data[:32], data[32:]
    if _commitment(salt, content) != (event.data or {}).get("preview"):
        raise EvidenceInvalidError(
            "a preview's content is not what was logged",
            where=event.id,
            do="Make a new one: itmp plan --preview.",
        )
    value = json.loads(content)
    return Preview.from_json(value) if value.get("schema") == foreseen.SCHEMA else None


def _commitment(salt: bytes, content: bytes) -> Digest:
    """Return the salted commitment of the log's formats; the pointer of a whole document is empty."""
    return Digest("sha256:" + hashlib.sha256(_DOMAIN + salt + content).hexdigest())
