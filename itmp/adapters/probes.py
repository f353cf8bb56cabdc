"""Probes from the controller (HTTP, TCP), the runner of check steps, and the prober for resume.

Rules kept here: a probe changes nothing: GET or a connection, no proxies, no redirect to another host, a
bounded answer. A check is an action like any other: asked for before it starts, told when it is over, once
per host.
"""

import http.client
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import replace
from threading import Event
from typing import IO, TYPE_CHECKING, Final, assert_never

from itmp.errors import Error, InvalidInputError
from itmp.execution.doors import Action, ActionResult, Observer, Prober, Room, Slice, Verdict
from itmp.plan import AnsibleStep, CheckStep, Plan
from itmp.plan.model import CommandProbe, HttpProbe, NetworkProbe, Probe, TcpProbe

if TYPE_CHECKING:
    from itmp.change import Permit

_ATTEMPT: Final = 10.0  # seconds for one attempt
_PAUSE: Final = 1.0  # seconds between attempts
_BODY: Final = 1024 * 1024
_AT_ONCE: Final = 32
_SCHEMES: Final = frozenset({"http", "https"})


def ask(probe: NetworkProbe, *, timeout: float = _ATTEMPT) -> str:
    """Ask once; return "" when the answer is right, else one line that says what was wrong."""
    match probe:
        case HttpProbe():
            return _http(probe, timeout)
        case TcpProbe():
            return _tcp(probe, timeout)
        case _:
            assert_never(probe)


def ask_until(probe: NetworkProbe, within: float, *, going_on: Callable[[], bool] = lambda: True) -> str:
    """Ask again and again until the answer is right or `within` seconds have passed; return as `ask` does."""
    end = time.monotonic() + within
    while True:
        wrong = ask(probe, timeout=min(_ATTEMPT, max(0.1, end - time.monotonic())))
        if not wrong or time.monotonic() + _PAUSE >= end or not going_on():
            return wrong
        time.sleep(_PAUSE)


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows a redirect on the same host and port only: another host's answer says nothing of this one."""

    def redirect_request(  # noqa: PLR0917 -- the base class's signature
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        old, new = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
        if new.scheme not in _SCHEMES or (old.hostname, old.port) != (new.hostname, new.port):
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _http(probe: HttpProbe, timeout: float) -> str:
    if urllib.parse.urlsplit(probe.url).scheme not in _SCHEMES:
        raise InvalidInputError("a probe's URL that is not http or https", where=probe.url[:200])
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _SameHost())
    headers = {"User-Agent": "itmp"}
    request = urllib.request.Request(probe.url, headers=headers)  # noqa: S310 -- the scheme is checked above
    try:
        with opener.open(request, timeout=timeout) as answer:
            return _judge(probe, answer.status, answer.read(_BODY))
    except urllib.error.HTTPError as error:
        with error:
            return _judge(probe, error.code, error.read(_BODY))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return _reason(error)


def _judge(probe: HttpProbe, status: int, body: bytes) -> str:
    if status != probe.status:
        return f"answered {status}, not {probe.status}"
    if probe.contains and probe.contains.encode() not in body:
        return f"answered {status} without the text that was asked for"
    return ""


def _tcp(probe: TcpProbe, timeout: float) -> str:
    try:
        with socket.create_connection((probe.host, probe.port), timeout=timeout):
            return ""
    except (OSError, OverflowError, ValueError) as error:
        return _reason(error)


def _reason(error: Exception) -> str:
    inner = getattr(error, "reason", error)
    text = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    return f"no answer: {text}".replace("\n", " ")[:300]


def verdicts(step: CheckStep) -> Mapping[str, str]:
    """Ask each host of a check once, side by side; "" where its answer is right now, else what is wrong with it."""
    with ThreadPoolExecutor(max_workers=min(_AT_ONCE, max(1, len(step.probes)))) as pool:
        return dict(zip(step.probes, pool.map(ask, step.probes.values()), strict=True))


class CheckRunner:
    """Runs check steps (door: `itmp.execution.doors.Runner`); all hosts are asked side by side.

    Every host has the step's `within` seconds and is asked at least once. One thread calls the observer.
    """

    def __init__(self) -> None:
        self._stopped = False

    def run(
        self,
        permit: "Permit",  # noqa: ARG002 -- the door's signature
        plan: Plan,  # noqa: ARG002 -- as above
        part: Slice,
        *,
        room: Room,  # noqa: ARG002 -- as above
        observer: Observer,
    ) -> None:
        """Carry out `part`; see the door's contract."""
        step = part.step
        if not isinstance(step, CheckStep):
            raise InvalidInputError(f"not a check step: {step.kind}", where=part.key)
        missing = [host for host in part.hosts if host not in step.probes]
        if missing:
            raise InvalidInputError(f"no probe for {', '.join(missing[:5])}", where=part.key)
        end = time.monotonic() + step.within
        refused = Event()
        with ThreadPoolExecutor(max_workers=min(_AT_ONCE, max(1, len(part.hosts)))) as pool:
            asked: dict[Future[str], Action] = {}
            try:
                for host in part.hosts:
                    action = _action(step, host)
                    observer.before(action)
                    asked[pool.submit(self._ask, step.probes[host], end, refused)] = action
            except BaseException:
                refused.set()
                raise
            finally:
                for future in as_completed(asked):
                    observer.after(_result(asked[future], future.result()))

    def _ask(self, probe: NetworkProbe, end: float, refused: Event) -> str:
        within = max(0.1, end - time.monotonic())
        return ask_until(probe, within, going_on=lambda: not (self._stopped or refused.is_set()))

    def stop(self) -> None:
        """Do not ask again after the attempts under way. Safe in a signal handler."""
        self._stopped = True

    def sweep(self, plan: Plan, part: Slice, *, room: Room) -> tuple[str, ...]:  # noqa: ARG002 -- the door's signature
        """Nothing of a check outlives its process."""
        return ()


def _action(step: CheckStep, host: str) -> Action:
    kind = step.probes[host].kind
    return Action(id=f"{step.id}@{host}", host=host, action=f"itmp.check.{kind}", name=step.title)


def _result(action: Action, wrong: str) -> ActionResult:
    return ActionResult(
        id=action.id,
        host=action.host,
        action=action.action,
        name=action.name,
        outcome="failed" if wrong else "ok",
        message=wrong,
    )


class DeclaredProber:
    """Answers by the probes that a step declares (door: `itmp.execution.doors.Prober`).

    `on_hosts` makes what asks by commands on hosts, when one is declared; without it they cannot be known.
    """

    def __init__(self, on_hosts: Callable[[], Prober] | None = None) -> None:
        self._on_hosts = on_hosts

    def probe(self, plan: Plan, part: Slice, targets: tuple[str, ...], *, room: Room) -> dict[str, Verdict]:
        """Answer for each host that has a probe; what fails on our side has found out nothing."""
        declared = part.step.probes if isinstance(part.step, AnsibleStep | CheckStep) else {}
        there = [host for host in targets if isinstance(declared.get(host), CommandProbe)]
        here = {host: probe for host, probe in declared.items() if host in targets and host not in there}
        with ThreadPoolExecutor(max_workers=min(_AT_ONCE, max(1, len(here)))) as pool:
            found = dict(zip(here, pool.map(_verdict, here.values()), strict=True))
        if there and self._on_hosts:
            asked = replace(part, hosts=tuple(host for host in part.hosts if host in there))
            found |= self._on_hosts().probe(plan, asked, tuple(there), room=room)
        return found


def _verdict(probe: Probe) -> Verdict:
    try:
        return "cannot_know" if isinstance(probe, CommandProbe) else "not_done" if ask(probe) else "done"
    except Error:
        return "cannot_know"


__all__ = ["CheckRunner", "DeclaredProber", "ask", "ask_until"]
