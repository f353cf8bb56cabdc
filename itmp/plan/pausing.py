"""Pauses and noes, read off a manifest: what a yes rests on, which batches it lets begin, what a no forbids.

Rules kept here: run, record and verifier ask here, so that they cannot disagree. A pause between batches speaks of the
world as its batch and those before it have left it, and lets the batches up to the next pause begin; a question outside
every block speaks of all that stands before it, where its plan says so (`anew`). A no forbids
whatever is no `always` step: in its block, and everywhere where the plan stops or undoes at a no.
"""

from collections.abc import Mapping

from itmp.plan.guarding import answer_value
from itmp.plan.model import AskStep, HostStep, LeafStep, Manifest, PulumiStep, RollingStep
from itmp.plan.order import Part, slice_key, slices

_ENDING = frozenset({"stop", "undo"})


def led(block: RollingStep, step: AskStep, batch: int) -> range:
    """Return the batches of `block` that a yes to `step`, asked after `batch`, lets begin."""
    return range(batch + 1, min((n for n in step.after if n > batch), default=len(block.batches)) + 1)


def acts(step: LeafStep) -> bool:
    """Whether a step looks at something or changes it: it neither asks nor waits."""
    return isinstance(step, HostStep | PulumiStep)


def rested_on(manifest: Manifest, word: Part) -> tuple[Part, ...]:
    """Return what the yes to a question outside every block rests on: what begins again makes it past."""
    parts = slices(manifest)
    anew = not word.batch and isinstance(word.step, AskStep) and word.step.anew
    return tuple(part for part in parts[: parts.index(word)] if acts(part.step)) if anew else ()


def overtaking(manifest: Manifest) -> Mapping[str, tuple[str, ...]]:
    """Return the keys of the questions whose yes is past once a slice begins (again), by the key of that slice."""
    found: dict[str, tuple[str, ...]] = {}
    for _, parts in _blocks(manifest):
        asks = [part for part in parts if isinstance(part.step, AskStep)]
        for part in parts:
            if isinstance(part.step, HostStep):
                found[slice_key(part)] = tuple(slice_key(ask) for ask in asks if part.batch <= ask.batch)
    for word in slices(manifest):
        for part in rested_on(manifest, word):
            found[slice_key(part)] = (*found.get(slice_key(part), ()), slice_key(word))
    return found


def forbidden(manifest: Manifest, key: str) -> frozenset[str]:
    """Return the keys of the slices that may not begin any more once the question `key` is answered with no."""
    parts = slices(manifest)
    own = next(part for part in parts if slice_key(part) == key)
    block = next((one for one, inside in _blocks(manifest) if own in inside), None)
    ends = (block or own.step).on_failure in _ENDING
    inner = () if block is None else block.steps
    return frozenset(
        slice_key(part)
        for part in parts
        if not part.step.always and (ends or part.step in inner) and slice_key(part) != key
    )


def is_no(step: AskStep, text: str) -> bool:
    """Whether an answer is a no: only what was to be answered with yes or no can be."""
    return answer_value(step, text) is False


def _blocks(manifest: Manifest) -> list[tuple[RollingStep, list[Part]]]:
    blocks = [step for step in manifest.steps if isinstance(step, RollingStep)]
    return [
        (block, [part for part in slices(manifest) if part.batch and part.step in block.steps])
        for block in blocks
    ]
