"""Harm at a random moment: afterwards every host is accounted for, and the log agrees with the hosts' own journals.

`ITMP_CHAOS` is the number of harms (a thin sample by default), `ITMP_CHAOS_SEED` the seed: each test's name holds its own,
so that it can be struck again at about the same moment.
"""

import os
import random
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import pytest
from ground import WEB, Ground, document, pause
from harms import HARMS, Heal
from places import PATIENCE, carriers, wait_for
from truth import GOOD, agree, finished

from itmp.lab import namespaces
from itmp.workspace import Workspace
from itmp.workspace.changes import find
from itmp.workspace.watching import _lost

COUNT: Final = int(os.environ.get("ITMP_CHAOS", "3"))
SEED: Final = int(os.environ.get("ITMP_CHAOS_SEED", "7"))
ONLY: Final = [name for name in os.environ.get("ITMP_CHAOS_HARMS", "").split(",") if name] or sorted(HARMS)
ROUNDS: Final = 8
"""How often a person goes on before giving up: a harm may strike the recovery as well."""
GROWTH: Final = 60_000
"""Bytes of events that a run writes, about; measured afresh by each undisturbed run."""

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.xdist_group("chaos"),
    pytest.mark.skipif(bool(namespaces.why_not()), reason="needs namespace hosts"),
]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[namespaces.NamespaceFleet]:
    folder = tmp_path_factory.mktemp("chaos") / "fleet"
    with namespaces.up(folder, len(WEB), names=WEB, groups={"web": WEB}) as fleet:
        yield fleet


@pytest.fixture
def ground(tmp_path: Path, fleet: namespaces.NamespaceFleet) -> Iterator[Ground]:
    made = Ground.found(tmp_path / "w", fleet)  # type: ignore[arg-type]  # it has all that a place asks of a fleet
    assert isinstance(made, Ground)
    try:
        yield made
    finally:
        made.leave()


def drawn() -> list[str]:
    """Return the tests' names: number, harm and seed. Every harm comes about equally often."""
    chance = random.Random(SEED)  # noqa: S311 - it must be the same again for the same seed
    names: list[str] = []
    while len(names) < COUNT:
        some = ONLY.copy()
        chance.shuffle(some)
        names += [f"{name}-{SEED}.{len(names) + at}" for at, name in enumerate(some)]
    return names[:COUNT]


@pytest.mark.parametrize("name", drawn())
def test_after_any_harm_every_host_is_accounted_for(ground: Ground, name: str) -> None:
    chance = random.Random(name)  # noqa: S311 - as above
    harm, undo, again = name.partition("-")[0], chance.random() < 0.35, chance.random() < 0.3
    change = ground.ready(document())
    strike(ground, ("run", change, "--key", "alice", "--json"), harm, chance)
    agree(ground, change)
    if again:
        words = ("undo",) if undo else ("resume", "--retry", "failed,unreachable")
        strike(ground, (*words, change, "--key", "alice", "--json"), chance.choice(ONLY), chance)
        agree(ground, change)
    back(ground, change) if undo else on(ground, change)
    agree(ground, change)
    ground.itmp("change", "close", change, "--reason", "done", "--key", "alice", expect=0)
    ground.itmp("evidence", change, "-o", "e.tar", expect=0)
    ground.itmp("e.tar", "--trust", "trust", program="itmp-verify", expect=0)


def strike(ground: Ground, words: tuple[str, ...], harm: str, chance: random.Random) -> None:
    """Start a command, harm it at a random moment, wait for its end, heal, and require that nothing is left of it."""
    before, point = ground.grown(), int(chance.random() * GROWTH)
    process = ground.start(*words)
    wait_for(lambda: process.poll() is not None or ground.grown() - before >= point, "the moment")
    pause(chance.uniform(0, 0.4))
    heal: Heal = HARMS[harm](ground, process, chance)
    try:
        process.wait(PATIENCE)
    finally:
        heal()
    assert process.returncode != 70, ground.ended(process)
    wait_for(lambda: not _left(ground), f"what {harm} left to end: {_left(ground)}")
    for host in WEB:
        wait_for(lambda host=host: _answers(ground, host), f"{host} to answer again")  # type: ignore[misc]


def _left(ground: Ground) -> dict[int, str]:
    """The processes of this ground's run, by its token; a run that was never begun has none."""
    runs = [path.name for path in (ground.root / ".itmp" / "runs").glob("*") if path.is_dir()]
    return {pid: line for run in runs if run != "leases" for pid, line in carriers(run).items()}


def _answers(ground: Ground, host: str) -> bool:
    return subprocess.run(ground.fleet.ssh(host, "true"), capture_output=True, check=False).returncode == 0


def on(ground: Ground, change: str) -> None:
    """Go on as a person would until the plan is carried out everywhere."""
    for _ in range(ROUNDS):
        run = find(Workspace.here(ground.root), change).run
        words = ("resume", change, "--retry", "failed,unreachable") if run else ("run", change)
        if run and run.state == "succeeded":
            break
        done = ground.itmp(*words, "--key", "alice", "--json")
        if done.rc == 14:
            look(ground, change)
        elif done.rc not in {0, 13}:
            pytest.fail(f"{words}: {done}")
    status = ground.json("status", change)
    assert set(status["hosts"]) == set(WEB)
    assert set(status["hosts"].values()) <= GOOD, status
    for host in WEB:
        ended = {line.act for line in ground.lines(host) if line.what == "end"}
        assert {"a", "b", "z"} <= ended, f"{host}: {ground.lines(host)}"


def back(ground: Ground, change: str) -> None:
    """Undo as a person would until everything that was begun is taken back."""
    for _ in range(ROUNDS):
        before = find(Workspace.here(ground.root), change).run
        if before is not None and before.state == "undone":  # by the undo that was harmed
            break
        done = ground.itmp("undo", change, "--key", "alice", "--json")
        if done.rc == 0:
            break
        if done.rc == 2:  # nothing was begun
            run = find(Workspace.here(ground.root), change).run
            assert run is None or not run.slices or run.state == "undone", done
            if run is not None and run.active:
                on(ground, change)
            return
        if done.rc == 14:
            look(ground, change)
        elif done.rc != 13:
            pytest.fail(f"undo: {done}")
    else:
        pytest.fail("never undone")
    for host in WEB:
        acts = [line.act for line in ground.lines(host) if line.what != "fail"]
        assert not acts or acts[-1] == "back", f"{host}: {ground.lines(host)}"


def look(ground: Ground, change: str) -> None:
    """Say, signed, what the hosts' journals show of every unknown outcome, once nothing acts there any more."""
    for host in ground.json("status", change)["hosts"]:
        while ground.json("status", change)["hosts"][host] == "unknown":
            ground.quiet(host)
            place = Workspace.here(ground.root)
            _, part = _lost(find(place, change), host)
            intent = place.log.leaf(part.index).event
            since = datetime.fromisoformat(intent.t).timestamp()
            word = "ok" if finished(ground, host, part.step, since) else "failed"
            ground.itmp("reconcile", change, host, word, "--reason", "looked", "--key", "alice", expect=0)
