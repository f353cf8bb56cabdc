"""What makes a manifest a plan that can be carried out: names, paths and references that hold together.

Rules kept here: every step id is unique; every path is a plain relative path; every playbook, snapshot and
expected task points at an artifact; every host that a step acts on stands in the frozen inventory, or is one
that the step adds; batches are exactly the hosts of their block; every check asks every one of its hosts.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final, assert_never

from itmp.canonical import parse_digest
from itmp.documents.text import hidden, visible
from itmp.errors import InvalidInputError
from itmp.plan.guarding import guard_problems, jump_problems
from itmp.plan.model import (
    AnsibleStep,
    AskStep,
    CheckStep,
    Manifest,
    PulumiStep,
    RollingStep,
    Step,
    WaitStep,
)

STEP_ID: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
IMPLICIT: Final = "localhost"
"""Ansible's implicit host: it may be acted on without standing in the inventory."""

_PATH: Final = re.compile(r"[^/\\\x00-\x1f\x7f]+(/[^/\\\x00-\x1f\x7f]+)*")
_MAX_PATH: Final = 512
_MAX_PORT: Final = 65535
_HOST: Final = re.compile(r"[^\s,:!&~*?\[\]{}()'\"\\/\x00-\x1f\x7f]{1,253}|[0-9a-fA-F:.]{2,45}")


def refuse(manifest: Manifest) -> None:
    """Raise `InvalidInputError` naming the first thing in `manifest` that does not hold together."""
    for problem in _problems(manifest):
        raise InvalidInputError(
            f"not a valid plan: {visible(problem)[:300]}", do="Compile the document again."
        )


def safe_path(path: str) -> bool:
    """Say whether `path` is a relative path of ordinary parts that stays below its root."""
    parts = path.split("/")
    return (
        bool(_PATH.fullmatch(path))
        and len(path) <= _MAX_PATH
        and not {".", ".."} & set(parts)
        and hidden(path) is None
    )


def safe_host(name: str) -> bool:
    """Say whether `name` can be named in an Ansible limit without meaning something else."""
    return bool(_HOST.fullmatch(name)) and not name.startswith(("-", "@")) and hidden(name) is None


def _problems(manifest: Manifest) -> Iterator[str]:
    yield from (f"artifact path {path!r}" for path in manifest.artifacts if not safe_path(path))
    for value in [
        *manifest.artifacts.values(),
        manifest.document.digest,
        *(s.digest for s in manifest.sources),
    ]:
        parse_digest(value)
    yield from (f"source path {s.path!r}" for s in manifest.sources if not safe_path(s.path))
    yield from _inventory(manifest)
    if not manifest.steps:
        yield "no steps"
    yield from _ids(manifest)
    known = frozenset(host.name for host in manifest.inventory.hosts) if manifest.inventory else frozenset()
    for step in [*manifest.steps, *manifest.undo]:
        yield from _step(step, manifest, known | {IMPLICIT})
    yield from _undoes(manifest)
    yield from jump_problems(manifest)
    yield from guard_problems(manifest)


def _undoes(manifest: Manifest) -> Iterator[str]:
    flat = [
        one for step in manifest.steps for one in (step.steps if isinstance(step, RollingStep) else (step,))
    ]
    ids = {step.id for step in flat}
    for step, allowed in [*((one, frozenset[str]()) for one in flat), *((one, ids) for one in manifest.undo)]:
        named = step.undoes if isinstance(step, AnsibleStep) else ""
        if named and named not in allowed:
            yield f"step {step.id!r} takes back {named!r}, which is no step before it"


def _inventory(manifest: Manifest) -> Iterator[str]:
    if manifest.inventory is None:
        return
    if manifest.inventory.snapshot not in manifest.artifacts:
        yield f"inventory snapshot {manifest.inventory.snapshot!r} is no artifact"
    yield from _repeated((host.name for host in manifest.inventory.hosts), "host")
    for host in manifest.inventory.hosts:
        parse_digest(host.vars)
        if not safe_host(host.name):
            yield f"host name {host.name!r}"


def _ids(manifest: Manifest) -> Iterator[str]:
    steps: list[Step] = []
    for step in [*manifest.steps, *manifest.undo]:
        steps.append(step)
        steps.extend(step.steps if isinstance(step, RollingStep) else ())
    yield from _repeated((step.id for step in steps), "step id")
    yield from (f"step id {step.id!r}" for step in steps if not STEP_ID.fullmatch(step.id))


def _step(step: Step, manifest: Manifest, known: frozenset[str]) -> Iterator[str]:
    match step:
        case AnsibleStep():
            yield from _ansible(step, manifest)
            yield from _adds(step, known)
            yield from _hosts(step.id, step.hosts, known | {one.name for one in step.adds})
        case CheckStep():
            yield from _hosts(step.id, step.hosts, known)
            if set(step.probes) != set(step.hosts):
                yield f"step {step.id!r} does not ask exactly its hosts"
        case PulumiStep():
            if not any(path.startswith(step.program + "/") for path in manifest.artifacts):
                yield f"step {step.id!r}: program {step.program!r} has no artifact"
        case RollingStep():
            yield from _rolling(step, manifest, known)
        case AskStep() | WaitStep():
            yield from _word(step)
        case _:
            assert_never(step)


def _word(step: AskStep | WaitStep) -> Iterator[str]:
    if isinstance(step, WaitStep):
        if bool(step.seconds) == bool(step.until) or step.seconds < 0:
            yield f"step {step.id!r} waits neither for a time nor until one"
    elif (step.answer == "choice") != bool(step.choices) or len({*step.choices}) != len(step.choices):
        yield f"step {step.id!r}: choices that do not fit its type of answer"


def _ansible(step: AnsibleStep, manifest: Manifest) -> Iterator[str]:
    if manifest.inventory is None:
        yield f"step {step.id!r} needs an inventory"
    for path in {step.playbook, *(task.path for task in step.expected)}:
        if path not in manifest.artifacts:
            yield f"step {step.id!r}: {path!r} is no artifact"
    if set(step.probes) - set(step.hosts):
        yield f"step {step.id!r} probes hosts that are not its own"
    if set(step.vars) & set(step.secrets):
        yield f"step {step.id!r}: a variable is both plain and secret"


def _adds(step: AnsibleStep, known: frozenset[str]) -> Iterator[str]:
    for one in step.adds:
        if one.name in known or one.name not in step.hosts or not safe_host(one.name):
            yield f"step {step.id!r}: added host {one.name!r} is frozen already, no target, or no name"
        if not safe_host(one.address) or not 0 < one.port <= _MAX_PORT:
            yield f"step {step.id!r}: added host {one.name!r} has no address"


def _rolling(step: RollingStep, manifest: Manifest, known: frozenset[str]) -> Iterator[str]:
    yield from _hosts(step.id, step.hosts, known)
    if tuple(host for batch in step.batches for host in batch) != step.hosts or not all(step.batches):
        yield f"step {step.id!r}: the batches are not its hosts in order"
    if not step.steps or step.max_failures < 0:
        yield f"step {step.id!r} has no steps, or a negative max_failures"
    for inner in step.steps:
        yield from _step(inner, manifest, frozenset(step.hosts))
        if isinstance(inner, AskStep) and not set(inner.after) <= set(range(1, len(step.batches))):
            yield f"step {inner.id!r} is asked after a batch that no other follows"
        if isinstance(inner, AskStep) and inner.anew:
            yield f"step {inner.id!r} is asked anew by the rule of questions outside a block"
    acts = [at for at, inner in enumerate(step.steps) if not isinstance(inner, AskStep)]
    for inner in step.steps[: max(acts, default=0)]:
        if isinstance(inner, AskStep):
            yield f"step {inner.id!r} is asked before the end of its batch: put it last in {step.id!r}"


def _hosts(step: str, hosts: tuple[str, ...], known: frozenset[str]) -> Iterator[str]:
    if not hosts:
        yield f"step {step!r} acts on no host"
    yield from _repeated(hosts, f"step {step!r}: host")
    for host in hosts:
        if host not in known:
            yield f"step {step!r}: host {host!r} is not among the frozen hosts"


def _repeated(names: Iterable[str], what: str) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield f"{what} {name!r} occurs twice"
        seen.add(name)
