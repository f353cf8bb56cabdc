"""What a run acts on is leased: to one run, all or nothing, and for no longer than its process lives."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from itmp.adapters.ansible._ssh_files import Hop
from itmp.adapters.ansible._ways import Way, Ways
from itmp.adapters.ansible.layout import WAYS
from itmp.adapters.file_events import SAFE
from itmp.adapters.hold import lock
from itmp.adapters.supervisor._custody import KEPT
from itmp.canonical import digest
from itmp.plan import Plan
from itmp.plan.model import Host
from itmp.testing.small_plans import ansible, check, plan, stack
from itmp.workspace import Workspace
from itmp.workspace.leases import Held, Leases, TargetHeldError, acted_on


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    (tmp_path / "itmp.yml").write_text("organization: example.com\n")
    return Workspace.here(tmp_path)


def left(place: Workspace) -> list[str]:
    return [path.name for path in place.leases.glob("*.lease")]


def own(*names: str) -> dict[str, str]:
    """Things of which nothing but the name is known."""
    return {name: name for name in names}


HOLDER = """\
import sys
from pathlib import Path
from itmp.workspace import Workspace
from itmp.workspace.holding import held
from itmp.workspace.leases import Leases
place = Workspace.here(Path(sys.argv[1]))
with held(place, "CHG-dead"), Leases(place, "CHG-dead", "run-dead") as leases:
    leases.take({"web1": "web1", "web2": "web2"})
    print("held", flush=True)
    sys.stdin.read()
"""


LOOKER = """\
import sys
from pathlib import Path
from itmp.workspace import Workspace
from itmp.workspace.leases import Leases, TargetHeldError
from itmp.workspace.noticing import is_held
place = Workspace.here(Path(sys.argv[1]))
try:
    with Leases(place, "CHG-b", "run-b") as leases:
        leases.take({"web1": "web1"})
        whose = "nobody"
except TargetHeldError as error:
    whose = error.held.change
print(is_held(place, "CHG-dead"), whose)
"""


@pytest.fixture
def holder(place: Workspace) -> Iterator["subprocess.Popen[str]"]:
    argv = [sys.executable, "-c", HOLDER, str(place.root)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_name_has_one_holder_who_can_be_read_and_others_are_free(place: Workspace) -> None:
    with Leases(place, "CHG-a", "run-a") as first:
        assert first.take(own("web1", "lb1")) is False
        with Leases(place, "CHG-b", "run-b") as other:
            with pytest.raises(TargetHeldError, match="lb1 is held by CHG-a") as caught:
                other.take(own("lb1", "web2"))
            assert caught.value.exit_code == 19
            assert caught.value.held.to_data() == {"target": "lb1", "change": "CHG-a", "run": "run-a"}
            assert len(left(place)) == 1
            other.take(own("web2"))
    assert left(place) == []


def test_a_killed_holder_holds_nothing_any_more(place: Workspace, holder: "subprocess.Popen[str]") -> None:
    with Leases(place, "CHG-b", "run-b") as leases:
        with pytest.raises(TargetHeldError, match="CHG-dead"):
            leases.take(own("web2"))
        holder.kill()
        holder.wait()
        assert len(left(place)) == 1  # the file is still there, and says nothing
        leases.take(own("web2"))
        assert [name for name in left(place) if "CHG-dead" in name] == []


def test_who_waits_is_told_for_whom_holds_nothing_and_gets_it_when_it_is_free(place: Workspace) -> None:
    told: list[Held] = []
    first = Leases(place, "CHG-a", "run-a")
    first.take(own("web2"))

    def free(held: Held) -> None:
        told.append(held)
        with Leases(place, "CHG-c", "run-c") as third:
            third.take(own("web1"))  # what the waiting one wants too is free meanwhile
        first.__exit__()

    with Leases(place, "CHG-b", "run-b", patience=60, tell=free) as leases:
        assert leases.take(own("web1", "web2")) is True
    assert [held.target for held in told] == ["web2"]


class Counting(Leases):
    """Counts its looks."""

    looks = 0

    def _try(self, wanted: Mapping[str, str]) -> Held | None:
        self.looks += 1
        return super()._try(wanted)


def test_who_waits_sleeps_until_the_holder_dies(place: Workspace, holder: "subprocess.Popen[str]") -> None:
    waiting = [Counting(place, f"CHG-{n}", f"run-{n}", patience=600) for n in range(2)]
    names = ({"web1"}, {"web2"})
    threads = [
        threading.Thread(target=one.take, args=(own(*its),)) for one, its in zip(waiting, names, strict=True)
    ]
    for thread in threads:
        thread.start()
    while any(one.looks < 2 for one in waiting):  # one before it listens, one after
        threading.Event().wait(0.01)
    threading.Event().wait(1.2)
    assert [one.looks for one in waiting] == [2, 2], "no look wakes anybody, and no clock"
    holder.kill()
    holder.wait()
    for thread in threads:
        thread.join(SAFE - 5)
        assert not thread.is_alive(), "its death is an event"
    for one in waiting:
        one.__exit__()


@pytest.mark.parametrize("deep", ["holder", "waiter"])
def test_a_holder_is_seen_from_another_process_namespace(place: Workspace, deep: str) -> None:
    apart = [
        "unshare",
        *(["--user", "--map-root-user"] if os.geteuid() else []),
        "--pid",
        "--fork",
        "--mount-proc",
    ]
    look = [sys.executable, "-c", LOOKER, str(place.root)]
    hold = [sys.executable, "-c", HOLDER, str(place.root)]
    first, second = ([*apart, *hold], look) if deep == "holder" else (hold, [*apart, *look])
    with subprocess.Popen(first, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        seen = subprocess.run(second, capture_output=True, text=True, check=False)
        assert seen.stdout == "True CHG-dead\n", seen.stderr
        process.communicate("")
    seen = subprocess.run(second, capture_output=True, text=True, check=False)
    assert seen.stdout == "False nobody\n", seen.stderr


def test_many_runs_at_once_neither_share_a_name_nor_wait_for_each_other_for_ever(place: Workspace) -> None:
    names, busy, clashes, ended = ["a", "b", "c"], set[str](), list[str](), list[int]()

    def go(number: int) -> None:
        mine = {names[number % 3], names[(number + 1) % 3]}
        with Leases(place, f"CHG-{number}", f"run-{number}", patience=120) as leases:
            leases.take(own(*mine))
            clashes.extend(busy & mine)
            busy.update(mine)
            threading.Event().wait(0.01)
            busy.difference_update(mine)
        ended.append(number)

    threads = [threading.Thread(target=go, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sorted(ended), clashes, left(place)) == (list(range(6)), [], [])


def test_it_is_exactly_what_the_run_may_act_on() -> None:
    made = plan(
        [
            ansible("one", ["web1", "web2"], delegates=("lb1",)),
            check("asked", ["db1"]),
            stack("scale", ["asg"]),
            ansible("elsewhere", ["web9"], delegates=("lb9",)),
        ],
        undo=[ansible("back", ["web1"], delegates=("lb2",))],
    )
    hosts = {"web1", "db1"}
    assert acted_on(made, hosts, phases=("undo",)) == {"web1": "web1", "web1:22": "web1", "lb2": "lb2"}
    whole = set(acted_on(made, hosts, phases=("do", "undo")).values())
    assert {name for name in whole if not name.startswith("stack ")} == {"web1", "lb1", "lb2"}
    assert len([name for name in whole if name.startswith("stack ")]) == 1


def reached(*hosts: tuple[str, str, int], ways: Mapping[str, Way] | None = None) -> Plan:
    """A plan that acts on hosts at these addresses and ports, by `ways` where not by plain ssh."""
    made = plan([ansible("one", [name for name, *_ in hosts])])
    found = tuple(
        Host(name=name, address=address, port=port, groups=(), vars=digest(b"{}"))
        for name, address, port in hosts
    )
    assert made.manifest.inventory
    manifest = replace(made.manifest, artifacts={}, inventory=replace(made.manifest.inventory, hosts=found))
    more = {WAYS: Ways(of=ways).to_bytes()} if ways else {}
    return Plan.build(manifest, {path: made.artifact(path) for path in made.manifest.artifacts} | more)


def leased(made: Plan) -> Mapping[str, str]:
    return acted_on(made, {host.name for host in made.manifest.inventory.hosts}, phases=("do",))


BASTION = Hop(host="Bastion.example.", port=2222)


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        (reached(("db1", "10.0.0.5", 22)), reached(("db1-admin", "10.0.0.5", 22)), "10.0.0.5:22"),
        (reached(("db1", "DB.example", 22)), reached(("other", "db.example.", 22)), "db.example:22"),
        (reached(("db1", "::1", 22)), reached(("other", "[0:0:0:0:0:0:0:1]", 22)), "[::1]:22"),
        (reached(("db1", "10.0.0.5", 22)), reached(("other", "10.0.0.5", 2022)), ""),
        (
            reached(("db1", "10.0.0.5", 22)),
            reached(("db", "db", 22), ways={"db": Way(end=Hop(host="10.0.0.5"))}),
            "10.0.0.5:22",
        ),
        (
            reached(("db1", "10.0.0.5", 22), ways={"db1": Way(via=(BASTION,))}),
            reached(("other", "10.0.0.5", 22), ways={"other": Way(via=(BASTION,))}),
            "10.0.0.5:22 over bastion.example:2222",
        ),
        (
            reached(("db1", "10.0.0.5", 22), ways={"db1": Way(via=(BASTION,))}),
            reached(("x", "10.0.0.5", 22)),
            "",
        ),
        (
            reached(("box1", "localhost", 22), ways={"box1": Way(connection="community.docker.docker")}),
            reached(("box2", "localhost", 22), ways={"box2": Way(connection="local")}),
            "",
        ),
    ],
)
def test_two_names_of_one_machine_are_one_lease(
    place: Workspace, first: Plan, second: Plan, shared: str
) -> None:
    ours, theirs = leased(second), leased(first)
    with Leases(place, "CHG-a", "run-a") as leases:
        assert leases.take(theirs) is False
        with Leases(place, "CHG-b", "run-b") as other:
            if not shared:
                assert other.take(ours) is False
                return
            with pytest.raises(TargetHeldError) as caught:
                other.take(ours)
    mine, its = (one.manifest.inventory.hosts[0].name for one in (second, first))
    assert caught.value.what == f"{mine} ({shared}) is held by CHG-a as {its}"
    assert caught.value.held.to_data() == {"target": mine, "change": "CHG-a", "run": "run-a", "name": its}


def test_names_of_one_run_may_share_a_machine(place: Workspace) -> None:
    made = reached(("db1", "10.0.0.5", 22), ("db1-admin", "10.0.0.5", 22))
    with Leases(place, "CHG-a", "run-a") as leases:
        assert leases.take(leased(made)) is False
    assert set(leased(made)) == {"db1", "db1-admin", "10.0.0.5:22"}


def test_ten_thousand_hosts_are_leased_and_compared_in_no_time(place: Workspace) -> None:
    many = [(f"web{n}", f"10.0.{n // 250}.{n % 250}", 22) for n in range(10_000)]
    wanted = leased(reached(*many))
    assert len(wanted) == 20_000
    begun = time.monotonic()
    with Leases(place, "CHG-a", "run-a") as first, Leases(place, "CHG-b", "run-b") as second:
        first.take(wanted)
        second.take({f"x{name}": f"x{its}" for name, its in wanted.items()})
    assert time.monotonic() - begun < 2


def test_a_run_of_an_executor_of_before_holds_what_it_says(place: Workspace) -> None:
    file = place.state / "leases" / "CHG-a-run-a-1.lease"
    file.parent.mkdir(parents=True, exist_ok=True)
    body = {"change": "CHG-a", "run": "run-a", "pid": 1, "targets": ["lb1", "web1"]}
    file.write_text(json.dumps(body))
    with file.open("r+b") as held, Leases(place, "CHG-b", "run-b") as other:
        lock(held.fileno())
        with pytest.raises(TargetHeldError, match="web1 is held by CHG-a"):
            other.take(own("web1"))


def test_leases_lie_where_no_child_of_the_executor_reaches(place: Workspace) -> None:
    with Leases(place, "CHG-a", "run-a") as leases:
        leases.take(own("web1"))
        (lease,) = place.state.rglob("*.lease")
    assert lease.relative_to(place.state).parts[0] not in KEPT
