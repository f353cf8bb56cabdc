"""What a patch schedule needs from the world: one play per ring and step, with the locked versions in it.

Rules kept here: pure and deterministic; rings in the document's order; step ids are `<ring>-<what>`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from itmp.documents import bind
from itmp.errors import InvalidInputError
from itmp.patching import plays
from itmp.patching.lock import Lock, read_lock
from itmp.patching.model import PatchSchedule, Ring
from itmp.plan.probing import command_task
from itmp.plan.rendering import render_play
from itmp.plan.sources import Needs, PlayNeed


def needs(document: PatchSchedule, inputs: Mapping[str, Any], *, lock: bytes) -> Needs:
    """Return the plays to parse and the rings' host patterns; `lock` are the lockfile's bytes.

    Raises `InvalidInputError` when the lock is not one, is of another schedule, or holds nothing to do.
    """
    bound = bind(document, inputs)
    locked = fitting_lock(bound, lock)
    made = [need for index in range(len(bound.rings)) for need in _ring_needs(bound, index, locked)]
    return Needs(
        plays=tuple(made),
        patterns=tuple(dict.fromkeys(ring.hosts for ring in bound.rings)),
        image=bound.execution_environment.image if bound.execution_environment else "",
    )


def ring_pattern(document: PatchSchedule) -> str:
    """Return the host pattern of ring 0, the one that versions are resolved on."""
    return document.rings[0].hosts


def step_id(ring: Ring, what: str) -> str:
    """Return the id of a step of a ring."""
    return f"{ring.name}-{what}"


def fitting_lock(document: PatchSchedule, data: bytes) -> Lock:
    """Return the lock when it is this schedule's and holds something to do."""
    lock, again = read_lock(data, document.lock), f"Make it again: itmp patch resolve {document.path}"
    if lock.schedule != document.name:
        raise InvalidInputError(
            f"the lock of another schedule, {lock.schedule!r}", where=document.lock, do=again
        )
    if not lock.upgrades:
        raise InvalidInputError("the lock holds nothing to upgrade", where=document.lock, do=again)
    if lock.removals and not document.allow_removals:
        raise InvalidInputError(
            f"the lock removes packages: {', '.join(lock.removals)}",
            where=document.lock,
            do="Write allow_removals: true, or make the lock again.",
        )
    return lock


def _ring_needs(document: PatchSchedule, index: int, lock: Lock) -> Iterator[PlayNeed]:
    ring, become = document.rings[index], document.become
    title = ring.title or f"Ring {ring.name}"

    def need(what: str, play: bytes) -> PlayNeed:
        return _need(document, index, what, play)

    yield need(
        "apply",
        plays.apply_play(
            f"{title}: apply", ring.hosts, lock, allow_removals=document.allow_removals, become=become
        ),
    )
    yield need("verify", plays.verify_play(f"{title}: verify", ring.hosts, lock, become=become))
    if document.reboot != "never":
        always, timeout = document.reboot == "always", int(document.reboot_timeout)
        play = plays.reboot_play(
            f"{title}: reboot", ring.hosts, always=always, timeout=timeout, become=become
        )
        yield need("reboot", play)
    for check in document.checks:
        if check.command is not None:
            task = command_task(check.heading, check.command, check.within)
            yield need(f"check-{check.id}", render_play(f"{title}: {check.id}", ring.hosts, [task]))
    play = plays.undo_play(f"{title}: bring the earlier versions back", ring.hosts, lock, become=become)
    yield _need(document, index, "undo", play, sliced=False)


def _need(document: PatchSchedule, index: int, what: str, play: bytes, *, sliced: bool = True) -> PlayNeed:
    ring = document.rings[index]
    name = step_id(ring, what)
    return PlayNeed(
        id=name,
        playbook=f"_itmp_{name}",
        mark=document.mark("rings", index),
        pattern=ring.hosts,
        rendered=play,
        public_vars=document.public_vars,
        sliced=sliced,
    )
