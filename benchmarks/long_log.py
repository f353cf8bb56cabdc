"""A log of a year's work for the benchmarks of whatever reads one: many changes, each signed by people and sound.

    write(folder, changes) -> LongLog

A few stories are told through the real gate; each is then told again, thousands of times: with other times, nonces,
reasons and references, every statement signed anew, every digest that follows from them computed anew, the events
chained. So every signature holds, every change's evidence is sound, and each of the ordinary exceptions occurs. One
change is long: hundreds of hosts. Written as frames of the journal, portion by portion, each checkpointed.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from itmp.adapters import posix_log
from itmp.adapters.posix_log import frames
from itmp.audit.merkle import Frontier, leaf_hashes
from itmp.calendars import format_time, parse_time
from itmp.canonical import dumps, of_raw
from itmp.plan import Manifest, Plan
from itmp.signing import Signed, Statement, change_id
from itmp.testing.story import ORIGIN, PLAYBOOK, Story, small_plan

APART = 60
"""Seconds from one change to the next."""
PORTION = 2_000
"""Changes that are written before a checkpoint."""
LONG = 500
"""Hosts of the long change."""
WORDS = ("nginx leaks memory", "certificate expires", "disk is filling up", "configuration for the new site")
RARE = {7: "emergency", 13: "alone", 29: "failed", 41: "unclosed", 53: "unapproved"}
"""Which change in a hundred is told by which story; the others are ordinary."""


@dataclass(frozen=True, kw_only=True)
class LongLog:
    """What was written: a workspace in `root`, its log's size, the changes' ids in order, the long one's."""

    root: Path
    events: int
    changes: tuple[str, ...]
    long: str


@dataclass(frozen=True)
class Pattern:
    """A change that was told through the gate: its events as objects, and each leaf's hash."""

    story: Story
    events: tuple[dict[str, Any], ...]
    hashes: tuple[str, ...]

    @classmethod
    def of(cls, story: Story) -> "Pattern":
        leaves = story.log.of_change(story.change)
        return cls(
            story, tuple(json.loads(leaf.data) for leaf in leaves), tuple(leaf.hash for leaf in leaves)
        )


class Teller:
    """Tells patterns again; every leaf gets the next id."""

    def __init__(self, seen: str) -> None:
        self._count, self.seen = 0, seen

    def tell(self, pattern: Pattern, number: int) -> tuple[str, list[bytes]]:
        """Return the change's id and its leaves, moved to the time of change `number`."""
        names: dict[str, str] = {}
        moved = timedelta(seconds=APART * (number + 1))  # the first too is after the genesis of the copy
        leaves: list[bytes] = []
        hashes: list[bytes] = []
        for old, event in zip(pattern.hashes, pattern.events, strict=True):
            value: dict[str, Any] = event
            data = event.get("data", {})
            if "text" in data:
                signed = self._signed(pattern, data["text"], number, moved, names)
                if event["type"] == "change.opened":
                    names[event["change"]] = change_id(signed)
                value = {**event, "data": {**data, **signed.to_data()}}
            value = _renamed(value, names, moved)
            if value["type"] == "change.closed":
                chain = Frontier()
                for one in hashes:
                    chain.append(one)
                value["data"] |= {"count": chain.size, "root": of_raw(chain.root())}
            self._count += 1
            value["id"] = f"{(1 << 100) + self._count:032x}"
            value["mono"] += int(moved / timedelta(microseconds=1)) * 1000
            leaf = dumps(value)
            [found] = leaf_hashes([leaf])
            names[old] = of_raw(found)
            leaves.append(leaf)
            hashes.append(found)
        return names[pattern.events[0]["change"]], leaves

    def _signed(
        self, pattern: Pattern, text: str, number: int, moved: timedelta, names: dict[str, str]
    ) -> Signed:
        old = Statement.parse(text)
        nonce = hashlib.sha256(f"{number} {self._count}".encode()).digest()[:16]
        start, end = (format_time(at + moved) for at in old.valid)
        fields = {name: names.get(value, value) for name, value in old.fields.items()}
        fields |= {"valid": f"{start} {end}", "nonce": base64.b64encode(nonce).decode(), "seen": self.seen}
        if old.act == "open":
            fields |= {"reason": f"{WORDS[number % len(WORDS)]}, no. {number}", "external": f"CR-{number:06}"}
        return pattern.story.people[fields.pop("signer").partition("@")[0]].state(old.act, fields)


def _renamed(value: Any, names: dict[str, str], moved: timedelta) -> Any:
    """Return the value with every digest and id that is known by another name now; times are moved."""
    if isinstance(value, dict):
        return {
            key: _later(item, moved) if key in {"t", "not_after"} else _renamed(item, names, moved)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_renamed(item, names, moved) for item in value]
    return names.get(value, value) if isinstance(value, str) else value


def _later(text: str, moved: timedelta) -> str:
    if len(text) == len("2026-11-28T00:00:00Z"):
        return format_time(parse_time(text) + moved)
    return (datetime.fromisoformat(text) + moved).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def one_step(hosts: tuple[str, ...]) -> Plan:
    """Return a plan of one step, so that a change of one host has ten events."""
    manifest: Manifest = small_plan(hosts=hosts).manifest
    [first, *_] = manifest.steps
    play = b"- hosts: all\n  tasks:\n  - ansible.builtin.service: {name: nginx, state: restarted}\n"
    return Plan.build(
        replace(manifest, steps=(first,), artifacts={}), {PLAYBOOK: play, "inventory/snapshot.json": b"{}"}
    )


def policy() -> bytes:
    """Return a policy under which every ordinary exception can happen."""
    tree = yaml.safe_load(Story().policy_bytes)
    tree["separation"] = [
        {"environment": "production", "requester_approves": True, "approver_runs": True, "because": "a team of two"}
    ]  # fmt: skip
    return yaml.safe_dump(tree).encode()


def patterns(rules: bytes) -> dict[str, Pattern]:
    """Tell each story once."""
    small = one_step(("web1",))
    made = {
        name: Story(plan=plan, policy=rules)
        for name, plan in {
            "ordinary": small, "emergency": small, "failed": small, "unclosed": small, "alone": small,
            "unapproved": small_plan(environment="lab", group="lab", hosts=("lab1",)),
            "long": one_step(tuple(f"web{n:03}" for n in range(LONG))),
        }.items()
    }  # fmt: skip
    for name in ("ordinary", "long"):
        made[name].tell()
    made["emergency"].open(type="emergency")
    for who in ("bob", "carol"):
        made["emergency"].act("approve", who)
    made["emergency"].execute(made["emergency"].permit())
    made["emergency"].act("review", "dave", reason="looked at")
    made["emergency"].close()
    made["alone"].tell(runner="bob")
    made["unapproved"].tell(approvers=())
    for name, state in (("failed", "failed"), ("unclosed", "succeeded")):
        story = made[name]
        story.open()
        story.act("approve", "bob")
        story.execute(story.permit(), outcome="failed" if state == "failed" else "changed", state=state)
        if name == "failed":
            story.close()
    return {name: Pattern.of(story) for name, story in made.items()}


def told(which: dict[str, Pattern], changes: int, teller: Teller) -> Iterator[tuple[str, list[bytes]]]:
    """Yield each change's id and leaves."""
    for number in range(changes):
        name = "long" if number == changes // 2 else RARE.get(number % 100, "ordinary")
        yield teller.tell(which[name], number)


def write(root: Path, changes: int) -> LongLog:
    """Write a workspace whose log has so many changes, about ten events each."""
    state = root / ".itmp"
    state.mkdir(parents=True, mode=0o700)
    (root / "itmp.yml").write_text("organization: example.com\nlog: ops\n")
    rules = policy()
    which = patterns(rules)
    seed = which["ordinary"].story
    log = posix_log.create(
        state, origin=ORIGIN, genesis=seed.log.leaf(0).event, key=seed.key, clock=seed.clock
    )
    for pattern in which.values():
        for data in (*pattern.story.plan.artifacts.values(), pattern.story.plan.manifest_bytes):
            log.put_blob(data)
    ids: list[str] = []
    teller, waiting = Teller(_head(log.checkpoint())), list[bytes]()
    for change, leaves in told(which, changes, teller):
        ids.append(change)
        waiting += leaves
        if len(ids) % PORTION == 0 or len(ids) == changes:
            with (state / "log/.state/journal.0").open("ab") as journal:
                journal.writelines(map(frames.encode, waiting))
            waiting = []
            log = posix_log.open_log(state, clock=seed.clock)
            teller.seen = _head(log.checkpoint())
    return LongLog(root=root, events=log.size(), changes=tuple(ids), long=ids[changes // 2])


def _head(signed: Any) -> str:
    return f"{signed.checkpoint.size} {base64.b64encode(signed.checkpoint.root).decode()}"
