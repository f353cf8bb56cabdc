"""Questions, waits and guards, held against the plan and the log: rule 20 of `itmp.evidence.verify`.

Rules kept here: a question is settled only by a statement that counts (signed, of this run, in a role that was asked,
of the right type, the first one, before the event that names it); a wait ends no earlier than its first intent said,
and every later attempt says the same, unless what precedes it in its batch was begun again; a question between batches
is asked again where the run is taken up inside a batch that it lets begin, or comes to one after anything in its batch
or an earlier one was begun again; a slice is passed over only where its guard does not hold or a
failure leads past it, and is carried out only where neither is so; nothing but `always` steps begins before the
questions and waits that stand before it are settled, or once a no that counts is in the log that ends the run or the
block. A slice that has begun goes on whatever its guard says by then.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

from itmp.audit import Event, Leaf
from itmp.calendars import CalendarError, parse_time
from itmp.change import ChangeRecord, RunRecord, SliceRecord, time_of
from itmp.documents.guards import Value
from itmp.evidence.work import Work
from itmp.plan import (
    AnsibleStep,
    AskStep,
    HostStep,
    LeafStep,
    Manifest,
    Part,
    RollingStep,
    WaitStep,
    all_steps,
    answer_value,
    forbidden,
    is_no,
    known_from,
    led,
    questions,
    slice_key,
    slices,
)
from itmp.plan.guarding import REACTIONS, closed_by, guards_on, jumped

SLACK: Final = timedelta(seconds=5)
"""How far the executor's clock may stand from the log's when it writes when a wait will end."""
_BAD: Final = frozenset({"failed", "unreachable", "unknown"})
_SETTLED: Final = frozenset({"ok", "failed", "skipped"})
_REAL: Final = frozenset({"ok", "changed", "failed", "unreachable", "unknown", "skipped"})


def intent_problem(manifest: Manifest, record: ChangeRecord, leaf: Leaf, step: LeafStep) -> str:
    """Return why the intent of a `do` slice contradicts guards, jumps or waits; empty when it does not."""
    event, data = leaf.event, leaf.event.data or {}
    run = next((one for one in record.runs if one.id == event.run), None)
    key = str(data.get("slice", ""))
    if key not in {slice_key(part) for part in slices(manifest) if part.step.id == step.id}:
        return f"{key!r:.80} is no slice of step {step.id}"
    if run is None:
        return ""
    passed = bool(data.get("passed"))
    why = _closed(manifest, run, step, key, bad=_BAD | {"not_reached"} if passed else _BAD)
    if passed and not why:
        return f"{key} was passed over, and nothing says that it should be"
    if why and not passed:
        return f"{key} was carried out against its guard: {why}"
    return "" if passed else _turn_problem(manifest, run, leaf, step, key)


def _turn_problem(manifest: Manifest, run: RunRecord, leaf: Leaf, step: LeafStep, key: str) -> str:
    permit = str((leaf.event.data or {}).get("permit", ""))
    if problem := "" if step.always else _order_problem(manifest, run, key, permit=permit):
        return problem
    return _wait_problem(manifest, step, run, leaf, key) if isinstance(step, WaitStep) else ""


def undo_problem(event: Event) -> str:
    """Return why the intent of an undo slice cannot be; empty when it can."""
    passed = (event.data or {}).get("passed")
    return "an undo step was passed over, and nothing leads past one" if passed else ""


def answer_problem(record: ChangeRecord, event: Event, work: Work) -> str:
    """Return why `ask.answered` is not borne by a statement; empty when it is."""
    run = next((one for one in record.runs if one.id == event.run), None)
    given = run.answers.get(work.key) if run else None
    data = event.data or {}
    if given is None or data.get("statement") != given.leaf:
        return "no answer that counts stands before it"
    value = given.statement.fields["value"]
    step = work.question
    if step is None or data.get("value") != value:
        return "it names another answer than the statement"
    wanted = "failed" if answer_value(step, value) is False else "ok"
    return "" if event.outcome == wanted else f"an answer {value!r:.40} that is said to be {event.outcome}"


def wait_problem(leaf: Leaf, work: Work) -> str:
    """Return why a wait is not over yet; empty when it is."""
    end = _time(work.until)
    over = end is not None and time_of(leaf) >= end - SLACK
    return "" if over else f"the wait ended before {work.until or 'any time that was named'}"


def _order_problem(manifest: Manifest, run: RunRecord, key: str, *, permit: str) -> str:
    """Return why the slice `key` could not begin yet, or any more; empty when it could."""
    keys = [slice_key(part) for part in slices(manifest)]
    blocks = _blocks(manifest)
    own = next(part for part in slices(manifest) if slice_key(part) == key)
    mine = blocks.get(own.step.id)
    for part in slices(manifest)[: keys.index(key)]:
        step, block, name = part.step, blocks.get(part.step.id), slice_key(part)
        # Whether a word inside another block was due depends on hosts that had failed by then.
        if not isinstance(step, AskStep | WaitStep) or (block is not None and block is not mine):
            continue
        if block is not None and isinstance(step, WaitStep):
            continue
        words = [one for one in run.slices if one.key == name]
        if not words or not _SETTLED & set((words[-1].finished or {}).values()):
            return f"{key} began before {name} was settled"
        if _lets(mine, part, own) and _overtaken(manifest, run, part, words[-1], permit=permit):
            return f"{key} began again before {name} was asked again"
        ended = {state for one in words for state in (one.finished or {}).values()}
        if "failed" in ended and (block is not None or step.on_failure in {"stop", "undo"}):
            return f"{key} began although the answer to {name} was no"
    return _no_problem(manifest, run, key)


def _lets(block: RollingStep | None, word: Part, part: Part) -> bool:
    """Whether `part`, which stands after `word`, acts where a yes to it lets something begin."""
    step = word.step
    if block is None:  # the run asks again only where anything is left to do by then, which no leaf tells
        return False
    if not isinstance(step, AskStep) or not isinstance(part.step, HostStep):
        return False
    return part.batch in led(block, step, word.batch)


def _no_problem(manifest: Manifest, run: RunRecord, key: str) -> str:
    """Return which no in the log forbids that the slice `key` begins; empty when none does."""
    asked = questions(manifest)
    noes = (
        name
        for name, given in run.answers.items()
        if is_no(asked[name], given.line("value")) and key in forbidden(manifest, name)
    )
    return next((f"{key} began although the answer to {name} was no" for name in noes), "")


def _overtaken(manifest: Manifest, run: RunRecord, word: Part, last: SliceRecord, *, permit: str) -> bool:
    """Whether something was begun after the word's `last` slice that makes it due again.

    A question: anything in its batch or an earlier one or, before the present `permit`, what opens one of those that it
    lets begin. A wait that was over: what opens its batch before it.
    """
    block, parts = _blocks(manifest).get(word.step.id), slices(manifest)
    if block is None:
        return False
    ids = {one.id for one in block.steps}
    own = [part for part in parts if part.step.id in ids and isinstance(part.step, HostStep)]
    opens = [part for part in own if isinstance(part.step, AnsibleStep) and not part.step.always]
    if isinstance(word.step, AskStep):
        first = [part for part in own if part.batch <= word.batch]
        then = [part for part in opens if part.batch in led(block, word.step, word.batch)]
    elif set((last.finished or {}).values()) == {"ok"}:
        place = parts.index(word)
        first, then = [part for part in opens if part.batch == word.batch and parts.index(part) < place], []
    else:
        return False
    always, before = {slice_key(part) for part in first}, {slice_key(part) for part in then}
    return any(
        _began_after(one, last, always) or (one.permit != permit and _began_after(one, last, before))
        for one in run.slices
    )


def _began_after(part: SliceRecord, last: SliceRecord, keys: Collection[str]) -> bool:
    return part.key in keys and part.index > last.index and not part.passed and part.phase == "do"


def _blocks(manifest: Manifest) -> dict[str, RollingStep]:
    """Return the rolling block around each step that has one, by the step's id."""
    return {
        one.id: block for block in manifest.steps if isinstance(block, RollingStep) for one in block.steps
    }


def _closed(manifest: Manifest, run: RunRecord, step: LeafStep, key: str, *, bad: frozenset[str]) -> str:
    """Return why `key` is to be passed over, where targets in `bad` states failed; empty when it is not.

    A host that its slice did not reach failed at that moment, and is still to come when the run is taken up again.
    """
    if any(_begun(part) for part in run.slices if part.key == key):
        return ""
    last = _last_words(manifest, run)
    if over := _jumped_by(manifest, last, step, bad):
        return over
    states = {one: list(ends.values()) for one, ends in last.items()}
    guards = guards_on(manifest, step.id)
    return closed_by(guards, known_from(manifest, states, _answers(manifest, run))) if guards else ""


def _begun(part: SliceRecord) -> bool:
    """Whether something of a slice was, or may have been, done."""
    if part.passed or part.phase != "do":
        return False
    ends = {**(part.finished or {}), **part.reconciled}
    if part.finished is None:
        return bool(part.hosts) and not (ends and set(ends.values()) <= {"not_reached"})
    return any(state in _REAL for state in ends.values())


def _last_words(manifest: Manifest, run: RunRecord) -> dict[str, dict[tuple[str, str], str]]:
    """Return the last word on each target of each slice, by the step's id, then by slice and target."""
    acting = {step.id for step in all_steps(manifest) if isinstance(step, AnsibleStep)}
    last: dict[str, dict[tuple[str, str], str]] = {}
    for part in run.slices:
        if part.phase == "do":
            open_ = part.hosts if part.step in acting and not part.passed else ()
            lost = {host: _lost(part, host) for host in open_}
            ends = {**(lost if part.finished is None else part.finished), **part.reconciled}
            last.setdefault(part.step, {}).update({(part.key, name): end for name, end in ends.items()})
    return last


def _lost(part: SliceRecord, host: str) -> str:
    """Return what is known of a host whose slice never ended: that it failed, or nothing."""
    bad = [
        result.outcome
        for result in part.results
        if result.target.get("id") == host
        and result.outcome in {"failed", "denied", "unreachable"}
        and not {"ignored", "rescued"} & set(result.data.get("more") or ())
    ]
    return "failed" if bad else "unknown"


def _answers(manifest: Manifest, run: RunRecord) -> Mapping[str, Value]:
    known = questions(manifest)
    values = {
        known[key].id: answer_value(known[key], given.statement.fields["value"])
        for key, given in run.answers.items()
        if key in known and any(part.key == key and part.finished for part in run.slices)
    }
    return {step: value for step, value in values.items() if value is not None}


def _jumped_by(
    manifest: Manifest,
    last: Mapping[str, Mapping[tuple[str, str], str]],
    step: LeafStep,
    bad: frozenset[str],
) -> str:
    """Return which failure leads past `step`; empty when none does.

    As in a run, failures are counted by host over all of it so far, those that halted it too: a person may have gone on
    without the host. A step that goes on itself, or leads elsewhere, counts for none.
    """
    counted: set[str] = set()
    for one in manifest.steps:
        inner = one.steps if isinstance(one, RollingStep) else (one,)
        ends = {part.id: last.get(part.id, {}) for part in inner}
        no = any(isinstance(part, AskStep) and "failed" in ends[part.id].values() for part in inner)
        failed = {
            target
            for part in inner
            if part.on_failure != "continue" and not isinstance(part, AskStep | WaitStep)
            for (_, target), state in ends[part.id].items()
            if state in bad
        }
        if isinstance(one, RollingStep) or one.on_failure in REACTIONS:
            counted |= failed
        if isinstance(one, RollingStep):
            failed = failed if len(counted) > one.max_failures else set()
        leads = one.on_failure not in REACTIONS and step.id in jumped(manifest, one.id, one.on_failure)
        if leads and (failed or no):
            return f"{one.id} failed, and the run goes on at {one.on_failure}"
    return ""


def _wait_problem(manifest: Manifest, step: WaitStep, run: RunRecord, leaf: Leaf, key: str) -> str:
    until = str((leaf.event.data or {}).get("until", ""))
    before = [part for part in run.slices if part.key == key and part.until]
    own = next(part for part in slices(manifest) if slice_key(part) == key)
    renewed = bool(before) and _overtaken(manifest, run, own, before[-1], permit="")
    earlier = before[-1].until if before and not renewed else ""
    if earlier and until != earlier:
        return f"{key} waits until {until or 'no time'}, and was to wait until {earlier}"
    if step.until and until != step.until:
        return f"{key} waits until {until or 'no time'}, and the plan says {step.until}"
    end = _time(until)
    begins = time_of(leaf) - SLACK
    if end is None or (step.seconds and not earlier and end < begins + timedelta(seconds=step.seconds)):
        return f"{key} waits until {until or 'no time'}, which is shorter than {step.seconds} s"
    return ""


def _time(text: str) -> datetime | None:
    try:
        return parse_time(text)
    except CalendarError:
        return None
