"""Previews: what a plan would change on its real hosts, by check mode, for those who decide about it.

Rules kept here: a preview has no effect and needs no permit; it is never part of the plan, and nothing is judged by
it. What it found (file contents may be in it) lies in `.itmp/private/`, where it can be deleted; the log gets counts
and a salted commitment, whose salt lies beside the content. With a signer's key a signed `preview` statement stands in
the event; without, it is the executor's word alone, and says so. Its age, and whether the inventory moved since, are
shown.
"""

import hashlib
import json
import os
import re
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from shutil import rmtree
from typing import Any, Final

from itmp.adapters.clock import SystemClock, new_id
from itmp.adapters.private import PRIVATE
from itmp.audit import Event
from itmp.calendars import format_time, parse_time
from itmp.canonical import Digest, digest, dumps
from itmp.errors import Error, EvidenceInvalidError
from itmp.execution import conform
from itmp.execution.doors import Action, ActionResult, Room, Slice
from itmp.plan import AnsibleStep, AskStep, Host, Plan, PulumiStep, WaitStep, all_steps
from itmp.workspace import changes, gatekeeping
from itmp.workspace.place import EXECUTOR, Workspace

SCHEMA: Final = "itmp-preview/v1"
_ID: Final = re.compile(r"[0-9a-f]{32}\Z", re.ASCII)
_SOME: Final = 8
MAX_DIFF: Final = 20_000
"""Characters kept of one task's difference on one host."""
_DOMAIN: Final = b"itmp/commit/v1\0"
_OUTCOMES: Final = {"ok": "unchanged", "changed": "changed", "skipped": "skipped"}
_MAX_WHY: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a task would do on a host: `changed`, `unchanged`, `cannot know` (and `why`), `skipped` by its condition."""

    step: str
    host: str
    name: str
    action: str
    path: str
    line: int
    outcome: str
    why: str = ""
    diff: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """One preview of one plan. `by` is who signed for it, empty for the executor's word alone."""

    plan: str
    at: datetime
    by: str
    world: str
    seen: tuple[Seen, ...]
    notes: tuple[str, ...] = ()
    moved: str = field(default="")

    def counts(self) -> dict[str, int]:
        """Return how many (host, task) pairs would end how."""
        counted = Counter(one.outcome for one in self.seen)
        return {
            name: counted[name]
            for name in ("changed", "unchanged", "cannot know", "skipped")
            if counted[name]
        }

    def to_json(self, *, diffs: bool = False) -> dict[str, Any]:
        """Return it as data, the differences only where they are asked for."""
        seen = [{k: v for k, v in asdict(one).items() if diffs or k != "diff"} for one in self.seen]
        return {
            "schema": SCHEMA,
            "plan": self.plan,
            "at": format_time(self.at),
            "by": self.by,
            "world": self.world,
            "notes": list(self.notes),
            "seen": seen,
        }


def preview(place: Workspace, plan: Plan, *, key: str | None = None) -> Preview:
    """Ask every Ansible step's hosts what it would change; keep and log what they say.

    With `key` a `preview` statement is signed first. Undo steps and checks are not previewed; a stack's operations
    stand in the plan itself. Hosts that cannot be reached are told as such.
    """
    given, signer = _signed(place, plan, key)
    eye = _Eye(plan)
    room = Room(folder=place.runs / f"preview-{new_id()}", token=secrets.token_hex(16), run="preview")
    notes = list(_beforehand(plan))
    for step in (one for one in all_steps(plan.manifest) if one not in plan.manifest.undo):
        if isinstance(step, AnsibleStep):
            notes += _one(place, plan, step, room=room, eye=eye)
    rmtree(room.folder, ignore_errors=True)
    made = Preview(
        plan=plan.digest,
        at=SystemClock().now().replace(microsecond=0),
        by=signer,
        world=_world(place, plan),
        seen=tuple(eye.seen),
        notes=tuple(notes),
    )
    _keep(place, made, given)
    return made


def previewed(place: Workspace, plan: Plan) -> Preview | None:
    """Return the newest preview of this plan that is still kept, and whether the inventory moved since."""
    from dataclasses import replace  # noqa: PLC0415 - one caller

    from itmp.adapters.index import Query  # noqa: PLC0415 - as above

    reading = place.reading()
    newest = Query(few=True, types=("plan.previewed",), newest=True)
    for leaf in reading.index.leaves(newest):
        if leaf.event.plan == plan.digest:
            found = _kept(place, leaf.event)
            if found is not None:
                return replace(found, moved=_moved(place, plan, found))
    return None


def preview_lines(found: Preview, *, diffs: bool = False, now: datetime | None = None) -> Iterator[str]:
    """Yield the preview for an approver: age, counts, then tasks by step, hosts that agree on one line."""
    age = int(((now or SystemClock().now()) - found.at).total_seconds() // 60)
    word = f"signed by {found.by}" if found.by else "self-attested"
    counts = "  ".join(f"{name} {count}" for name, count in found.counts().items())
    yield f"{counts or 'nothing was asked'}  ({age} minutes old, {word}{', ' + found.moved if found.moved else ''})"
    groups: dict[tuple[str, str, str, str], list[Seen]] = {}
    for one in found.seen:
        groups.setdefault((one.step, one.name or one.action, one.outcome, one.why), []).append(one)
    for (step, name, outcome, why), members in groups.items():
        if outcome == "unchanged" and not diffs:
            continue
        hosts = _some([one.host for one in members])
        yield f"  {outcome:<12} {step}: {name}  {hosts}" + (f"  ({why})" if why else "")
        for one in members if diffs else ():
            yield from (f"      {one.host}: {line}" for line in one.diff.splitlines())
    yield from (f"  note: {note}" for note in found.notes)


class _Eye:
    """The observer of a preview: holds actions against the plan, keeps what would happen."""

    def __init__(self, plan: Plan) -> None:
        self.seen: list[Seen] = []
        self.part: Slice | None = None
        self._plan = plan

    def before(self, action: Action) -> None:
        """Return when the action is the plan's."""
        assert self.part is not None  # noqa: S101 - set before each step
        conform(self._plan, self.part, action)

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
            )
        )


def _one(place: Workspace, plan: Plan, step: AnsibleStep, *, room: Room, eye: _Eye) -> tuple[str, ...]:
    from itmp.workspace.engines import previewer  # noqa: PLC0415 - needs the ansible extra

    eye.part = Slice(key=step.id, step=step, hosts=step.hosts)
    try:
        previewer(place).preview(plan, eye.part, room=room, observer=eye)
    except Error as error:
        return (f"{step.id}: cannot know: {error.what}",)
    heard = {one.host for one in eye.seen if one.step == step.id}
    silent = [host for host in step.hosts if host not in heard]
    return (f"{step.id}: cannot know: no answer from {_some(silent)}",) if silent else ()


def _some(hosts: list[str]) -> str:
    left = len(hosts) - _SOME
    return " ".join(hosts[:_SOME]) + (f" and {left} more" if left > 0 else "")


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


def _moved(place: Workspace, plan: Plan, found: Preview) -> str:
    """Say whether the inventory has moved since a preview; empty when it has not."""
    from itmp.workspace.engines import need  # noqa: PLC0415 - only where there is a preview

    try:
        need("ansible_runner", "ansible")
        now = _world(place, plan)
    except Error as error:
        now = error.what
    if now == found.world:
        return ""
    return (
        "the inventory has moved since" if now.startswith("sha256:") else f"not known whether it moved: {now}"
    )


def _world(place: Workspace, plan: Plan) -> str:
    """Return the digest of the plan's hosts as the inventory has them now; what went wrong where it cannot be read."""
    found = gatekeeping.world(place, plan)
    if found.problems or found.hosts is None:
        return "; ".join(found.problems) or "no inventory"
    return digest(dumps([_host(host) for host in found.hosts]))


def _host(host: Host) -> list[Any]:
    return [host.name, host.address, host.port, list(host.groups), host.vars]


def _signed(place: Workspace, plan: Plan, key: str | None) -> tuple[dict[str, str], str]:
    """Have the preview signed for; without a key nothing, and nobody."""
    if key is None:
        return {}, ""
    own = {"change": "-", "plan": plan.digest, "request": "-", "limit": "-"}
    _, signed, signer = changes.sign_act(place, "preview", lambda _: own, key)
    return dict(signed.to_data()), signer.id


def _keep(place: Workspace, made: Preview, given: dict[str, str]) -> None:
    name, salt = new_id(), secrets.token_bytes(32)
    content = json.dumps(made.to_json(diffs=True), sort_keys=True).encode()
    private = place.state / PRIVATE
    private.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(private / f"preview-{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(salt + content)
    counts = {key.replace(" ", "_"): count for key, count in made.counts().items()}
    data = {"preview": _commitment(salt, content), **counts, **given}
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
    file = place.state / PRIVATE / f"preview-{event.id}"
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
    return Preview(
        plan=value["plan"],
        at=parse_time(value["at"]),
        by=value["by"],
        world=value["world"],
        seen=tuple(Seen(**one) for one in value["seen"]),
        notes=tuple(value["notes"]),
    )


def _commitment(salt: bytes, content: bytes) -> Digest:
    """Return the salted commitment of the log's formats; the pointer of a whole document is empty."""
    return Digest("sha256:" + hashlib.sha256(_DOMAIN + salt + content).hexdigest())
