"""Whatever dies, stops, fails, is tried again, skipped and answered when: a pause holds, and a no stops.

What holds is read off the leaves alone: nothing ordinary begins in the batches that a pause lets begin unless a yes is
newer than all that has begun before the pause; and nothing that a no forbids begins after it.
"""

from collections.abc import Iterator
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from itmp.audit import Leaf
from itmp.execution.doors import Slice
from itmp.plan import Plan
from itmp.testing.house import House
from itmp.testing.runners import Fuse, Killed
from itmp.testing.small_plans import ansible, ask, check, hosts, plan, rolling

FOUR = hosts(4)
INNER = ("drain", "healthy", "tier", "undrain", "go")
ALWAYS = frozenset({"undrain", "closing"})


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    after = draw(st.sampled_from([(1,), (2,), (1, 2), (1, 3), (1, 2, 3)]))
    inner = [
        ansible("drain", FOUR, tasks=1, on_failure=draw(st.sampled_from(["stop", "continue"]))),
        *([check("healthy", FOUR)] if draw(st.booleans()) else []),
        ansible("tier", FOUR, tasks=1),
        *([ansible("undrain", FOUR, tasks=1, always=True)] if draw(st.booleans()) else []),
        ask("go", after=after),
    ]
    reaction = draw(st.sampled_from(["stop", "stop", "undo", "continue", "last"]))
    block = rolling(FOUR, inner, size=1, max_failures=draw(st.integers(0, 2)), on_failure=reaction)
    steps = [
        ansible("first", FOUR, tasks=1, on_failure="continue"),
        block,
        ansible("between", FOUR, tasks=1),
        ansible("last", FOUR, tasks=1),
        *([ansible("closing", FOUR, tasks=1, always=True)] if draw(st.booleans()) else []),
    ]
    return plan(steps, undo=[ansible("back", FOUR, tasks=1)] if draw(st.booleans()) else [])


scripts = st.dictionaries(
    st.tuples(st.sampled_from(["first", "drain", "healthy", "tier", "undrain"]), st.sampled_from(FOUR)),
    st.lists(st.sampled_from(["failed", "failed", "unreachable", None]), min_size=1, max_size=2),
    max_size=4,
)
words = st.tuples(st.sampled_from(["go@1", "go@2", "go@3"]), st.sampled_from(["true", "true", "false"]))
looks = st.lists(
    st.sampled_from(
        ["true", "true", "true", "false", "die", "true, die", "true, die", "false, die", "stop", "late true", "late false"]
    ),
    max_size=6,
)  # fmt: skip
attempts = st.lists(
    st.tuples(
        st.one_of(st.none(), st.none(), st.integers(0, 20)),  # dies at this action
        st.sets(st.sampled_from(["failed", "unreachable"])),  # is tried again
        st.sampled_from([frozenset(), frozenset(), frozenset(FOUR[:1]), frozenset(FOUR[2:]), frozenset(FOUR[1:])]),
        st.one_of(st.none(), words),  # said while nobody runs
        st.one_of(st.none(), st.tuples(st.integers(0, 15), words)),  # said while something else is done
    ),
    min_size=1,
    max_size=4,
)  # fmt: skip


class Fate:
    """What happens at each vain look of a house, and at the n-th thing that it tells."""

    def __init__(self, house: House, looks_: list[str]) -> None:
        self.house, self._looks = house, looks_
        self._asked = ""
        self._at_stop: list[str] = []
        self.meanwhile: tuple[int, tuple[str, str]] | None = None
        self._told = 0
        house.looked, house.stopping, house.listener = self.looked, self.stopping, self.listener

    def looked(self, part: Slice) -> None:
        self._asked = part.key
        move = self._looks.pop(0) if self._looks else "true"
        event(move)
        value, _, death = move.partition(", ")
        if value in {"true", "false"}:
            self.house.say(part.key, value)
            assert part.key in self.house.run_record.answers, "who is asked can answer"
        elif value == "die":
            raise Killed
        else:
            self._at_stop.append(value.removeprefix("late ").replace("stop", ""))
        if death:
            raise Killed

    def stopping(self) -> bool:
        if not self._at_stop:
            return False
        if value := self._at_stop.pop():
            self.house.say(self._asked, value)
        return True

    def listener(self, told: Any) -> None:
        del told
        self._told += 1
        if self.meanwhile and self.meanwhile[0] == self._told:
            self.house.say(*self.meanwhile[1])

    def attempt(self, fuse: int | None, meanwhile: tuple[int, tuple[str, str]] | None) -> None:
        self.house.fuse, self.meanwhile, self._told = Fuse(fuse), meanwhile, 0
        self._at_stop.clear()


def intended(leaf: Leaf) -> tuple[str, int]:
    """Return step and batch of what begins with a leaf; nothing where nothing does."""
    data = leaf.event.data or {}
    if leaf.event.type != "slice.intended" or leaf.event.phase == "undo" or data.get("passed"):
        return "", 0
    step, _, batch = str(data["slice"]).partition("@")
    return step, int(batch or 0)


def answers(house: House) -> Iterator[tuple[int, int, str]]:
    """Yield index, batch and value of every answer that counts, or once counted."""
    vain = {finding.index for finding in house.story.record.findings}
    for leaf in house.story.log.of_change(house.story.change):
        text = str((leaf.event.data or {}).get("text", ""))
        lines = dict(line.partition(" ")[::2] for line in text.splitlines())
        if lines.get("act") == "answer" and leaf.index not in vain:
            yield leaf.index, int(lines["step"].partition("@")[2]), lines["value"]


def broken(house: House) -> Iterator[str]:
    """Yield what began against a pause or a no."""
    block = next(step for step in house.story.plan.manifest.steps if step.id == "rolling")
    after = next(step for step in block.steps if step.id == "go").after
    said = list(answers(house))
    begun = [
        (leaf.index, *intended(leaf)) for leaf in house.story.log.of_change(house.story.change) if intended(leaf)[0]
    ]  # fmt: skip
    for index, step, batch in begun:
        if step in ALWAYS:
            continue
        pause = max((n for n in after if n < batch), default=0)
        if step in INNER[:-1] and pause:
            last = max((i for i, s, b in begun if s in INNER[:-1] and b <= pause and i < index), default=0)
            if not any(last < i < index and (at, value) == (pause, "true") for i, at, value in said):
                yield f"{step}@{batch} began without a yes after batch {pause}"
        for i, at, value in said:
            if value != "false" or i > index or (step, batch) == ("go", at):
                continue
            if step in INNER or block.on_failure in {"stop", "undo"}:
                yield f"{step}@{batch} began after the no to go@{at}"


@settings(deadline=None, max_examples=15)
@given(plans(), scripts, looks, attempts, st.sampled_from(["", "", "undo"]))
def test_a_pause_holds_and_a_no_stops(
    made: Plan, script: Any, moves: list[str], taken: Any, then: str
) -> None:
    house = House(made, script)
    fate = Fate(house, moves)
    first, *rest = taken
    fate.attempt(first[0], first[4])
    house.run()
    for fuse, retry, skip, dead, meanwhile in [*rest, (None, set(), frozenset(), None, None)]:
        if house.state() not in {"running", "stopped", "failed", "unknown"}:
            break
        if dead:
            house.say(*dead)
        house.reconcile("failed" if fuse else "ok")
        fate.attempt(fuse, meanwhile)
        house.resume(retry, skip)
    if then and made.manifest.undo and house.state() != "undone":
        fate.attempt(None, None)
        house.undo()
    assert list(broken(house)) == []
    no = any(value == "false" for _, _, value in answers(house))
    if no and next(step for step in made.manifest.steps if step.id == "rolling").on_failure in {
        "stop",
        "undo",
    }:
        assert house.state() != "succeeded"
    whole, skimmed = house.story.told_twice()
    assert skimmed == whole
    code, why = house.verdict()
    assert code != 40, why
    event(house.state())
