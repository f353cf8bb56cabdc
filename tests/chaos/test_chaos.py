"""Harm at random moments: afterwards every host is accounted for, and the log agrees with the hosts' own journals.

Each test harms one run several times, as bad nights do: the run, then whatever a person starts to take it up. `ITMP_CHAOS`
is the number of moments (a thin sample by default), `ITMP_CHAOS_SEED` the seed: each test's name holds its own, so that it
can be struck again at about the same moments. Where `ITMP_CHAOS_NOTES` names a file, each moment gets a line there.
"""

import os
import random
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import pytest
from ground import WEB, Ground, document, pause
from harms import HARMS, Heal
from places import PATIENCE, carriers, wait_for
from truth import GOOD, agree, finished

from itmp.change import RunRecord
from itmp.lab import namespaces
from itmp.workspace import Workspace, close, evidence, reconcile
from itmp.workspace.changes import find
from itmp.workspace.watching import lost, status

COUNT: Final = int(os.environ.get("ITMP_CHAOS", "3"))
SEED: Final = int(os.environ.get("ITMP_CHAOS_SEED", "7"))
ONLY: Final = [name for name in os.environ.get("ITMP_CHAOS_HARMS", "").split(",") if name] or sorted(HARMS)
NOTES: Final = os.environ.get("ITMP_CHAOS_NOTES", "")
STRIKES: Final = 3
"""How often one run is harmed before its person has peace."""
ROUNDS: Final = 8
"""How often a person goes on before giving up."""
GROWTH: Final = 21_000
"""Bytes of events that an undisturbed run writes, about."""
LEAST: Final = 4_500
"""The same of an undo, and of whatever takes a run up, at least."""
NETWORK: Final = frozenset({"kill_sshd", "power_off", "reboot", "cut_network"})

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.xdist_group("chaos"),
    pytest.mark.skipif(bool(namespaces.why_not()), reason="needs namespace hosts"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ground, str]]:
    """Give a ground with an approved change, which every test copies, and the change's id."""
    top = tmp_path_factory.mktemp("chaos")
    with namespaces.up(top / "fleet", len(WEB), names=WEB, groups={"web": WEB}) as fleet:
        made = Ground.found(top / "w", fleet)  # type: ignore[arg-type]  # it has all that a place asks of a fleet
        assert isinstance(made, Ground)
        try:
            yield made, made.ready(document())
        finally:
            made.leave()


@pytest.fixture
def ground(tmp_path: Path, model: tuple[Ground, str]) -> Iterator[Ground]:
    made = Ground.like(model[0], tmp_path / "w")
    try:
        yield made
    finally:
        made.leave()


def drawn() -> list[str]:
    """Return the tests' names: harms and seed. Every harm comes about equally often."""
    chance = random.Random(SEED)  # noqa: S311 - it must be the same again for the same seed
    names: list[str] = []
    while len(names) < COUNT:
        some = ONLY.copy()
        chance.shuffle(some)
        names += some
    names = names[:COUNT]
    tests = [names[at : at + STRIKES] for at in range(0, COUNT, STRIKES)]
    return [f"{'+'.join(some)}-{SEED}.{at}" for at, some in enumerate(tests)]


@pytest.mark.parametrize("name", drawn())
def test_after_any_harm_every_host_is_accounted_for(
    ground: Ground, model: tuple[Ground, str], name: str
) -> None:
    chance, change = random.Random(name), model[1]  # noqa: S311 - as above
    undo, base = chance.random() < 0.35, ground.grown()
    for harm in name.partition("-")[0].split("+"):
        run = _run(ground, change)
        undo = undo or (run is not None and run.state == "succeeded")  # there is no way but back
        if run is not None and (run.state == "undone" or (undo and not run.slices)):
            break
        if run is not None and chance.random() < 0.7:  # else the take-up itself finds what nobody has said
            look(ground, change)
        typed = words(run, change, undo=undo)
        more = LEAST if typed[0] == "undo" else max(LEAST, base + GROWTH - ground.grown())
        point = int(chance.random() * more)
        strike(ground, (*typed, "--key", "alice", "--json"), harm, point, chance)
        agree(ground, change)
    back(ground, change) if undo else on(ground, change)
    agree(ground, change)
    place = Workspace.here(ground.root)
    close(place, change, reason="done", key=_key(ground))
    evidence(place, change, ground.root / "e.tar")
    ground.itmp("e.tar", "--trust", "trust", program="itmp-verify", expect=0)


def words(run: RunRecord | None, change: str, *, undo: bool) -> tuple[str, ...]:
    """Return the command that a person would type next."""
    if run is None:
        return ("run", change)
    return ("undo", change) if undo else ("resume", change, "--retry", "failed,unreachable")


def strike(ground: Ground, typed: tuple[str, ...], harm: str, point: int, chance: random.Random) -> None:
    """Start a command, harm it once the log has grown by `point`, wait for its end, heal, and require that nothing is left."""
    start, before = time.monotonic(), ground.grown()
    process = ground.start(*typed)
    wait_for(lambda: process.poll() is not None or ground.grown() - before >= point, "the moment")
    pause(chance.uniform(0, 0.4))
    alive = process.poll() is None
    heal: Heal = HARMS[harm](ground, process, chance)
    try:
        process.wait(PATIENCE)
    finally:
        heal()
    _note(
        harm,
        typed[0],
        "alive" if alive else "ended",
        process.returncode,
        f"{ground.grown() - before}/{point}",
        start,
    )
    assert process.returncode != 70, ground.ended(process)
    wait_for(lambda: not _left(ground), f"what {harm} left to end")
    for host in WEB if harm in NETWORK else ():
        wait_for(lambda host=host: ground.answers(host), f"{host} to answer again")  # type: ignore[misc]


def _note(*words: object) -> None:
    if NOTES:
        *said, start = words
        with Path(NOTES).open("a") as file:
            file.write(f"{SEED} {' '.join(map(str, said))} {time.monotonic() - float(str(start)):.1f}s\n")


def _run(ground: Ground, change: str) -> RunRecord | None:
    return find(Workspace.here(ground.root), change).run


def _key(ground: Ground) -> str:
    return str(ground.root / "alice")


def _left(ground: Ground) -> dict[int, str]:
    """The processes of this ground's run, by its token; a run that was never begun has none."""
    runs = [path.name for path in (ground.root / ".itmp" / "runs").glob("*") if path.is_dir()]
    return {pid: line for run in runs if run != "leases" for pid, line in carriers(run).items()}


def on(ground: Ground, change: str) -> None:
    """Go on as a person would until the plan is carried out everywhere."""
    for _ in range(ROUNDS):
        run = _run(ground, change)
        if run and run.state == "succeeded":
            break
        typed = words(run, change, undo=False)
        done = ground.itmp(*typed, "--key", "alice", "--json")
        if done.rc == 14:
            look(ground, change)
        elif done.rc not in {0, 13}:
            pytest.fail(f"{typed}: {done}")
    hosts = ground.json("status", change)["hosts"]
    assert set(hosts) == set(WEB)
    assert set(hosts.values()) <= GOOD, hosts
    for host in WEB:
        ended = {line.act for line in ground.lines(host) if line.what == "end"}
        assert {"a", "b", "z"} <= ended, f"{host}: {ground.lines(host)}"


def back(ground: Ground, change: str) -> None:
    """Undo as a person would until everything that was begun is taken back."""
    for _ in range(ROUNDS):
        before = _run(ground, change)
        if before is None:  # nothing was begun, not even a permit
            on(ground, change)
            return
        if before.state == "undone":  # by the undo that was harmed
            break
        done = ground.itmp("undo", change, "--key", "alice", "--json")
        if done.rc == 0:
            break
        if done.rc == 2:  # nothing was begun
            assert not before.slices, done
            if before.active:
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
    place = Workspace.here(ground.root)
    for host in status(place, change).hosts:
        while status(Workspace.here(ground.root), change).hosts[host] == "unknown":
            ground.quiet(host)
            _, part = lost(find(place, change), host)
            intent = place.log.leaf(part.index).event
            since = datetime.fromisoformat(intent.t).timestamp()
            word = "ok" if finished(ground, host, part.step, since) else "failed"
            reconcile(place, change, host, word, reason="looked", key=_key(ground))
