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
from ground import WEB, Ground, pause
from harms import HARMS, Hit
from places import PATIENCE, carriers, wait_for
from plays import ACTS, HOME, PREY, Prey
from prey import Looker
from tally import Attempt, note
from truth import GOOD, Named, agree, finished, settled, told

from itmp.change import RunRecord
from itmp.lab import namespaces
from itmp.workspace import Workspace, close, evidence, reconcile
from itmp.workspace.changes import find
from itmp.workspace.watching import lost, status

if TYPE_CHECKING:
    import subprocess

COUNT: Final = int(os.environ.get("ITMP_CHAOS", "3"))
SEED: Final = int(os.environ.get("ITMP_CHAOS_SEED", "7"))
SORTS: Final = (
    os.environ.get("ITMP_CHAOS_PREY", "").split(",") if os.environ.get("ITMP_CHAOS_PREY") else [*PREY]
)
ONLY: Final = [name for name in os.environ.get("ITMP_CHAOS_HARMS", "").split(",") if name] or sorted(HARMS)
TALLY: Final = os.environ.get("ITMP_CHAOS_TALLY", "")
STRIKES: Final = 3
"""How often one run is harmed before its person has peace."""
NIGHTS: Final = 5
"""How many nights a test may take for its strikes before a harm counts as blunt."""
ROUNDS: Final = 8
"""How often a person goes on before giving up."""
AIMED: Final = 0.6
"""How often a strike waits for an act on a host rather than for the log to grow."""
SLOW: Final = 0.25
"""How often such an act then takes its time, so that it may outlive its run."""
ILL: Final = 0.4
"""How often a host's disk is full from the start where its play has a rescue for that."""
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
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ground, dict[str, str]]]:
    """Give a ground with an approved change for each prey, which every test copies, and the changes' ids."""
    top = tmp_path_factory.mktemp("chaos")
    with namespaces.up(top / "fleet", len(WEB), names=WEB, groups={"web": WEB}) as fleet:
        made = Ground.found(top / "w", fleet)  # type: ignore[arg-type]  # it has all that a place asks of a fleet
        assert isinstance(made, Ground)
        try:
            yield made, {name: _ready(made, PREY[name]) for name in SORTS}
        finally:
            made.leave()


def _ready(ground: Ground, prey: Prey) -> str:
    for path, text in prey.files.items():
        ground.write(path, text)
    return ground.ready(prey.document)


@pytest.fixture
def grounds(tmp_path: Path, model: tuple[Ground, dict[str, str]]) -> Iterator[Callable[[], Ground]]:
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
    grounds: Callable[[], Ground], model: tuple[Ground, dict[str, str]], name: str
) -> None:
    chance = random.Random(name)  # noqa: S311 - as above
    harms, nights, sort = deque(name.partition("-")[0].split("+")), 0, chance.choice(SORTS)
    while harms:
        nights += 1
        assert nights <= NIGHTS, f"{harms[0]} finds nothing to harm"
        Night(grounds(), model[1][sort], sort, name, chance).pass_(harms)


class Night:
    """One run of a prey and all that becomes of it until its change is closed."""

    def __init__(self, ground: Ground, change: str, sort: str, name: str, chance: random.Random) -> None:
        self.ground, self.change, self.sort, self.name, self.chance = ground, change, sort, name, chance
        self.prey, self.base, self.named = PREY[sort], ground.grown(), Named()
        self.undo = chance.random() < 0.35
        rescues = any(its.kind == "rescue" for its in self.prey.acts.values())
        self.ill = chance.choice(WEB) if rescues and chance.random() < ILL else ""

    def pass_(self, harms: deque[str]) -> None:
        """Harm one run until it is at its end, or no harm is left; then take it to its end."""
        ground, change = self.ground, self.change
        if self.ill:
            ground.fill(self.ill, f"{HOME}/disk")
        while harms:
            run = _run(ground, change)
            self.undo = self.undo or (
                run is not None and run.state == "succeeded"
            )  # there is no way but back
            if run is not None and (run.state == "undone" or (self.undo and not run.slices)):
                break
            if run is not None and self.chance.random() < 0.7:  # else the take-up finds what nobody has said
                look(ground, change)
            typed = words(run, change, undo=self.undo)
            if strike(ground, change, typed, self._aim(harms[0], typed)):
                harms.popleft()
            agree(ground, change, self.named)
            self._recover()
        self._recover()
        (back if self.undo else on)(ground, change, self.prey)
        agree(ground, change, self.named)
        settled(ground, self.named, undone=_state(ground, change) == "undone")
        place = Workspace.here(ground.root)
        close(place, change, reason="done", key=_key(ground))
        evidence(place, change, ground.root / "e.tar")
        ground.itmp("e.tar", "--trust", "trust", program="itmp-verify", expect=0)

    def _recover(self) -> None:
        """Make room again on a disk that was full from the start."""
        if self.ill:
            self.ground.free(self.ill, f"{HOME}/disk")
            self.ill = ""

    def _aim(self, harm: str, typed: tuple[str, ...]) -> "Aim":
        undo, chance = typed[0] == "undo", self.chance
        more = (
            self.prey.least
            if undo
            else max(self.prey.least, self.base + self.prey.growth - self.ground.grown())
        )
        act = self._act(undo=undo) if chance.random() < AIMED else ""
        if act and chance.random() < SLOW:
            self.ground.slow(act)
        point = more if act else int(chance.random() * more)
        return Aim(test=self.name, prey=self.sort, harm=harm, point=point, chance=chance, act=act)

    def _act(self, *, undo: bool) -> str:
        """Draw an act that the command will come to, about: each kind equally often, and a rescue where it is due."""
        if self.ill and self.chance.random() < 0.7:
            return "mend"
        kinds: dict[str, list[str]] = {}
        for act, its in self.prey.acts.items():
            if its.undo == undo and its.kind != "rescue":
                kinds.setdefault(its.kind, []).append(act)
        return self.chance.choice(self.chance.choice([*kinds.values()]))


def words(run: RunRecord | None, change: str, *, undo: bool) -> tuple[str, ...]:
    """Return the command that a person would type next."""
    if run is None:
        return ("run", change)
    return ("undo", change) if undo else ("resume", change, "--retry", "failed,unreachable")


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What is to strike one command, and when: once a host does `act`, or the log has grown by `point` bytes, about."""

    test: str
    prey: str
    harm: str
    point: int
    chance: random.Random
    act: str


def strike(ground: Ground, change: str, typed: tuple[str, ...], aim: Aim) -> bool:
    """Start a command, harm it, wait for its end, heal, and require that nothing is left; return whether it was hit."""
    start = time.monotonic()
    start_it = ground.start_apart if aim.harm in APART else ground.start
    process = start_it(*typed, "--key", "alice", "--json")
    hit, moment, under = _aimed(ground, process, aim)
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
        prey=aim.prey,
        harm=aim.harm,
        command=typed[0],
        moment=moment,
        under=under,
        what=hit.what if hit else "nothing",
        hit=met,
        code=process.returncode,
        seconds=round(time.monotonic() - start, 1),
    )
    note(TALLY, attempt)
    return met


def _aimed(ground: Ground, process: "subprocess.Popen[bytes]", aim: Aim) -> tuple[Hit | None, str, list[str]]:
    """Strike at the drawn moment, or at later ones while there is nothing to hit and the command lasts."""
    before, looker = ground.grown(), Looker(ground)

    def met() -> bool:
        return bool(aim.act) and aim.act in looker.under_way()

    wait_for(
        lambda: process.poll() is not None or met() or ground.grown() - before >= aim.point, "the moment"
    )
    pause(aim.chance.uniform(0, 0.1 if met() else LULL))
    while process.poll() is None:
        moment, under = ground.moment(), sorted({ACTS[act].kind for act in looker.under_way()})
        hit = HARMS[aim.harm](ground, process, aim.chance)
        if hit:
            return hit, moment, under
        pause(aim.chance.uniform(0.02, 0.4))
    return None, ground.moment(), []


def _came(ground: Ground, change: str, due: str, since: float) -> bool:
    """Whether the run came to a host that it was yet to come to, in the slice under way or later; true where none was."""
    return not due or any(due in one.hosts and one.ended >= since for one in told(ground, change).intents)


def _run(ground: Ground, change: str) -> RunRecord | None:
    return find(Workspace.here(ground.root), change).run


def _state(ground: Ground, change: str) -> str:
    run = _run(ground, change)
    return run.state if run else ""


def _key(ground: Ground) -> str:
    return str(ground.root / "alice")


def _left(ground: Ground) -> dict[int, str]:
    """The processes of this ground's run, by its token; a run that was never begun has none."""
    runs = [path.name for path in (ground.root / ".itmp" / "runs").glob("*") if path.is_dir()]
    return {pid: line for run in runs if run != "leases" for pid, line in carriers(run).items()}


def on(ground: Ground, change: str, prey: Prey) -> None:
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
        wanted = {act for act, its in prey.acts.items() if its.must and not its.undo}
        assert wanted <= ended, f"{host}: {ground.lines(host)}"
        assert not ground.acts(host), f"{host} still acts, and nobody is told"


def back(ground: Ground, change: str, prey: Prey) -> None:
    """Undo as a person would until everything that was begun is taken back."""
    for _ in range(ROUNDS):
        before = _run(ground, change)
        if before is None:  # nothing was begun, not even a permit
            on(ground, change, prey)
            return
        if before.state == "undone":  # by the undo that was harmed
            break
        done = ground.itmp("undo", change, "--key", "alice", "--json")
        if done.rc == 0:
            break
        if done.rc == 2:  # nothing was begun
            assert not before.slices, done
            if before.active:
                on(ground, change, prey)
            return
        if done.rc == 14:
            look(ground, change)
        elif done.rc != 13:
            pytest.fail(f"undo: {done}")
    else:
        pytest.fail("never undone")
    for host in WEB:
        acts = [line.act for line in ground.lines(host) if line.what != "fail"]
        assert not acts or ACTS[acts[-1]].undo, f"{host}: {ground.lines(host)}"
        assert not ground.acts(host), f"{host} still acts, and nobody is told"


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
