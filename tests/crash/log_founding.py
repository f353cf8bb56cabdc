"""A founding that is killed at a call that changes a file: what must hold when `itmp init` is said again.

Only the founder's own thread is struck; anchors, which are asked by others, run to wherever they come.
"""

import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from difflib import SequenceMatcher
from pathlib import Path

from log_actor import NAMES, OURS, PEOPLE, signatures_below
from log_faults import Actors, Outcome, Point, points
from log_rotation import MOVES
from promises import Said, named

from itmp import workspace
from itmp.adapters import posix_log
from itmp.adapters.clock import new_id
from itmp.adapters.ssh_keygen import SshKey
from itmp.audit import Event
from itmp.errors import InvalidInputError
from itmp.signing import Statement, sign_statement
from itmp.workspace.place import EXECUTOR

_CHANGES = MOVES | {"chmod", "fchmod", "fallocate", "link", "linkat"}
LITTER = {".creating", "founding", "founding.new", "founding.done"}


def template(folder: Path, scenario: str) -> Path:
    """Return what a founding begins with: people's keys, and for `seal` the texts that they have signed."""
    folder.mkdir(parents=True)
    for name in NAMES:
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"{name}@example.com"]
        subprocess.run([*words, "-f", folder / name], check=True)
    if scenario == "seal":
        prepare(folder)
        # Copies have one log key: each copy's anchor lies within it.
        settings = (folder / "w/itmp.yml").read_text()
        (folder / "w/itmp.yml").write_text(
            settings.replace("kind: directory", "kind: directory\n    path: seen")
        )
    return folder


def prepare(root: Path) -> None:
    """Let each root person sign what `itmp init --root` gives them."""
    texts = workspace.init_roots(root / "w", tuple(root / f"{name}.pub" for name in NAMES), **OURS)
    for text, name in zip(texts, NAMES, strict=True):
        signed = sign_statement(Statement.parse(text.path.read_text()), SshKey(root / name))
        Path(f"{text.path}.sig").write_text(signed.signature)


def strike(actors: Actors, scenario: str, state: Path, *, share: tuple[int, int] = (1, 0)) -> list[str]:
    """Kill the founder at each call (of every `share[0]`, the one at `share[1]`); return what went wrong."""
    wrong = list(_strike(actors, scenario, state, lambda found: found[share[1] :: share[0]]))
    actors.tally["bad"] += len(wrong)
    return wrong


def strike_shared(actors: Actors, scenario: str, states: dict[str, Path]) -> list[str]:
    """Kill the founder at each call of `scenario`; of those that both of two scenarios make, at every second one.

    The other scenario strikes the others: what one of them does from there on the other does too.
    """
    turn = list(states).index(scenario)
    shapes = []
    for name, state in states.items():
        root = actors.place(state)
        shapes.append([_shape(point, root) for point in _points(actors.trace(name, root))])
        shutil.rmtree(root)
    left = set(range(len(shapes[turn])))
    blocks = SequenceMatcher(None, *shapes, autojunk=False).get_matching_blocks()
    both = [block[turn] + n for block in blocks for n in range(block.size)]
    assert len(both) > 100
    left -= set(both[1 - turn :: 2])
    wrong = list(_strike(actors, scenario, states[scenario], lambda found: [found[n] for n in sorted(left)]))
    actors.tally["bad"] += len(wrong)
    return wrong


def _points(clean: Outcome) -> list[Point]:
    return [point for point in points(clean.trace) if _changes(point)]


def _shape(point: Point, root: Path) -> str:
    """Return what a call does and to which file, without what differs from run to run."""
    line = re.sub(r"[0-9a-f]{16,}", "H", point.line.replace(str(root), "ROOT"))
    return re.sub(r"\d+", "N", re.sub(r'"(?!ROOT)(?:[^"\\]|\\.)*"', "TEXT", line))


def _strike(
    actors: Actors, scenario: str, state: Path, chosen: Callable[[list[Point]], list[Point]]
) -> Iterator[str]:
    root = actors.place(state)
    clean = actors.trace(scenario, root)
    assert clean.status == 0, actors.complaint()
    yield from hold(scenario, root, clean.said, "no fault")
    found = _points(clean)
    assert len(found) > 15
    for point in chosen(found):
        shutil.rmtree(root)
        root = actors.place(state)
        hit = actors.strike(scenario, root, point, "kill")
        actors.tally["founders killed"] += 1
        where = f"{scenario}, killed at {point.line:.160}"
        if not hit.struck:
            yield f"{where}: did not strike"
        yield from hold(scenario, root, hit.said, where)
    shutil.rmtree(root)


def _changes(point: Point) -> bool:
    return point.name in _CHANGES or (point.name == "openat" and "O_CREAT" in point.line)


def hold(scenario: str, root: Path, said: Said, where: str) -> Iterator[str]:
    """Say `itmp init` again as it was said; yield each promise that is broken."""
    return named(where, _hold(scenario, root, said))


def _hold(scenario: str, root: Path, said: Said) -> Iterator[str]:
    folder = root / "w"
    before = _trust(folder)
    if scenario == "together":
        yield from _prepared(folder, root, said)
    given = [words[1:] for words in said if words[0] == "founded"]
    try:
        again = _again(scenario, root)
        given.append([again.vkey, again.genesis])
    except InvalidInputError as error:
        if "a log here already" not in str(error) or set(before) != {"log.policy", "genesis"}:
            raise
    log = posix_log.open_log(folder / ".itmp")
    yield from _whole(folder, log.vkey, log.leaf(0).hash)
    if any(words != [log.vkey, log.leaf(0).hash] for words in given):
        yield "another log than the one that was announced"
    if not before.items() <= _trust(folder).items():
        yield "what TRUST said has changed"
    try:
        _again(scenario, root)
        yield "a whole log was founded again"
    except InvalidInputError:
        pass


def _again(scenario: str, root: Path) -> workspace.Founded:
    if scenario == "found":
        return workspace.init(root / "w", key=str(root / "alice"), signer=PEOPLE[0], **OURS)
    return workspace.seal(root / "w", signatures_below(root / "w"))


def _prepared(folder: Path, root: Path, said: Said) -> Iterator[str]:
    """Texts that were handed out, or lie at their place, are the ones that are signed."""
    pending = folder / ".itmp/founding"
    lying = {_digest(path) for path in pending.glob("enrol-*.txt")}
    prepare(root)
    now = {_digest(path) for path in pending.glob("enrol-*.txt")}
    if len(now) != len(NAMES) or not lying | {words[1] for words in said} <= now:
        yield "other texts than those that were handed out"


def _whole(folder: Path, vkey: str, genesis: str) -> Iterator[str]:
    place = workspace.Workspace.here(folder)
    if _trust(folder) != {"log.policy": f"log {vkey}\nquorum none\n", "genesis": f"{genesis}\n"}:
        yield f"TRUST is not of the log: {_trust(folder)}"
    place.log.append(Event(id=new_id(), type="plan.compiled", actor=dict(EXECUTOR)))
    report = workspace.audit_verify(place)
    yield from (f"{one.name} {one.place}: {one.message}" for one in report.findings if one.grave)
    if [leaf.event.type for leaf in place.log.leaves()].count("log.created") != 1:
        yield "not one genesis"
    keys = [path for path in folder.rglob("*") if path.is_file() and b"PRIVATE+KEY" in path.read_bytes()]
    if keys != [folder / ".itmp/keys/log.key"]:
        yield f"private keys lie here: {keys}"
    left = sorted(LITTER & {path.name for path in (folder / ".itmp").iterdir()})
    left += sorted(path.name for path in folder.rglob("*.new"))
    if left:
        yield f"left behind: {left}"


def _trust(folder: Path) -> dict[str, str]:
    named = (folder / "trust").iterdir() if (folder / "trust").is_dir() else ()
    return {path.name: path.read_text() for path in named if not path.name.startswith(".")}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
