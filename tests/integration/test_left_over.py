"""A run dies with all its processes while an act goes on on its host: `itmp resume` waits for that, and names it."""

import subprocess

import pytest
from places import Place, carriers, kill, rolling, wait_for

pytestmark = pytest.mark.fleet

HOSTS = ("web1", "web2")


def died(place: Place, change: str) -> None:
    """Run until web1 is in the middle of its act, and kill the command and every process under it at once."""
    run = place.start("run", change, "--key", "alice")
    place.until("web1", "begin one")
    token = str(place.json("status", change)["run"])
    under = carriers(token)
    assert any("/project/playbooks/" in line for line in under.values()), "its runner is among them"
    kill(run.pid)
    for pid in under:
        try:
            kill(pid)
        except ProcessLookupError:
            continue
    run.wait()
    wait_for(lambda: not carriers(token), "the run's processes to end")


def waits(place: Place, resume: subprocess.Popen[bytes], seen: int) -> None:
    """Require that the resume has asked web1 and goes on with nothing while the act is held there."""
    wait_for(lambda: place.fleet.connections("web1") > seen, "the resume to ask web1")
    told = (place.root.parent / f"err-{place.running.index(resume)}").read_text()
    assert "looks for what was left at work on web1, and waits until it has ended" in told, (
        "who waits is told why"
    )
    before = place.journals()
    with pytest.raises(subprocess.TimeoutExpired):
        resume.wait(5)
    assert place.journals() == before


def test_a_resume_waits_for_what_goes_on_on_a_host_and_names_it(place: Place) -> None:
    journal = place.on("web1") / "journal"
    probe = {"command": {"argv": ["grep", "-qx", "end one", str(journal).replace("web1", "${host.name}")]}}
    change = place.ready(rolling("one", "two", hosts="web1:web2", probe=probe))
    place.hold("web1", "one")
    died(place, change)
    assert place.journal("web1") == ["begin one"], "what is on the host goes on"
    seen = place.fleet.connections("web1")
    resume = place.start("resume", change, "--key", "alice", "--json")
    waits(place, resume, seen)
    place.let_go("web1", "one")
    done = place.ended(resume)
    assert done.rc == 0, done
    named = [note for note in done.json["notes"] if note.startswith("one@1: left over and ended: web1: ")]
    assert named, (
        "what was waited for"
    )  # a shell, and where it was seen in a moment of its own, what it had begun
    programs = {" ".join(note.split("web1: ")[1].split()[1:3]) for note in named}
    assert "sh: sh" in programs, "by its program; what follows may be a secret"
    did = [f"{part} {name}" for name in ("one", "two") for part in ("begin", "end")]
    assert place.journals() == {"web1": did, "web2": did, "web3": []}, "each act ran once"
    assert place.json("status", change)["hosts"] == dict.fromkeys(HOSTS, "changed")
    assert place.sound()
