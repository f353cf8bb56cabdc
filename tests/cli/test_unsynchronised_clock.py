"""A policy that judges times by a synchronised clock alone: the kernel is asked, and what it says is in the log."""

from dataclasses import replace

import pytest
import yaml
from places import Place, rolling

from itmp.adapters.clock import synchronised
from itmp.workspace import Workspace, run

pytestmark = pytest.mark.fleet
NOTHING = {"web1": [], "web2": [], "web3": []}


@pytest.fixture
def here(place: Place, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The workspace in this process, with the surroundings that a command would have."""
    monkeypatch.chdir(place.root)
    for name in ("HOME", "TMPDIR", "PATH", "LC_ALL"):
        monkeypatch.setenv(name, place.environ[name])
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return Workspace.here(place.root)


def demanding(place: Place) -> None:
    """Let the quorum sign a policy that refuses a clock which nobody keeps."""
    policy = yaml.safe_load((place.root / "policy.yml").read_text())
    limits = {**policy.get("limits", {}), "unsynchronised_clock": "refuse"}
    place.write("next.yml", yaml.safe_dump({**policy, "limits": limits}))
    proposed = place.json("policy", "propose", "next.yml", "--key", "alice")["policy"]
    assert place.json("policy", "sign", proposed, "--key", "bob")["in_force"] is True


def permits(place: Place, change: str) -> list[str | None]:
    """What each permit says of the clock."""
    leaves = [leaf.event for leaf in place.leaves(change) if leaf.event.type == "permit.issued"]
    return [(event.data or {})["permit"]["binaries"].get("clock") for event in leaves]


def test_an_unsynchronised_clock_refuses_and_a_synchronised_one_is_written_down(
    place: Place, here: Workspace
) -> None:
    """The door is replaced: whatever this machine's kernel says, both answers are tried."""
    demanding(place)
    change = place.ready(rolling("one", batches=(3,)))
    key = str(place.root / "alice")
    refused = run(replace(here, synchronised=lambda: False), change, key=key)
    [check] = [check for check in refused.checks if check["outcome"] == "refused"]
    assert (refused.exit_code, check["n"]) == (16, 8)
    assert "the kernel does not call it synchronised" in str(check["why"])
    assert "chrony" in str(check["do"])
    last = place.leaves(change)[-1].event
    assert (last.type, (last.data or {})["exit_code"]) == ("change.refused", 16)
    assert place.untouched()
    assert place.journals() == NOTHING
    done = run(replace(here, synchronised=lambda: True), change, key=key)
    assert done.exit_code == 0, done
    assert permits(place, change) == ["synchronised"]
    assert place.sound()


def test_a_clock_that_is_lost_between_two_slices_stops_the_run(place: Place, here: Workspace) -> None:
    demanding(place)
    change = place.ready(rolling("one", batches=(1,)))
    asked: list[bool] = []

    def kept() -> bool:
        asked.append(not place.journal("web1"))
        return asked[-1]

    ended = run(replace(here, synchronised=kept), change, key=str(place.root / "alice"))
    assert ended.exit_code != 0
    assert asked[-1] is False
    assert place.journals() == {**NOTHING, "web1": ["begin one", "end one"]}
    assert place.types(change)[-2:] == ["run.stopped", "run.finished"], "the log can be written"
    assert f"itmp resume {change}" in "\n".join(ended.next)
    assert place.sound()


def test_the_kernel_of_this_machine_is_asked(place: Place) -> None:
    """One real reading, by the real command: it runs where the kernel says yes, and is refused everywhere else."""
    demanding(place)
    change = place.ready(rolling("one", batches=(3,)))
    kept = synchronised()
    place.run(change, expect=0 if kept else 16)
    assert permits(place, change) == (["synchronised"] if kept else [])
    assert place.untouched() != kept
    shown = place.itmp("change", "show", change, expect=0).out
    assert ("synchronised" in shown) != kept


def test_without_the_limit_no_clock_is_asked(place: Place, here: Workspace) -> None:
    change = place.ready(rolling("one", batches=(3,)))

    def never() -> bool:
        raise AssertionError("asked")

    assert run(replace(here, synchronised=never), change, key=str(place.root / "alice")).exit_code == 0
    assert permits(place, change) == [None]
