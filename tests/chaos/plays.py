"""The prey: runbooks with what real plays have, so that strikes meet it under way.

Every task runs one act on a host, by which it is called: roles, handlers, work in the background, another user's work, a
rescue, one host's work for all on another host, serial and free plays, steps that close a batch, and undo. An act that
changes something does so once, as modules do: told again, it is `ok`, and its handler would be lost with the first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

HOME: Final = "/srv/w"
"""The folder of a test on each host, as the host sees it."""
DELEGATE: Final = "web3"
"""Where acts run that their play delegates, whichever host they are for."""
ACT: Final = """\
#!/bin/sh
trap "" HUP
cd /srv/w || exit 9
since=$(date +%s.%N)
note() { echo "$1 $2 $(date +%s.%N) $since" >> journal; }
note begin "$1"
if [ -e "slow-$1" ]; then rm -f "slow-$1"; sleep 5; else sleep "0.$2"; fi
case "$3" in
make) [ -e "made-$1" ] || { note change "$1"; : > "made-$1"; echo turned; } ;;
unmake) ! ls made-* >/dev/null 2>&1 || { note change "$1"; rm -f made-*; echo turned; } ;;
disk) if ! echo "$1" > disk/note; then note fail "$1"; exit 1; fi ;;
esac
note end "$1"
"""
"""Writes what happens into the host's journal; where a file `slow-NAME` lies it takes its time, once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One act of a step. `kind` is what it is to Ansible; `how` what it does: `make` and `unmake` change something once,
    `disk` needs room. A `handler` runs after what it `follows`; without `must` a host gets through its step without it.
    """

    step: str
    kind: str
    length: int = 1
    how: str = ""
    follows: str = ""
    must: bool = True
    undo: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Prey:
    """A runbook, its `files`, and about how many bytes of events a whole run and a whole undo of it write."""

    document: str
    files: Mapping[str, str]
    acts: Mapping[str, Act]
    growth: int
    least: int


ACTS: Final[Mapping[str, Act]] = {
    "a": Act(step="a", kind="raw", length=2, how="disk"),
    "b": Act(step="b", kind="command", length=3, how="disk"),
    "z": Act(step="z", kind="always", how="disk"),
    "conf": Act(step="deploy", kind="role", how="make"),
    "unpack": Act(step="deploy", kind="async", length=3, how="disk"),
    "own": Act(step="deploy", kind="become", length=2),
    "reload": Act(step="deploy", kind="handler", length=2, follows="conf", must=False),
    "risky": Act(step="roll", kind="block", how="disk", must=False),
    "mend": Act(step="roll", kind="rescue", length=2, must=False),
    "once": Act(step="roll", kind="once", must=False),
    "seal": Act(step="roll", kind="serial"),
    "tune": Act(step="late", kind="free", how="make"),
    "fetch": Act(step="late", kind="async", length=2),
    "lock": Act(step="late", kind="become"),
    "kick": Act(step="late", kind="handler", length=2, follows="tune", must=False),
    "revert": Act(step="revert", kind="undo", length=2, how="disk", undo=True),
    "unset": Act(step="back", kind="undo", how="unmake", undo=True),
    "back": Act(step="back", kind="undo", length=2, undo=True),
    "restore": Act(step="back", kind="handler", follows="unset", must=False, undo=True),
}
"""Every act by its name, which no other act has, in any of the runbooks."""


def _task(name: str, module: str = "ansible.builtin.command", **more: Any) -> dict[str, Any]:
    act = ACTS[name]
    task = {"name": name, module: f"sh {HOME}/act {name} {act.length} {act.how}".strip(), **more}
    if act.how in {"make", "unmake"}:
        task |= {"register": "done", "changed_when": "'turned' in done.stdout"}
        task |= {"notify": [other for other, its in ACTS.items() if its.follows == name]}
    return task


def _step(name: str, module: str = "ansible.builtin.command", **more: Any) -> dict[str, Any]:
    return {"id": name, "tasks": [_task(name, module)], **more}


_AS_NOBODY: Final = {"become": True, "become_user": "nobody"}
_BEHIND: Final = {"async": 30, "poll": 1}
_HEAD: Final = {"hosts": "web", "gather_facts": False}
_ROLE: Final = "playbooks/roles/app"
_UNDO: Final = [{"id": "back", "playbook": "back"}]
_BACK: Final = [{**_HEAD, "tasks": [_task("unset"), _task("back")], "handlers": [_task("restore")]}]
_ROLL: Final = [
    {
        **_HEAD,
        "serial": [1, 2],
        "tasks": [
            {"name": "Try", "block": [_task("risky")], "rescue": [_task("mend")]},
            _task("once", run_once=True, delegate_to=DELEGATE),
            _task("seal"),
        ],
    }
]
_LATE: Final = [
    {
        **_HEAD,
        "strategy": "free",
        "tasks": [_task("tune"), _task("fetch", **_BEHIND), _task("lock", **_AS_NOBODY)],
        "handlers": [_task("kick")],
    }
]


def _rolling(*steps: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the steps in two batches, closed by `z`."""
    closing = _step("z", always=True)
    rolling = {"hosts": "web", "batches": [1, 2], "max_failures": 0}
    return [{"id": "tier", "rolling": rolling, "steps": [*steps, closing]}]


def _prey(name: str, steps: list[dict[str, Any]], undo: Any, files: Mapping[str, Any], *size: int) -> Prey:
    head = {"itmp": "runbook/v1", "name": name, "title": name.capitalize(), "owner": "team-web"}
    document = {**head, "environment": "production", "risk": "moderate", "steps": steps, "undo": undo}
    texts = {path: yaml.safe_dump(tree, sort_keys=False) for path, tree in files.items()}
    written = yaml.safe_dump(document, sort_keys=False)
    whole = "\n".join([written, *texts.values()])
    acts = {act: its for act, its in ACTS.items() if f"{HOME}/act {act} " in whole}
    growth, least = size
    return Prey(document=written, files=texts, acts=acts, growth=growth, least=least)


PREY: Final[Mapping[str, Prey]] = {
    "commands": _prey(
        "commands",
        _rolling(_step("a", "ansible.builtin.raw"), _step("b")),
        [_step("revert", hosts="web")],
        {},
        21_000,
        4_500,
    ),
    "role": _prey(
        "role",
        _rolling({"id": "deploy", "playbook": "deploy"}),
        _UNDO,
        {
            "playbooks/deploy.yml": [{**_HEAD, "roles": ["app"]}],
            f"{_ROLE}/tasks/main.yml": [
                _task("conf"),
                _task("unpack", **_BEHIND),
                _task("own", **_AS_NOBODY),
            ],
            f"{_ROLE}/handlers/main.yml": [_task("reload")],
            "playbooks/back.yml": _BACK,
        },
        21_000,
        6_000,
    ),
    "site": _prey(
        "site",
        [{"id": "roll", "playbook": "roll", "delegates": [DELEGATE]}, {"id": "late", "playbook": "late"}],
        _UNDO,
        {"playbooks/roll.yml": _ROLL, "playbooks/late.yml": _LATE, "playbooks/back.yml": _BACK},
        21_000,
        6_000,
    ),
}
