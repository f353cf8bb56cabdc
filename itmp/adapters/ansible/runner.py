"""`AnsibleRunner`: carries out Ansible steps (door: `itmp.execution.doors.Runner`).

Rules kept here: what runs are the plan's bytes, laid out afresh for each slice; Ansible's callback blocks
before each action until the observer has returned, and if it never says hello nothing is taken as done;
secrets are resolved now, handed over a socket when used, and masked in everything that comes back;
nothing of a slice is left running or lying around here when `run` returns.
"""

import json
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from itmp.adapters import supervisor
from itmp.adapters.actions import ActionServer
from itmp.adapters.ansible import _ssh, layout
from itmp.adapters.ansible._lines import one_line
from itmp.adapters.ansible.vault_client import PREFIX
from itmp.adapters.secrets import Masker, resolve
from itmp.adapters.supervisor import Supervised
from itmp.errors import Error, InvalidInputError, NotFoundError
from itmp.execution.doors import Action, ActionResult, Observer, Room, Slice
from itmp.plan import AnsibleStep, Plan
from itmp.plan.model import Host

if TYPE_CHECKING:
    from itmp.change import Permit

_TICK: Final = 0.5
_HOSTS_FAILED: Final = frozenset({0, 2, 4, 6})  # ansible-playbook: fine; hosts failed; unreachable; both


class AnsibleError(Error):
    """Ansible itself failed, or never reached our callback: what the hosts did is only what was reported."""

    exit_code = 14


class AnsibleTimeoutError(AnsibleError):
    """The step's time was up; what was running is ended and its outcome is unknown."""


class AnsibleRunner:
    """Runs the Ansible steps of plans.

    `vault_passwords` maps a vault id to a secret reference; `passed` names environment variables that
    plays may see; `grace` is how many seconds actions under way have after a refusal or `stop` before
    everything is killed.
    """

    def __init__(
        self,
        *,
        vault_passwords: Mapping[str, str] | None = None,
        passed: tuple[str, ...] = (),
        grace: float = 30.0,
    ) -> None:
        self._vaults, self._passed, self._grace = dict(vault_passwords or {}), passed, grace
        self._server: ActionServer | None = None

    def run(self, permit: "Permit", plan: Plan, part: Slice, *, room: Room, observer: Observer) -> None:  # noqa: ARG002 -- the permit is the proof that the gate was passed
        """Carry out `part`; see the door's contract.

        Raises the observer's own error, `AnsibleError` when Ansible did not do its part.
        """
        if not isinstance(part.step, AnsibleStep):
            raise InvalidInputError(f"not an Ansible step: {part.step.kind}", where=part.key)
        values = self._secrets(part.step)
        masker = Masker(values.values())
        with _private(room, part) as (folder, short):
            request = _Slicing(plan, part, room, folder, short).write(self._vaults, self._passed)
            watched = _Masked(observer, masker)
            with ActionServer(
                short, token=secrets.token_hex(16), observer=watched, secret=_only(values)
            ) as server:
                request["environment"] |= server.environment
                self._server = server
                try:
                    answer = self._child(request, server, room, part.step.timeout)
                finally:
                    self._server = None
                _judge(answer, server, watched, masker, part)

    def stop(self) -> None:
        """Let nothing new begin; what is under way has the grace period. Safe in a signal handler."""
        if self._server is not None:
            self._server.refuse("the run was asked to stop")

    def sweep(self, room: Room, part: Slice) -> tuple[str, ...]:  # noqa: ARG002 -- left-overs are found by the run's token
        """End left-over processes of a dead run on this machine; return what was found."""
        found = supervisor.sweep(room.token)
        for folder in _memory().glob(f"{_prefix(room)}*"):
            shutil.rmtree(folder, ignore_errors=True)
        return tuple(f"here: {line}" for line in found)

    def _secrets(self, step: AnsibleStep) -> dict[str, str]:
        wanted = {**step.secrets, **{PREFIX + name: reference for name, reference in self._vaults.items()}}
        return {name: resolve(reference) for name, reference in wanted.items()}

    def _child(
        self, request: dict[str, Any], server: ActionServer, room: Room, timeout: int
    ) -> dict[str, Any]:
        with (
            tempfile.TemporaryFile(dir=request["scratch"]) as answer,
            Supervised(
                [layout.python(), "-m", "itmp.adapters.ansible.child"],
                token=room.token,
                environment=request["environment"],
                folder=Path(request["folder"]),
                grace=1.0,
                stdin=subprocess.PIPE,
                stdout=answer.fileno(),
            ) as child,
        ):
            child.feed(json.dumps(request).encode())
            server.watch(child.pidfd)
            self._serve(child, server, time.monotonic() + timeout)
            rc = child.end()
            server.drain()
            answer.seek(0)
            text = answer.read()
        return json.loads(text) if text else {"status": "ended", "rc": rc, "lines": []}

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


class _Masked:
    """An observer that sees masked texts only, each on one line."""

    def __init__(self, observer: Observer, masker: Masker) -> None:
        self._observer, self._masker = observer, masker
        self.bad = False
        self.results = 0

    def before(self, action: Action) -> None:
        clean = self._masker.text
        self._observer.before(
            replace(action, name=one_line(clean(action.name)), delegate=clean(action.delegate))
        )

    def after(self, result: ActionResult) -> None:
        self.results += 1
        self.bad = self.bad or result.outcome in {"failed", "unreachable"}
        clean = self._masker
        self._observer.after(
            replace(
                result,
                name=one_line(clean.text(result.name)),
                delegate=clean.text(result.delegate),
                message=one_line(clean.text(result.message)),
                data=clean.value(result.data),
            )
        )


class _Slicing:
    """Writes what one slice needs: the plan's bytes in `folder`, sockets and scratch in `short`."""

    def __init__(self, plan: Plan, part: Slice, room: Room, folder: Path, short: Path) -> None:
        assert isinstance(part.step, AnsibleStep)  # noqa: S101 -- run() has checked it; for the type checker
        self._plan, self._part, self._step, self._room = plan, part, part.step, room
        self._folder, self._short = folder, short

    def write(self, vaults: Mapping[str, str], passed: tuple[str, ...]) -> dict[str, Any]:
        """Return the child's request."""
        manifest, folder = self._plan.manifest, self._folder
        wanted = [path for path in manifest.artifacts if path.startswith(("project/", "inventory/"))]
        layout.lay_out(folder, ((path, self._plan.artifact(path)) for path in wanted))
        self._write_limit()
        layout.write(folder, "vars.json", json.dumps(self._variables()).encode())
        for name in ("home", "local", "cp"):
            (self._short / name).mkdir(mode=0o700)
        return {
            "command": self._command(vaults),
            "environment": self._environment(passed),
            "folder": str(folder / "project" / "playbooks"),
            "data": str(folder / "runner"),
            "scratch": str(self._short),
        }

    def _write_limit(self) -> None:
        layout.write(self._folder, "limit", "".join(f"{name}\n" for name in self._part.hosts).encode())

    def _variables(self) -> dict[str, Any]:
        hosts = self._allowed()
        known = layout.write(self._short, "known_hosts", _ssh.pinned(self._known_hosts(), hosts))
        config = layout.write(self._short, "ssh_config", _ssh.config(hosts, known).encode())
        asked = {name: f"{{{{ lookup('itmp_secret', {name!r}) }}}}" for name in self._step.secrets}
        return {**_unsafe(dict(self._step.vars)), **asked, **_ssh.variables(config, known)}

    def _known_hosts(self) -> bytes:
        known = layout.KNOWN_HOSTS in self._plan.manifest.artifacts
        return self._plan.artifact(layout.KNOWN_HOSTS) if known else b""

    def _allowed(self) -> list[Host]:
        inventory = self._plan.manifest.inventory
        names = {*self._part.hosts, *self._step.delegates}
        found = [host for host in inventory.hosts if host.name in names] if inventory else []
        missing = set(self._part.hosts) - {host.name for host in found} - {"localhost"}
        if missing:
            raise NotFoundError(
                f"not in the plan's inventory: {', '.join(sorted(missing)[:5])}", where=self._part.key
            )
        return found

    def _command(self, vaults: Mapping[str, str]) -> list[str]:
        folder = self._folder
        client = layout.write(
            folder,
            "itmp-client",
            f'#!/bin/sh\nexec "{layout.python()}" -m itmp.adapters.ansible.vault_client "$@"\n'.encode(),
        )
        ids = [part for name in sorted(vaults) for part in ("--vault-id", f"{name}@{client}")]
        return [
            layout.python(),
            "-m",
            "ansible",
            "playbook",
            *("-i", str(folder / layout.INVENTORY)),
            *("--limit", f"@{folder / 'limit'}"),
            *("-e", f"@{folder / 'vars.json'}"),
            *ids,
            str(folder / self._step.playbook),
        ]

    def _environment(self, passed: tuple[str, ...]) -> dict[str, str]:
        manifest = self._plan.manifest
        data = (
            self._plan.artifact(layout.PROJECT_CONFIG) if layout.PROJECT_CONFIG in manifest.artifacts else b""
        )
        honoured, _ = layout.settings(data)
        return layout.environment(self._folder, temporary=self._short, passed=passed) | {
            "ITMP_LAYOUT": str(self._folder),
            supervisor.TOKEN: self._room.token,
            "ANSIBLE_STDOUT_CALLBACK": "itmp_actions",
            "_ANSIBLE_CALLBACK_DISPATCH_ERROR_BEHAVIOR": "error",
            "ANSIBLE_HOST_KEY_CHECKING": "True",
            "ANSIBLE_PIPELINING": "True",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self._short / "cp"),
            "ANSIBLE_REMOTE_TEMP": f"~/.ansible/tmp-{self._room.token}",
            "ANSIBLE_FORKS": str(layout.forks(honoured, len(self._part.hosts))),
        }


def _unsafe(value: Any) -> Any:
    """Mark every text of a document's variables as data, so that none is ever a template."""
    if isinstance(value, str):
        return {"__ansible_unsafe": value}
    if isinstance(value, Mapping):
        return {str(key): _unsafe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_unsafe(item) for item in value]
    return value


def _only(values: Mapping[str, str]) -> Any:
    def give(name: str, /) -> str:
        if name not in values:
            raise NotFoundError(
                f"the step declares no secret {name!r:.80}", do="Declare it under `secrets:`."
            )
        return values[name]

    return give


def _judge(
    answer: Mapping[str, Any], server: ActionServer, watched: _Masked, masker: Masker, part: Slice
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


@contextmanager
def _private(room: Room, part: Slice) -> Iterator[tuple[Path, Path]]:
    """Give a fresh folder in the run's room, and one with a short path, in memory where there is such."""
    room.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = "".join(c if c.isalnum() else "-" for c in part.key)[:60]
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=room.folder))
    try:
        short = Path(tempfile.mkdtemp(prefix=_prefix(room), dir=_memory()))
        try:
            yield folder, short
        finally:
            shutil.rmtree(short, ignore_errors=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _memory() -> Path:
    shared = Path("/dev/shm")  # noqa: S108 -- mkdtemp makes a private folder in it
    return shared if shared.is_dir() else Path("/tmp")  # noqa: S108 -- as above; TMPDIR may be too long


def _prefix(room: Room) -> str:
    return f"itmp-{room.token[:12]}-"
