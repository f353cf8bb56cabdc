"""Whatever the log's owner writes into a leaf, every question about the log gets an answer or one of our errors."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from itmp import workspace
from itmp.audit import STANDING, Event, Leaf
from itmp.audit.event import TYPES
from itmp.canonical import digest
from itmp.change import policy_history
from itmp.errors import Error
from itmp.export import FORMATS, record
from itmp.inquiry.exceptions import KINDS
from itmp.testing.on_disk import story_on_disk
from itmp.testing.story import EXECUTOR, Story
from itmp.viewer import application

VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 2**53 - 1, "", "x", "sha256:" + "0" * 64, [], [1, None], {}, {"id": [1]}, [{"text": 1}],
    "itmp-statement/v1\nact run\nsigner \x1b[31m\n",
)  # fmt: skip
KEYS: Mapping[str, tuple[str, ...]] = {
    "plan.compiled": ("name", "kind"),
    "plan.previewed": ("preview", "changed", "text", "signature", "assurance"),
    "log.recovered": ("cut", "size", "blob"),
    "log.read": ("leaf", "pointer"),
    "log.exported": ("format", "target", "from", "to", "period", "archive", "what"),
    "redaction.done": ("leaf", "pointer", "commitment", "cause", "statements"),
    "change.refused": ("act", "exit_code", "checks", "held"),
    "change.closed": ("text", "signature", "count", "root"),
    "permit.issued": ("permit",),
    "run.started": ("permit",),
    "run.resumed": ("permit", "retry", "skip", "reason"),
    "run.stopped": ("why",),
    "run.finished": ("state", "hosts", "hosts_blob", "hosts_digest", "resources"),
    "slice.intended": ("slice", "hosts", "hosts_blob", "work", "permit", "owed", "until", "passed"),
    "slice.finished": ("slice", "hosts", "hosts_digest"),
    "action.intended": ("inputs", "inputs_blob"),
    "action.finished": ("message", "path", "line", "name", "delegate", "more", "diff_lost", "slice"),
    "check.finished": ("message",),
    "ask.answered": ("value", "statement"),
    "action.reconciled": ("probe", "slice", "text", "signature"),
    "log.full": (),
}
STATED = ("text", "signature", "statements", "offline")


LOOSE = ("log", "plan", "redaction")
"""What a type begins with that belongs to no change."""


class Nonsense:
    """Leaves of every type with data that nobody honest writes, behind an honest beginning and in place of one."""

    def __init__(self, root: Path) -> None:
        self.story = story_on_disk(root)
        self.ids: list[str] = []
        for word, group in groupby(sorted(TYPES - STANDING), lambda kind: kind.partition(".")[0]):
            kinds = tuple(group)
            self.story.log.extend(self._loose(kinds) if word in LOOSE else self._tell(f"run-{word}", kinds))
        self.story.log.checkpoint()

    def _loose(self, kinds: Iterable[str]) -> list[Event]:
        return [
            Event(id=self.story.id(), type=kind, actor=EXECUTOR, data=data)
            for kind in kinds
            for data in variants(KEYS.get(kind, STATED), {})
        ]

    def _tell(self, run: str, kinds: tuple[str, ...]) -> list[Event]:
        story = self.story
        story.open(reason=f"about {run}")
        story.act("approve", "bob")
        permit = story.permit(run=run)
        story.say(permit, "run.started", data={"permit": permit.leaf})
        intent = story.intend(permit, story.steps()[0], ["web1"])
        self.ids.append(story.change)
        about: dict[str, Any] = {"change": story.change, "plan": story.plan.digest, "run": permit.run}
        about |= {"intent": intent.hash, "target": {"kind": "host", "id": "web1"}, "outcome": "unknown"}
        return [
            Event(id=story.id(), type=kind, actor=EXECUTOR, **fields)
            for kind in kinds
            for at, data in enumerate(variants(KEYS.get(kind, STATED), self._honest(kind, permit.leaf)))
            for fields in self._places(kind, at, {**about, "data": data})
        ]

    def _places(self, kind: str, at: int, about: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Yield the told change, unless that ends with it, and for some a change that begins with it."""
        first = {**about, "change": f"CHG-{sorted(TYPES).index(kind):05x}{at:05x}"}
        if (
            kind == "change.closed"
        ):  # the log takes one that commits all before it, here nothing, and no other
            yield {**first, "data": {**(about["data"] or {}), "count": 0, "root": digest(b"")}}
            return
        yield about
        if at % 9 == 0:
            yield first

    def _honest(self, kind: str, permit: str) -> dict[str, Any]:
        """Return data of this type as they ought to be, of which one is replaced at a time."""
        for leaf in self.story.log.of_change(self.story.change):
            if leaf.event.type == kind:
                return dict(leaf.event.data or {})
        return {
            "run.resumed": {"permit": permit, "retry": ["failed"], "skip": ["web1"], "reason": "r"},
            "run.finished": {"state": "succeeded", "hosts": {"web1": "ok"}, "resources": {}},
            "slice.finished": {"slice": "restart", "hosts": {"web1": "ok"}},
            "action.reconciled": {"text": "itmp-statement/v1\n", "signature": "x"},
        }.get(kind, {})


def variants(keys: tuple[str, ...], honest: Mapping[str, Any]) -> Iterator[Mapping[str, Any] | None]:
    """Yield no data, then for each key every nonsense, alone and among data that are as they ought to be."""
    yield None
    yield {"x": 1}
    for key in keys:
        for value in VALUES:
            yield {key: value}
            if honest:
                yield {**honest, key: value}
    inner = honest.get("permit")
    for key in inner if isinstance(inner, dict) else ():
        for value in VALUES:
            yield {"permit": {**inner, key: value}}  # type: ignore[dict-item]  # it is an object here


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Nonsense]:
    root = tmp_path_factory.mktemp("nonsense")
    return root, Nonsense(root)


def records(place: workspace.Workspace) -> list[bytes]:
    return [record(name, place.log.origin, leaf) for leaf in place.log.leaves() for name in FORMATS]


QUESTIONS: Mapping[str, Callable[[workspace.Workspace], Any]] = {
    "verify": workspace.audit_verify,
    "strict": partial(workspace.audit_verify, strict=True),
    "population": lambda place: [case.id for case in workspace.audit_population(place).cases],
    "exceptions": workspace.audit_exceptions,
    "access": workspace.audit_access,
    "retention": workspace.audit_retention,
    "health": workspace.audit_health,
    "export": records,
    "list": lambda place: workspace.audit_list(place, "", kind="", limit=0),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_about_nonsense_has_an_answer(told: tuple[Path, Nonsense], name: str) -> None:
    assert QUESTIONS[name](workspace.Workspace.here(told[0]))


def test_every_page_about_nonsense_is_a_page(told: tuple[Path, Nonsense]) -> None:
    root, nonsense = told
    size = nonsense.story.log.size()
    with TestClient(application(workspace.Workspace.here(root)), base_url="http://localhost") as client:
        for path in ("/", "/?q=about", "/exceptions", "/access", "/log"):
            assert client.get(path).status_code == 200, path
        for change in (*nonsense.ids, *nonsense.story.log.changes()[::40]):
            assert "Traceback" not in client.get(f"/changes/{change}").text
        for index in range(0, size, 97):
            assert client.get(f"/leaves/{index}").status_code == 200


@pytest.mark.parametrize("kind", sorted(STANDING))
def test_nonsense_about_who_may_do_what_is_an_error_of_ours(kind: str) -> None:
    story = Story()
    honest: dict[str, Any] = dict(story.log.leaf(0).event.data or {})
    if kind != "log.created":
        honest = {"from": story.log.vkey, "to": story.log.vkey, "size": 2, "key": story.log.vkey, **honest}
    for data in variants(tuple(honest), honest):
        event = Event(id=story.id(), type=kind, actor=EXECUTOR, data=data, t="2026-11-23T00:00:00.000000Z")
        leaf = Leaf(index=0 if kind == "log.created" else 1, data=event.to_bytes())
        with suppress(Error):
            policy_history([leaf] if kind == "log.created" else [story.log.leaf(0), leaf])
            assert data in (honest, {**honest, "previous": None}), "nothing but the honest genesis passes"


def test_who_left_hosts_out_is_told_whatever_stands_there(told: tuple[Path, Nonsense]) -> None:
    found = workspace.audit_exceptions(workspace.Workspace.here(told[0]))
    assert {one.kind for one in found} <= set(KINDS)
    assert any(one.kind == "skipped" and "could not be read" in one.why for one in found)
