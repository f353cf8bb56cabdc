"""Ansible's stdout callback: asks the executor before each action and tells it each result.

Rules kept here: no action starts before the executor has acknowledged it; a refusal, an error or a lost
connection ends the play (an ordinary exception would be swallowed and the action would run, so only
SystemExit is raised). Before it ends the play, results of actions that are still under way are awaited
and told. Nothing is printed. Results of `no_log` tasks carry nothing.

Loaded by Ansible, in Ansible's main process. It sends plain values; masking happens in the executor.
"""

import functools
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ansible.plugins.callback import CallbackBase

from itmp.adapters.actions import ActionClient, ActionRefusedError
from itmp.adapters.ansible import _bounds, _broken_off, _handlers, _preview, _results, _tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

DOCUMENTATION = """
name: itmp_actions
type: stdout
short_description: asks itmp before each action
description: Blocks each action until the executor has acknowledged it, and tells the executor each result.
"""

_REFUSED = 99
_BROKEN_OFF = "broken off after this task: the play has ended for this host, because it failed on others"
_ANOTHER = "a vaulted variable names a strategy that asks a person, or acts without asking for each action."


def _or_end(told: "Callable[..., None]") -> "Callable[..., None]":
    """Have a callback end the play where it fails: Ansible makes a warning of its exception, and goes on."""

    @functools.wraps(told)
    def careful(self: "CallbackModule", *args: Any) -> None:
        try:
            told(self, *args)
        except Exception as error:  # noqa: BLE001 -- whatever it is, we do not know what we have to know
            self._end(error)

    return careful


class CallbackModule(CallbackBase):  # type: ignore[misc]  # Ansible ships no types
    """One connection to the action socket for the whole playbook run."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "itmp_actions"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.wants_implicit_tasks = True  # fact gathering is an action too
        self._root = os.environ["ITMP_LAYOUT"]
        self._waiting: dict[str, dict[str, Any]] = {}
        self._including: dict[str, dict[str, Any]] = {}
        self._handlers: list[Any] = []
        self._last: dict[str, dict[str, Any]] = {}
        self._failed: set[str] = set()
        self._plays, self._iterator = _broken_off.Plays(), None
        self._draining = False
        try:
            self._bounds = _bounds.Bounds.read(Path(self._root))
            _bounds.hold(self._bounds, self._outside)
            self._owed = _handlers.read(Path(self._root))
            self._client = ActionClient.from_environment("ansible")
        except (ActionRefusedError, OSError, ValueError, KeyError) as error:
            self._end(error)

    @_or_end
    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Mark what the plays' modules start on targets, so that left-overs of a dead run can be found there."""
        self._plays.read(playbook)
        name, _, value = os.environ["ITMP_REMOTE_MARK"].partition("=")
        for play in playbook.get_plays():
            own = play.environment or []
            play.environment = [{name: value}, *(own if isinstance(own, list) else [own])]

    @_or_end
    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Remember the play's handlers; before that, tell for whom the play or batch before was broken off.

        Here its strategy has its value, and no task has begun.
        """
        manager = _calling(_broken_off.is_manager)
        self._tell_broken_off(_broken_off.failed(self._iterator, manager))
        self._iterator = None
        self._plays.begin(play, manager)
        self._handlers = _handlers.of_play(play)
        if not _tasks.is_gated(play.strategy):  # its text may be a secret
            path, line = _tasks.place(play, self._root)
            raise ActionRefusedError(f"{path}:{line}: {_ANOTHER} Use one of {', '.join(_tasks.STRATEGIES)}.")

    @_or_end
    def v2_playbook_on_stats(self, stats: Any) -> None:  # noqa: ARG002 -- Ansible's signature
        """Tell for whom the playbook was broken off."""
        manager = _calling(_broken_off.is_manager)
        self._tell_broken_off(_broken_off.failed(self._iterator, manager))
        self._tell_broken_off(self._plays.left(manager))

    def _tell_broken_off(self, hosts: "Iterable[str]") -> None:
        """Tell of each host that its play ended there without its doing, by what it had done last."""
        for name in hosts:
            if name in self._last and name not in self._failed:
                self._failed.add(name)
                last = self._last[name]
                self._send({**last, "id": f"{last['id']}!", "outcome": "failed", "message": _BROKEN_OFF})

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 -- Ansible's signature
        """Find what walks the play while it is there to be seen: a play may end before anything acts."""
        try:
            self._see()
        except BaseException as error:  # noqa: BLE001 -- as below
            self._end(error)

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """Do the same where a handler ends the play."""
        self.v2_playbook_on_task_start(task)

    def _see(self) -> None:
        if self._iterator is None:
            self._iterator = _calling(_broken_off.is_iterator)
            self._plays.watch(self._iterator)

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """Block until the executor acknowledges `task` on `host`; end the play when it refuses."""
        try:
            self._see()
            if task.action not in _tasks.META:
                action = self._describe(host, task)
                self._client.before(action)
                self._waiting[action["id"]] = action
        except BaseException as error:  # noqa: BLE001 -- whatever it is, the action must not run
            self._drain()
            self._end(error)

    def _describe(self, host: Any, task: Any) -> dict[str, Any]:
        path, line = _tasks.place(task, self._root)
        return {
            "id": self._id(task, host),
            "host": host.name,
            "action": _tasks.action(task),
            "path": path,
            "line": line,
            "name": _tasks.title(task),
            "delegate": _tasks.delegate(task),
        }

    def v2_runner_on_ok(self, result: Any) -> None:
        """Tell a result. That of an include says only which files it names: it is told once they are read."""
        if str(result.task.action) in _tasks.INCLUDES:
            id_ = self._id(result.task, result.host)
            if id_ in self._waiting:
                self._including[id_] = self._waiting[id_]
            return
        self._tell(result, "changed" if result.is_changed() else "ok")
        if _tasks.short(result.task) == "add_host":
            self._added(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:  # noqa: FBT001, FBT002 -- Ansible's signature
        """Tell a failure, and whether the play goes on."""
        more = (
            {"ignored": True} if ignore_errors else {"rescued": True} if _tasks.rescued(result.task) else {}
        )
        self._tell(result, "failed", more)

    def v2_runner_on_skipped(self, result: Any) -> None:
        """Tell that a condition was not met."""
        self._tell(result, "skipped")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Tell that the host could not be reached."""
        ignored = bool(
            result.task_fields.get("ignore_unreachable")
        )  # the worker's own: its template has its value
        self._tell(result, "unreachable", {"ignored": True} if ignored else {})

    def v2_playbook_on_include(self, included_file: Any) -> None:
        """Tell that an include was read, once for each file or role that a loop names."""
        for host in included_file._hosts:  # noqa: SLF001 -- Ansible's own callbacks read it
            id_ = self._id(included_file._task, host)  # noqa: SLF001 -- as above
            self._waiting.pop(id_, None)
            if id_ in self._including:
                self._send({**self._including[id_], "outcome": "ok"})

    def _added(self, result: Any) -> None:
        """Ask for each host that was added and that the plan does not know: the executor refuses and records it."""
        action = self._describe(result.host, result.task)
        for name in _results.added(result.result):
            if name not in self._bounds.hosts:
                try:
                    self._client.before({**action, "id": f"{action['id']}+{name}", "host": name})
                except ActionRefusedError as error:
                    self._drain()
                    self._end(error)

    @staticmethod
    def _id(task: Any, host: Any) -> str:
        return f"{task._uuid}@{host.name}"  # noqa: SLF001 -- Ansible's only id of a task

    def _tell(self, result: Any, outcome: str, more: dict[str, Any] | None = None) -> None:
        id_ = self._id(result.task, result.host)
        action = self._waiting.pop(id_, None) or self._including.get(id_)
        if action is None:  # a meta task
            return
        self._last[action["host"]] = action
        if outcome == "failed" and not more:
            self._failed.add(action["host"])
        # Ansible resolves notifications only when it comes to run handlers: a play that dies before would lose them.
        wanted = (result.task_fields.get("notify") or []) if outcome in {"ok", "changed"} else []
        notified = _handlers.resolve(self._handlers, wanted) if outcome == "changed" else []
        _handlers.notify_again(self._handlers, wanted, result.host, self._owed)
        data = {**(more or {}), **({"notified": notified} if notified else {}), **_preview.told(result)}
        self._send({**action, **_results.describe(result, outcome, data)})

    def _outside(self, host: Any, task: Any, what: str, do: str) -> None:
        """Tell, in a worker, what lies outside the plan and is not done; its task fails, whatever the answer."""
        action = self._describe(host, task)
        with suppress(ActionRefusedError):
            client = ActionClient.from_environment("bounds")
            client.outside({**action, "id": f"{action['id']}!", "outside": what, "do": do})

    def _send(self, result: dict[str, Any]) -> None:
        try:
            self._client.tell(result)
        except BaseException as error:  # noqa: BLE001 -- a result that nobody takes must end the play
            self._end(error)

    def _drain(self) -> None:
        """Wait for the results of actions under way: the strategy is up the stack, about to queue."""
        if self._draining:
            return
        self._draining = True
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 -- Ansible hands no strategy to callbacks
        while frame is not None:
            strategy: Any = frame.f_locals.get("self")
            iterator = frame.f_locals.get("iterator")
            wait = getattr(strategy, "_wait_on_pending_results", None)
            if iterator is not None and wait is not None:
                lock = strategy._tqm._callback_lock  # noqa: SLF001 -- held by the call that we are in: results need it
                lock.release()
                try:
                    wait(iterator)
                finally:
                    lock.acquire()
                return
            frame = frame.f_back

    def _end(self, error: BaseException) -> NoReturn:
        sys.stderr.write(f"itmp: {error}\n")
        raise SystemExit(_REFUSED)


def _calling(wanted: "Callable[[Any], bool]") -> Any:
    """Return what Ansible calls us from: it hands neither its queue manager nor its iterator to callbacks."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 -- as above
    while frame is not None:
        for found in map(frame.f_locals.get, ("self", "iterator")):
            if wanted(found):
                return found
        frame = frame.f_back
    raise ActionRefusedError(
        "Ansible calls its callbacks otherwise than itmp knows: nobody could tell who got through"
    )
