"""Document, lock and facts become a plan: one rolling block per ring, in order, and the way back.

Rules kept here: pure and deterministic; a ring that fails stops the next one; what the facts leave open is a
problem at its place in the document; the lock is an artifact, so the approved digest covers it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from itmp.documents import DocumentError, Problem, bind
from itmp.documents.model import Loc
from itmp.patching.checks import Check
from itmp.patching.lock import Lock
from itmp.patching.model import PatchSchedule, Ring
from itmp.patching.needs import fitting_lock, step_id
from itmp.plan import model as plan
from itmp.plan.bundle import Plan
from itmp.plan.freezing import batch_hosts, freeze_document
from itmp.plan.probing import check_hosts
from itmp.plan.sources import Facts

LOCK: Final = "patching/lock.json"
"""The artifact path of the lockfile."""

_GRACE: Final = 300


def freeze(
    document: PatchSchedule, inputs: Mapping[str, Any], facts: Facts, *, source: plan.Source, lock: bytes
) -> Plan:
    """Return the plan; raise `DocumentError` naming every place that the facts do not fit.

    `inputs` as `resolve_inputs` gives them, `facts` as gathered for `needs(document, inputs, lock=lock)`,
    `source` the document's path in the workspace and the digest of its bytes.
    """
    bound = bind(document, inputs)
    locked = fitting_lock(bound, lock)
    freezer = _Freezer(document=bound, facts=facts)
    steps, undo = freezer.rings(), freezer.undo()
    if freezer.problems:
        raise DocumentError(freezer.problems)
    return freeze_document(
        "patch-schedule",
        bound,
        inputs,
        facts,
        source=source,
        steps=steps,
        undo=undo,
        notes=_notes(locked),
        artifacts={LOCK: lock},
    )


def _notes(lock: Lock) -> tuple[str, ...]:
    """Return what an approver should know and the steps do not say."""
    notes = [f"{len(lock.upgrades)} packages are upgraded on {lock.platform}; see {LOCK}"]
    lost = [f"{name} {one.old}" for name, one in lock.upgrades.items() if not one.back]
    if lost:
        notes.append(f"no repository offers these versions any more, undo would fail: {', '.join(lost)}")
    if lock.additions:
        notes.append(f"newly installed, and left there by undo: {', '.join(lock.additions)}")
    if lock.removals:
        notes.append(f"removed, and not brought back by undo: {', '.join(lock.removals)}")
    if lock.kept:
        notes.append(f"kept back by apt, not part of this plan: {', '.join(lock.kept)}")
    return tuple(notes)


@dataclass(slots=True, kw_only=True)
class _Freezer:
    """Freezes ring by ring and keeps every problem met on the way."""

    document: PatchSchedule
    facts: Facts
    problems: list[Problem] = field(default_factory=list)

    def rings(self) -> tuple[plan.RollingStep, ...]:
        taken: dict[str, str] = {}
        frozen = []
        for index, ring in enumerate(self.document.rings):
            loc: Loc = ("rings", index)
            hosts = self._hosts(loc, ring, taken)
            taken |= dict.fromkeys(hosts, ring.name)
            steps = self._steps(loc, ring, hosts) if hosts else ()
            if steps:
                frozen.append(self._block(ring, hosts, steps))
        return tuple(frozen)

    def undo(self) -> tuple[plan.AnsibleStep, ...]:
        """Return the way back, last ring first."""
        made = [
            self._play(
                ("rings", index),
                step_id(ring, "undo"),
                "Bring the earlier versions back",
                self._matched(ring),
            )
            for index, ring in reversed(list(enumerate(self.document.rings)))
            if self._matched(ring)
        ]
        return tuple(step for step in made if step is not None)

    def _matched(self, ring: Ring) -> tuple[str, ...]:
        known = self.facts.inventory.patterns if self.facts.inventory else {}
        return known.get(ring.hosts, ())

    def _hosts(self, loc: Loc, ring: Ring, taken: Mapping[str, str]) -> tuple[str, ...]:
        hosts = self._matched(ring)
        if not hosts:
            message = f"the pattern {ring.hosts!r:.80} matches no host of the inventory"
            self._problem((*loc, "hosts"), message, "see: itmp hosts list")
        for host in hosts:
            if host in taken:
                message = f"host {host!r:.80} is in ring {taken[host]} already"
                self._problem((*loc, "hosts"), message, "give each host one ring")
        return hosts

    def _block(
        self, ring: Ring, hosts: tuple[str, ...], steps: tuple[plan.AnsibleStep | plan.CheckStep, ...]
    ) -> plan.RollingStep:
        own = ring.max_failures
        return plan.RollingStep(
            id=step_id(ring, "ring"),
            title=ring.title or f"Ring {ring.name}",
            hosts=hosts,
            batches=batch_hosts(hosts, ring.batches),
            max_failures=int(self.document.max_failures if own is None else own),
            steps=steps,
        )

    def _steps(
        self, loc: Loc, ring: Ring, hosts: tuple[str, ...]
    ) -> tuple[plan.AnsibleStep | plan.CheckStep, ...]:
        titles = {"apply": "Install the locked versions", "verify": "Prove the versions"}
        if self.document.reboot == "if-needed":
            titles["reboot"] = "Restart hosts that ask for it"
        elif self.document.reboot == "always":
            titles["reboot"] = "Restart every host"
        made: list[plan.AnsibleStep | plan.CheckStep | None] = [
            self._play(loc, step_id(ring, what), title, hosts) for what, title in titles.items()
        ]
        made += [self._check(ring, index, check, hosts) for index, check in enumerate(self.document.checks)]
        return tuple(step for step in made if step is not None)

    def _play(self, loc: Loc, name: str, title: str, hosts: tuple[str, ...]) -> plan.AnsibleStep | None:
        play = self.facts.plays.get(name)
        if play is None or set(play.hosts) != set(hosts):
            self._problem(loc, f"the facts of step {name} do not fit", "this is a defect of itmp; report it")
            return None
        return plan.AnsibleStep(
            id=name,
            title=title,
            playbook=play.playbook,
            hosts=hosts,
            expected=play.expected,
            delegates=play.delegates,
            opaque=play.opaque,
            outside=play.outside,
            timeout=self._timeout(name),
        )

    def _timeout(self, name: str) -> int:
        if name.endswith("-reboot"):
            return int(self.document.reboot_timeout) + _GRACE
        return int(self.document.timeout)

    def _check(
        self, ring: Ring, index: int, check: Check, hosts: tuple[str, ...]
    ) -> plan.AnsibleStep | plan.CheckStep | None:
        loc: Loc = ("checks", index)
        name = step_id(ring, f"check-{check.id}")
        if check.command is not None:
            return self._play(loc, name, check.heading, hosts)
        probes, problems = check_hosts(check, hosts, self.facts)
        for message in problems:
            self._problem(loc, message, "give the host an address in the inventory")
        return plan.CheckStep(id=name, title=check.heading, hosts=hosts, probes=probes, within=check.within)

    def _problem(self, loc: Loc, message: str, suggestion: str = "") -> None:
        self.problems.append(self.document.problem(loc, message, suggestion))
