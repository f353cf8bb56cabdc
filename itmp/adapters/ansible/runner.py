"""`AnsibleRunner`: carries out Ansible steps (door: `itmp.execution.doors.Runner`).

Rules kept here: what runs are the plan's bytes, laid out afresh for each slice; Ansible's callback blocks
before each action until the observer has returned, and if it never says hello nothing is taken as done;
secrets are resolved now, handed over a socket when used, and masked in everything that comes back;
nothing of a slice is left running or lying around here when `run` returns, but the sign, for `sweep`, that something
may still run on targets.
"""

import json
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from itmp.adapters import containers, supervisor
from itmp.adapters.actions import ActionServer
from itmp.adapters.ansible import (
    _devices,
    _environments,
    _facts,
    _harmless,
    _laid,
    _leftovers,
    _probing,
    _versions,
    layout,
)
from itmp.adapters.ansible._lines import one_line
from itmp.adapters.ansible._masked import Masked
from itmp.adapters.ansible._slicing import (
    LostError,
    Slicing,
    clear_short_folders,
    fresh_folder,
    left_folders,
    short_folder,
)
from itmp.adapters.ansible.vault_client import PREFIX
from itmp.adapters.containers import Image
from itmp.adapters.secrets import Masker, resolve
from itmp.adapters.supervisor import Supervised
from itmp.errors import InvalidInputError, NotFoundError
from itmp.execution.doors import Action, ActionResult, Observer, Room, Slice, Verdict
from itmp.plan import AnsibleStep, CommandProbe, Plan

if TYPE_CHECKING:
    from itmp.change import Permit

_TICK: Final = 0.5
_BETWEEN: Final = re.compile(r"""[\s'",;&|<>\[\]{}()]+""")
"""What stands between two words of a task, be it a line, a list or a script."""
_ASKING: Final = 120  # seconds to connect to all targets of a dead slice
_KILLED: Final = 137  # as our child says it of an Ansible that a signal ended
_HOSTS_FAILED: Final = frozenset({0, 2, 4, 6})  # ansible-playbook: fine; hosts failed; unreachable; both


class AnsibleError(LostError):
    """Ansible itself failed, or never reached our callback: what the hosts did is only what was reported."""


class AnsibleTimeoutError(AnsibleError):
    """The step's time was up; what was running is ended and its outcome is unknown."""


class AnsibleRunner:
    """Runs the Ansible steps of plans.

    `vault_passwords` maps a vault id to a secret reference; `passed` names environment variables that
    plays may see; `grace` is how many seconds actions under way have after a refusal or `stop` before
    everything is killed; `target_wait` how many seconds `sweep` waits for left-overs on targets; `probe_time` how many
    a command has to answer.
    """

    def __init__(
        self,
        *,
        vault_passwords: Mapping[str, str] | None = None,
        passed: tuple[str, ...] = (),
        grace: float = 30.0,
        target_wait: int = 60,
        probe_time: int = 30,
    ) -> None:
        self._vaults, self._passed, self._grace = dict(vault_passwords or {}), passed, grace
        self._target_wait, self._probe_time = target_wait, probe_time
        self._server: ActionServer | None = None

    def run(self, permit: "Permit", plan: Plan, part: Slice, *, room: Room, observer: Observer) -> None:  # noqa: ARG002 -- the permit is the proof that the gate was passed
        """Carry out `part`; see the door's contract.

        Raises the observer's own error, `AnsibleError` when Ansible did not do its part, `StaleError` before
        anything happens when the plan was made with other versions of Ansible, Jinja or Python.
        """
        with _translated(part.key):
            self._slice(plan, part, room=room, observer=observer)

    def preview(self, plan: Plan, part: Slice, *, room: Room, observer: Observer) -> None:
        """Say what `part` would change, by check mode on its hosts, and change nothing (`_preview`).

        Needs no permit, because it has no effect; otherwise as `run`. A result's `data` has `cannot_know` (why) where
        the task was not carried out, and `diff`.
        """
        self._slice(_harmless.harmless(plan), part, room=room, observer=observer, preview=True)

    def _slice(
        self, plan: Plan, part: Slice, *, room: Room, observer: Observer, preview: bool = False
    ) -> None:
        step, image = _step(part), image_of(plan)
        _versions.require(plan.manifest.versions, part.key)
        _devices.reachable(plan, {*part.hosts, *step.delegates})
        values = self._secrets(step.secrets)
        masker = Masker(values.values())
        with fresh_folder(room, part) as fresh, short_folder(room) as short:
            slicing = Slicing(plan, part, step, room, contained=image is not None)
            request = slicing.write(fresh.folder, short, self._vaults, self._passed)
            laid = _laid.Laid(fresh.folder, plan.manifest.artifacts)
            request["environment"] |= _facts.environment(plan, room, short)
            if preview:
                _harmless.into(request, plan)
            watched = Masked(observer, masker, _public(plan, step), laid)
            with _server(short, watched, values, masker) as server:
                request["environment"] |= server.environment
                inside = _environments.contain(request, image, plan, room) if image else None
                self._server, cut = server, True
                try:
                    answer, cut = self._child(request, server, room, step.timeout, inside)
                finally:
                    self._server = None
                    _facts.keep(room, short, masker)
                    fresh.kept = bool(watched.background) or watched.lost or cut
                _judge(answer, server, watched, masker, part)

    def stop(self) -> None:
        """Let nothing new begin; what is under way has the grace period. Safe in a signal handler."""
        if self._server is not None:
            self._server.refuse("the run was asked to stop")

    def sweep(self, plan: Plan, part: Slice, *, room: Room) -> tuple[str, ...]:
        """End left-overs of a dead run here, wait for those on targets; return a line for each that was found.

        Raises `LeftOverError` when something still runs on a target after the wait, as `run` where none may be asked.
        Where a target does not answer, the sign that something may run there stays, and the next sweep asks again.
        """
        found = [f"here: {line}" for line in supervisor.sweep(room.token)]
        with _translated(part.key):
            clear_short_folders(room)
            left = left_folders(room, part)
            for folder in left:
                found += [f"here: {line}" for line in _environments.sweep(folder, room)]
            said = self._ask_targets(plan, part, room) if left else ()
            for folder in left if _leftovers.all_asked(said) else ():
                shutil.rmtree(folder, ignore_errors=True)
        return (*found, *said)

    def probe(self, plan: Plan, part: Slice, targets: tuple[str, ...], *, room: Room) -> dict[str, Verdict]:
        """Ask hosts by the commands that the step declares (door: `itmp.execution.doors.Prober`)."""
        step = _step(part)
        _versions.require(plan.manifest.versions, part.key)
        _devices.reachable(plan, {*part.hosts, *step.delegates})
        found: dict[str, Verdict] = {}
        declared = {host: probe for host, probe in step.probes.items() if host in targets}
        commands = {host: probe for host, probe in declared.items() if isinstance(probe, CommandProbe)}
        for probes in _probing.alike(commands):
            asked = replace(part, hosts=tuple(host for host in part.hosts if host in probes))
            make = partial(_probing.request, probes=probes, seconds=self._probe_time)
            with _translated(part.key), self._answers(plan, asked, room, make, step.secrets) as (_, short, _):
                found |= _probing.read(probes, short)
        return found

    def _ask_targets(self, plan: Plan, part: Slice, room: Room) -> tuple[str, ...]:
        _devices.reachable(plan, {*part.hosts, *_step(part).delegates})
        make = partial(_leftovers.request, wait=self._target_wait)
        with self._answers(plan, part, room, make, {}) as (hosts, short, masker):
            said = _leftovers.read(hosts, short, raw=_has_raw(part), written=_words(plan, part).__contains__)
            return tuple(map(masker.text, said))

    @contextmanager
    def _answers(
        self,
        plan: Plan,
        part: Slice,
        room: Room,
        make: Callable[..., dict[str, Any]],
        declared: Mapping[str, str],
    ) -> Iterator[tuple[tuple[str, ...], Path, Masker]]:
        """Ask from the plan's own bytes, laid out anew: what is left over may hold whatever a play wrote there."""
        image, values = image_of(plan), self._secrets(declared)
        masker = Masker(values.values())
        slicing = Slicing(plan, part, _step(part), room, contained=image is not None)
        with fresh_folder(room, part) as fresh, short_folder(room) as short:
            hosts = slicing.lay_out(fresh.folder)
            if hosts:
                request = make(slicing, fresh.folder, short, vaults=self._vaults, passed=self._passed)
                with _server(short, _Nobody(), values, masker) as server:
                    request["environment"] |= server.environment
                    inside = _environments.contain(request, image, plan, room) if image else None
                    self._child(request, server, room, self._target_wait + _ASKING, inside)
            yield hosts, short, masker

    def _secrets(self, declared: Mapping[str, str]) -> dict[str, str]:
        wanted = {**declared, **{PREFIX + name: reference for name, reference in self._vaults.items()}}
        return {name: resolve(reference, vaults=self._vaults) for name, reference in wanted.items()}

    def _child(
        self,
        request: dict[str, Any],
        server: ActionServer,
        room: Room,
        timeout: int,
        inside: "_environments.Contained | None",
    ) -> tuple[dict[str, Any], bool]:
        """Return what the child answers, and whether it was cut off: what it had begun may still run on targets."""
        with (
            tempfile.TemporaryFile(dir=request["scratch"]) as answer,
            Supervised(
                [layout.python(), "-P", "-m", "itmp.adapters.ansible.child"],
                token=room.token,
                environment=request["environment"],
                folder=Path(request["folder"]),
                shown=(
                    Path(request["environment"]["ITMP_LAYOUT"]),
                    _facts.kept(room),
                    Path(request["scratch"]),
                ),
                grace=1.0,
                uncovered=inside is not None,
                stdin=subprocess.PIPE,
                stdout=answer.fileno(),
            ) as child,
        ):
            child.feed(json.dumps(request).encode())
            server.watch(child.pidfd)
            self._serve(child, server, time.monotonic() + timeout)
            ended = child.poll() is not None
            rc = child.end()
            if inside and not ended:
                inside.end()
            server.drain(cut=not ended)
            answer.seek(0)
            text = answer.read()
        said = json.loads(text) if text else {"status": "ended", "rc": rc, "lines": []}
        return said, not ended or not text or said["rc"] == _KILLED

    def _serve(self, child: Supervised, server: ActionServer, deadline: float) -> None:
        """Pump the socket until the child ends; cut it short after a refusal's grace or at the deadline."""
        cut: float | None = None
        while child.poll() is None:
            server.pump(_TICK)
            now = time.monotonic()
            if server.refused and cut is None:
                cut = now + self._grace
            if server.deaf or (cut is not None and now > cut):
                return
            if now > deadline:
                server.refuse("the step's time was up")
                server.failure = server.failure or AnsibleTimeoutError(
                    "the step's time was up", do="Find out what hangs."
                )
                return


def image_of(plan: Plan) -> Image | None:
    """Return the image in which the plan's plays run, `None` without one; `ToolMissingError` if it is not here."""
    name = plan.manifest.versions.get(_versions.ENVIRONMENT, "")
    return containers.find(name) if name else None


class _Nobody:
    """An observer where nothing may happen."""

    def before(self, action: Action) -> None:
        raise AnsibleError(f"{action.action} was not asked for", where=action.host)

    def after(self, result: ActionResult) -> None:
        raise AnsibleError(f"{result.action} was not asked for", where=result.host)


@contextmanager
def _translated(where: str) -> Iterator[None]:
    """Say what this machine refuses (a full disk, no process more) as an error of the run, not of ours."""
    try:
        yield
    except OSError as error:
        raise AnsibleError(
            f"this machine failed: {error.strerror or error} {error.filename or ''}".rstrip(),
            where=where,
            do="Correct it here (`df`, `ulimit -a`), then resume.",
        ) from error


def _step(part: Slice) -> AnsibleStep:
    if not isinstance(part.step, AnsibleStep):
        raise InvalidInputError(f"not an Ansible step: {part.step.kind}", where=part.key)
    return part.step


def _words(plan: Plan, part: Slice) -> frozenset[str]:
    """Return the words of the files that hold the step's tasks: whoever approved it has seen them."""
    files = {task.path for task in _step(part).expected} & plan.manifest.artifacts.keys()
    return frozenset(
        word for path in files for word in _BETWEEN.split(plan.artifact(path).decode(errors="replace"))
    )


def _has_raw(part: Slice) -> bool:
    return any(task.action.rpartition(".")[2] == "raw" for task in _step(part).expected)


def _server(short: Path, observer: Observer, values: Mapping[str, str], masker: Masker) -> ActionServer:
    return ActionServer(
        short,
        token=secrets.token_hex(16),
        observer=observer,
        secret=_only(values),
        masking=masker.learn,
    )


def _public(plan: Plan, step: AnsibleStep) -> frozenset[str]:
    """Return the names that the plan shows anyway, and that are compared with it: hosts and actions."""
    inventory = plan.manifest.inventory
    hosts = (host.name for host in inventory.hosts) if inventory else ()
    return frozenset({*hosts, *step.hosts, *step.delegates, *(task.action for task in step.expected)})


def _only(values: Mapping[str, str]) -> Any:
    def give(name: str, /) -> str:
        if name not in values:
            raise NotFoundError(
                f"the step declares no secret {name!r:.80}", do="Declare it under `secrets:`."
            )
        return values[name]

    return give


def _judge(
    answer: Mapping[str, Any], server: ActionServer, watched: Masked, masker: Masker, part: Slice
) -> None:
    """Raise what the slice's end means: the observer's refusal, or that Ansible did not do its part."""
    if server.failure is not None:
        raise server.failure
    said = one_line(masker.text(" | ".join(answer["lines"][-12:])), limit=1200)
    rc = int(answer["rc"])
    if "ansible" not in server.roles:
        raise AnsibleError(
            f"Ansible ended with {rc} before it reached our callback, nothing ran: {said}",
            where=part.key,
            do="Correct what Ansible says.",
        )
    if server.refused:
        return
    if rc not in _HOSTS_FAILED or (rc != 0 and not watched.bad):
        raise AnsibleError(
            f"Ansible ended with {rc}: {said}", where=part.key, do="Correct what Ansible says."
        )
