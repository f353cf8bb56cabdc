"""Harm at random moments: afterwards every host is accounted for, and the log agrees with the hosts' own journals.

Each test harms one run several times, as bad nights do: the run, then whatever a person starts to take it up. A harm that
found nothing of the run alive has not struck: another moment is drawn, of this command, the next one or another night.
`ITMP_CHAOS` is the number of moments (a thin sample by default), `ITMP_CHAOS_SEED` the seed: each test's name holds its
own, so that it can be struck again at about the same moments. Where `ITMP_CHAOS_TALLY` names a file, each attempt gets a
line there, which `tally.py` counts.
"""

import os
import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from ground import WEB, Ground, document, pause
from harms import HARMS, Hit
from places import PATIENCE, carriers, wait_for
from tally import Attempt, note
from truth import GOOD, agree, finished, told

from itmp.change import RunRecord
from itmp.lab import namespaces
from itmp.workspace import Workspace, close, evidence, reconcile
from itmp.workspace.changes import find
from itmp.workspace.watching import lost, status

if TYPE_CHECKING:
    import subprocess

COUNT: Final = int(os.environ.get("ITMP_CHAOS", "3"))
SEED: Final = int(os.environ.get("ITMP_CHAOS_SEED", "7"))
ONLY: Final = [name for name in os.environ.get("ITMP_CHAOS_HARMS", "").split(",") if name] or sorted(HARMS)
TALLY: Final = os.environ.get("ITMP_CHAOS_TALLY", "")
STRIKES: Final = 3
"""How often one run is harmed before its person has peace."""
NIGHTS: Final = 5
"""How many nights a test may take for its strikes before a harm counts as blunt."""
ROUNDS: Final = 8
"""How often a person goes on before giving up."""
GROWTH: Final = 21_000
"""Bytes of events that an undisturbed run writes, about."""
LEAST: Final = 4_500
"""The same of an undo, and of whatever takes a run up, at least."""
LULL: Final = 1.0
"""Seconds for which the log of a run may lie still while it works, about."""
APART: Final = frozenset({"fill_temporary"})
"""Harms to what all commands share: theirs has it for itself."""
NETWORK: Final = frozenset({"kill_sshd", "power_off", "reboot", "cut_network"})

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.xdist_group("chaos"),
    # Who asked for moments by number must not take a run without any for a good one.
    pytest.mark.skipif(
        bool(namespaces.why_not()) and "ITMP_CHAOS" not in os.environ, reason="needs namespace hosts"
    ),
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
def grounds(tmp_path: Path, model: tuple[Ground, str]) -> Iterator[Callable[[], Ground]]:
    """Give a way to a fresh ground for each night."""
    made: list[Ground] = []

    def fresh() -> Ground:
        made.append(Ground.like(model[0], tmp_path / f"n{len(made)}" / "w"))
        return made[-1]

    try:
        yield fresh
    finally:
        for ground in made:
            ground.leave()


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
    grounds: Callable[[], Ground], model: tuple[Ground, str], name: str
) -> None:
    chance, change = random.Random(name), model[1]  # noqa: S311 - as above
    harms, nights = deque(name.partition("-")[0].split("+")), 0
    while harms:
        nights += 1
        assert nights <= NIGHTS, f"{harms[0]} finds nothing to harm"
        night(grounds(), change, harms, name, chance)


def night(ground: Ground, change: str, harms: deque[str], name: str, chance: random.Random) -> None:
    """Harm one run until it is at its end, or no harm is left; then take it to its end."""
    undo, base = chance.random() < 0.35, ground.grown()
    while harms:
        run = _run(ground, change)
        undo = undo or (run is not None and run.state == "succeeded")  # there is no way but back
        if run is not None and (run.state == "undone" or (undo and not run.slices)):
            break
        if run is not None and chance.random() < 0.7:  # else the take-up itself finds what nobody has said
            look(ground, change)
        typed = words(run, change, undo=undo)
        more = LEAST if typed[0] == "undo" else max(LEAST, base + GROWTH - ground.grown())
        aim = Aim(test=name, harm=harms[0], point=int(chance.random() * more), chance=chance)
        if strike(ground, change, typed, aim):
            harms.popleft()
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What is to strike one command, and when: once the log has grown by `point` bytes, about."""

    test: str
    harm: str
    point: int
    chance: random.Random


def strike(ground: Ground, change: str, typed: tuple[str, ...], aim: Aim) -> bool:
    """Start a command, harm it, wait for its end, heal, and require that nothing is left; return whether it was hit."""
    start = time.monotonic()
    start_it = ground.start_apart if aim.harm in APART else ground.start
    process = start_it(*typed, "--key", "alice", "--json")
    hit, moment = _aimed(ground, process, aim)
    since = time.time()
    try:
        process.wait(PATIENCE)
    finally:
        if hit:
            hit.heal()
    assert process.returncode != 70, ground.ended(process)
    wait_for(lambda: not _left(ground), f"what {aim.harm} left to end")
    for host in WEB if aim.harm in NETWORK else ():
        wait_for(lambda host=host: ground.answers(host), f"{host} to answer again")  # type: ignore[misc]
    met = hit is not None and hit.proof(process.returncode) and _came(ground, change, hit.due, since)
    attempt = Attempt(
        test=aim.test,
        harm=aim.harm,
        command=typed[0],
        moment=moment,
        what=hit.what if hit else "nothing",
        hit=met,
        code=process.returncode,
        seconds=round(time.monotonic() - start, 1),
    )
    note(TALLY, attempt)
    return met


def _aimed(ground: Ground, process: "subprocess.Popen[bytes]", aim: Aim) -> tuple[Hit | None, str]:
    """Strike at the drawn moment, or at later ones while there is nothing to hit and the command lasts."""
    before = ground.grown()
    wait_for(lambda: process.poll() is not None or ground.grown() - before >= aim.point, "the moment")
    pause(aim.chance.uniform(0, LULL))
    while process.poll() is None:
        moment = ground.moment()
        hit = HARMS[aim.harm](ground, process, aim.chance)
        if hit:
            return hit, moment
        pause(aim.chance.uniform(0.02, 0.4))
    return None, ground.moment()


def _came(ground: Ground, change: str, due: str, since: float) -> bool:
    """Whether the run came to a host that it was yet to come to, in the slice under way or later; true where none was."""
    return not due or any(due in one.hosts and one.ended >= since for one in told(ground, change)[0])


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
