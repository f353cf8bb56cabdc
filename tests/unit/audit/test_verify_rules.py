"""Rules 7 to 12 of the verifier, each broken by a log that its owner wrote on purpose."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from itmp import canonical
from itmp.audit import Event, Finding, verify
from itmp.audit._integrate import integrate, published
from itmp.audit.merkle import Tree, leaf_hash, leaf_hashes, root_of
from itmp.errors import LogUnavailableError
from itmp.signing import NoteKey
from itmp.testing.memory_log import MemoryReader, MemoryStore, genesis, memory_log

ORIGIN = "example.com/ops/2026"
KEY = NoteKey.generate(ORIGIN, bytes(range(32)))
START = datetime(2026, 11, 22, 5, tzinfo=UTC)

Story = list[Event]


def honest() -> Story:
    """Genesis, three events of one change and its close."""
    first = replace(genesis(ORIGIN, KEY.vkey), t="2026-11-22T05:00:00.000000Z", mono=0, boot="b")
    check = Event(id="0", type="check.finished", actor={"kind": "executor", "id": "i"}, change="C")
    story = [first, *(stamp(replace(check, id=f"{n:032x}"), n) for n in range(1, 4))]
    closing = Event(id="c" * 32, type="change.closed", actor={"kind": "human", "id": "a"}, change="C")
    return chained([*story, stamp(closing, 4)])


def stamp(event: Event, second: int) -> Event:
    return replace(event, t=f"2026-11-22T05:00:{second:02}.000000Z", mono=second * 10**9, boot="b")


def granted(story: Story, kind: str, second: str) -> Story:
    """The same with an event of the next boot, after one of second 2."""
    event = replace(story[3], type=kind, boot="b2", t=f"2026-11-22T05:00:{second}Z")
    return chained([*story[:3], event, story[4]])


def chained(story: Story) -> Story:
    """Fill cseq, cprev and the close's commitment as the log would."""
    done: Story = []
    hashes: dict[str, list[bytes]] = {}
    for event in story:
        before = hashes.setdefault(event.change, [])
        if event.change:
            event = replace(event, cseq=len(before), cprev=canonical.of_raw(before[-1]) if before else "")  # noqa: PLW2901
        if event.type == "change.closed":
            event = replace(event, data={"count": len(before), "root": canonical.of_raw(root_of(before))})  # noqa: PLW2901
        before.append(leaf_hash(event.to_bytes()))
        done.append(event)
    return done


def judged(leaves: list[bytes], *, signed: int | None = None, events: bool = True) -> list[Finding]:
    store, tree = MemoryStore(ORIGIN), Tree()
    store.journal.write(leaves, last=False)
    tree.extend(leaf_hashes(leaves))
    signed = len(leaves) if signed is None else signed
    part = Tree()
    part.extend([tree.leaf(n) for n in range(signed)])
    integrate(store, KEY, part, signed)
    return list(verify(MemoryReader(store), [KEY.verifier], events=events))


def test_the_honest_story_holds() -> None:
    assert judged([event.to_bytes() for event in honest()]) == []


LIES: dict[str, tuple[str, Callable[[Story], Story]]] = {
    "an event of another change in between": ("", lambda s: chained([*s[:2], stamp(replace(s[1], id="f" * 32, change="D"), 1), *s[2:]])),
    "an id twice": ("id-twice", lambda s: chained([*s[:3], replace(s[3], id=s[1].id), s[4]])),
    "a number left out": ("cseq-gap", lambda s: [*s[:2], *s[3:]]),
    "a number twice": ("cseq-gap", lambda s: [*s[:3], replace(s[3], cseq=1), s[4]]),
    "another event before": ("cprev-broken", lambda s: [*s[:3], replace(s[3], cprev=s[2].cprev), s[4]]),
    "a chain without a change": ("chain-without-change", lambda s: [*s[:3], replace(s[3], change=""), s[4]]),
    "a close of fewer": ("close-mismatch", lambda s: [*s[:4], replace(s[4], data={**s[4].data, "count": 2})]),
    "a close of others": ("close-mismatch", lambda s: [*s[:4], replace(s[4], data={**s[4].data, "root": s[2].cprev})]),
    "a word after the close": ("after-close", lambda s: chained([*s, stamp(replace(s[1], id="e" * 32), 5)])),
    "a log event in a change": ("change-misplaced", lambda s: chained([*s[:3], replace(s[3], type="log.read"), s[4]])),
    "a second genesis": ("genesis-misplaced", lambda s: chained([*s[:3], replace(s[3], type="log.created"), s[4]])),
    "another first leaf": ("genesis-foreign", lambda s: chained([replace(s[0], data={**s[0].data, "origin": "x"}), *s[1:]])),
    "no genesis": ("genesis-misplaced", lambda s: chained(s[1:])),
    "wall time backwards": ("clock-backwards", lambda s: chained([*s[:3], replace(s[3], t="2026-11-22T04:59:59.000000Z"), s[4]])),
    "a small correction": ("", lambda s: chained([*s[:3], replace(s[3], t="2026-11-22T05:00:01.500000Z"), s[4]])),
    "monotonic time backwards": ("mono-backwards", lambda s: chained([*s[:3], replace(s[3], mono=1), s[4]])),
    "a permit before the newest time": ("granted-behind", lambda s: granted(s, "permit.issued", "00.999999")),
    "an intent before the newest time": ("granted-behind", lambda s: granted(s, "slice.intended", "00.999999")),
    "a permit a second before it": ("", lambda s: granted(s, "permit.issued", "01.000000")),
    "a result before the newest time": ("", lambda s: granted(s, "action.finished", "00.999999")),
    "no time": ("clock-missing", lambda s: chained([*s[:3], replace(s[3], t=""), s[4]])),
    "another form of time": ("clock-missing", lambda s: chained([*s[:3], replace(s[3], t="2026-11-22T05:00:03Z"), s[4]])),
    "no boot": ("clock-missing", lambda s: chained([*s[:3], replace(s[3], boot=""), s[4]])),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_signed_lie_is_named(lie: str) -> None:
    name, tell = LIES[lie]
    leaves = [event.to_bytes() for event in tell(honest())]
    grave = {finding.name for finding in judged(leaves) if finding.grave}
    assert name in grave if name else not grave
    assert not {finding.rule for finding in judged(leaves, events=False)} & {8, 9, 10}


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T05:00:03.000000",
        "2026-11-22T05:00:03.000Z",
        "2026-11-22T05:00:03,000000Z",
        "2026-11-22 05:00:03.000000Z",
        "2026-11-22T05:00:03.000000+00:00",
        "2026-11-22T05:00:03.000000Z\n",
        "2026-11-22T24:00:00.000000Z",
        "2026-11-22T05:00:60.000000Z",
        "2026-02-30T05:00:03.000000Z",
        "0026-11-22T05:00:03.000000Z",
        "2026-W47-7T05:00:03.000000Z",
        "\uff12026-11-22T05:00:03.000000Z",
    ],
)
def test_a_time_has_one_form(text: str) -> None:
    story = honest()
    found = judged([event.to_bytes() for event in chained([*story[:3], replace(story[3], t=text)])])
    assert [(finding.name, finding.grave) for finding in found] == [("clock-missing", True)]


@pytest.mark.parametrize(
    ("lie", "name"),
    [
        ({"t": "2026-11-22T06:00:03.000000Z"}, "clock-stepped"),
        ({"boot": "b2", "t": "2026-11-21T05:00:00.000000Z"}, "clock-behind"),
    ],
)
def test_what_an_honest_machine_may_show_is_named_and_not_grave(lie: dict[str, str], name: str) -> None:
    story = honest()
    story = chained([*story[:3], replace(story[3], **lie)])
    found = judged([event.to_bytes() for event in story])
    assert [(finding.name, finding.grave, finding.place) for finding in found] == [(name, False, "leaf 3")]


def test_a_leaf_that_is_no_event_is_named() -> None:
    leaves = [event.to_bytes() for event in honest()[:2]]
    found = judged([*leaves, leaves[1].replace(b":", b": ", 1)])
    assert [(finding.rule, finding.name, finding.place) for finding in found] == [
        (8, "not-an-event", "leaf 2")
    ]


def test_leaves_beyond_the_checkpoint_are_counted_and_judged() -> None:
    story = honest()
    found = judged([*(event.to_bytes() for event in story[:3]), story[4].to_bytes()], signed=3)
    assert [(finding.name, finding.grave) for finding in found if finding.rule == 11] == [("unsigned", False)]
    assert {finding.name for finding in found if finding.rule == 9} == {
        "cseq-gap",
        "cprev-broken",
        "close-mismatch",
    }


def test_the_trusted_first_leaf_is_asked_for() -> None:
    log, store = memory_log(KEY, start=START)
    reader = MemoryReader(store)
    assert verify(reader, [KEY.verifier], genesis=log.leaf(0).hash) == ()
    wrong = verify(reader, [KEY.verifier], genesis=canonical.digest(b"other"))
    assert [finding.name for finding in wrong] == ["genesis-untrusted"]


def test_a_journal_that_differs_is_named() -> None:
    log, store = memory_log(KEY, start=START)
    log.append(Event(id="a" * 32, type="log.read", actor={"kind": "executor", "id": "i"}))
    log.checkpoint()
    store.journal.leaves[1] = store.journal.leaves[1].replace(b"executor", b"machines")
    assert [finding.name for finding in verify(MemoryReader(store), [KEY.verifier])] == ["journal-differs"]
    del store.journal.leaves[1]
    assert [finding.name for finding in verify(MemoryReader(store), [KEY.verifier])] == ["journal-short"]


class Published(MemoryReader):
    """A log whose publisher was between history and checkpoint when it was read, and steps on after `waits`."""

    def __init__(self, store: MemoryStore, *, waits: int) -> None:
        super().__init__(store)
        self.files, self.waits = store.files.content, waits
        self.newest, self.files["checkpoint"] = self.files["checkpoint"], self.files["history/1.note"]

    def wait(self) -> None:
        """Let the publisher take its step, if it is time."""
        self.waits -= 1
        if self.waits == 0:
            self.files["checkpoint"] = self.newest


@pytest.mark.parametrize(("waits", "told"), [(1, []), (3, []), (99, ["checkpoint-behind"])])
@pytest.mark.parametrize("recorded", [False, True])
def test_a_publisher_between_two_steps_is_waited_for(waits: int, told: list[str], recorded: bool) -> None:  # noqa: FBT001 - a case
    log, store = memory_log(KEY, start=START)
    log.append(Event(id="e" * 32, type="log.read", actor={"kind": "executor", "id": "i"}))
    decided = log.checkpoint().checkpoint
    found = verify(Published(store, waits=waits), [KEY.verifier], decided=decided if recorded else None)
    assert [one.name for one in found] == told
    assert [one.name for one in found if one.grave] == (
        [] if recorded else told
    )  # it publishes what it has decided
    assert len(store.files.names("history")) == 2


class Away(NoteKey):
    """A key whose agent is gone."""

    def sign(self, text: str) -> bytes:
        raise LogUnavailableError(f"no agent for {len(text)} letters")


def test_what_a_killed_publisher_left_is_published_before_another_head_is_decided() -> None:
    log, store = memory_log(KEY, start=START)
    before = store.files.content["checkpoint"]
    log.append(Event(id="e" * 32, type="log.read", actor={"kind": "executor", "id": "i"}))
    log.checkpoint()
    store.files.content["checkpoint"] = before  # killed between the history and the checkpoint
    log.append(Event(id="f" * 32, type="log.read", actor={"kind": "executor", "id": "i"}))
    tree = Tree()
    tree.extend(leaf_hashes(store.journal.leaves))
    with pytest.raises(LogUnavailableError):  # and the next one before it had signed
        integrate(store, Away(name=KEY.name, seed=KEY.seed), tree, 3)
    decided = published(store, KEY.verifier)
    assert decided
    assert decided.checkpoint.size == 2
    found = verify(MemoryReader(store), [KEY.verifier], decided=decided.checkpoint)
    assert [one.name for one in found if one.grave] == []


def test_the_record_tells_of_a_head_that_was_taken_away() -> None:
    log, store = memory_log(KEY, start=START)
    before = store.files.content["checkpoint"]
    log.append(Event(id="e" * 32, type="log.read", actor={"kind": "executor", "id": "i"}))
    decided = log.checkpoint().checkpoint
    del store.files.content["history/2.note"]
    store.files.content["checkpoint"] = before
    found = verify(MemoryReader(store), [KEY.verifier], decided=decided)
    assert [one.name for one in found] == ["checkpoint-behind", "unsigned"]
