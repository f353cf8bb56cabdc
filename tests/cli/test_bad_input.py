"""Wrong input is refused with what, where and what to do; a world that is not as planned is accounted for."""

import shutil
import tarfile
from pathlib import Path

import pytest
from places import WEB, Place, rolling

pytestmark = pytest.mark.fleet

HEAD = """\
itmp: runbook/v1
name: bad
title: Bad
owner: team-web
environment: production
risk: moderate
"""
PLAYBOOK = HEAD + "steps:\n  - {id: go, playbook: %s, hosts: %s}\n"
REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HEAD + "steps: [\n", ("8:1",)),
        (HEAD.replace("risk: moderate", "risk: some") + "steps: []\n", ("6:7", "low", "7:8")),
        (HEAD + "steps:\n  - {id: go, playbok: p, hosts: web}\n", ("8:5", "playbok", "playbook")),
        (HEAD + "owner: twice\nsteps: []\n", ("7:1", "owner")),
        (HEAD + "ouwner: x\nsteps:\n  - {id: go, playbook: p}\n", ("7:1", "ouwner", "owner")),
        (HEAD.replace("runbook/v1", "runbok/v1"), ("1:7", "runbook/v1")),
        (HEAD + "steps:\n  - {id: go, playbook: ../../etc/passwd}\n", ("8:24",)),
        ("\x00\xff", ("1:1",)),
        (HEAD + "steps: &a [*a]\n", ("7:",)),
    ],
)
def test_a_bad_document_is_refused_at_its_line_and_column(
    place: Place, text: str, told: tuple[str, ...]
) -> None:
    (place.root / "bad.yml").write_bytes(text.encode("latin-1"))
    checked = place.itmp("validate", "bad.yml", expect=2)
    planned = place.itmp("plan", "bad.yml", expect=2)
    for words in (checked.out, planned.err):
        assert f"bad.yml:{told[0]}" in words, words
        assert all(word in words for word in told), words
        assert "Traceback" not in words
    problems = place.json("validate", "bad.yml", expect=2)["problems"]
    assert all(problem["path"] == "bad.yml" and problem["line"] for problem in problems)


def test_every_problem_of_every_document_is_told_at_once(place: Place) -> None:
    place.write("a.yml", HEAD.replace("owner: team-web\n", "") + "steps: []\nextra: 1\n")
    place.write("b.yml", HEAD + "steps:\n  - {id: a, check: {}, hosts: web}\n")
    place.write("c.yml", rolling("one"))
    done = place.itmp("validate", "a.yml", "b.yml", "c.yml", expect=2)
    assert done.out.count("a.yml:") >= 3
    assert "b.yml:8" in done.out
    assert "c.yml: ok" in done.out


@pytest.mark.parametrize(
    ("document", "words", "told"),
    [
        (PLAYBOOK % ("nowhere", "web"), (), ("playbooks/nowhere.yml",)),
        (PLAYBOOK % ("there", "nobody"), (), ("nobody",)),
        (rolling("one", hosts="web9"), (), ("web9",)),
        (PLAYBOOK % ("there", "web"), ("-i", "inventories/none.yml"), ("inventories/none.yml",)),
        (PLAYBOOK % ("there", "web"), ("--set", "x=1"), ("x",)),
        (PLAYBOOK % ("broken", "web"), (), ("playbooks/broken.yml:3",)),
    ],
)
def test_what_a_plan_needs_and_does_not_find_is_named(
    place: Place, document: str, words: tuple[str, ...], told: tuple[str, ...]
) -> None:
    place.write("playbooks/there.yml", "- {hosts: web, gather_facts: false, tasks: []}\n")
    place.write(
        "playbooks/broken.yml", "- hosts: web\n  tasks:\n    - {name: x, no_such_module_at_all: {}}\n"
    )
    place.write("r.yml", document)
    done = place.itmp("plan", "r.yml", *words, expect=2)
    assert all(word in done.err for word in told), done
    assert len(done.err.splitlines()) >= 2, "what to do is said"
    assert "Traceback" not in done.err
    assert not list(place.root.glob("*.plan.tar"))
    assert place.untouched()


def test_a_host_that_does_not_answer_is_accounted_and_taken_up_later(place: Place) -> None:
    change = place.ready(rolling("one", batches=(2, 1), max_failures=1))
    place.fleet.stop_host("web2")
    try:
        result = place.run(change, expect=13)
    finally:
        place.fleet.start_host("web2")
    assert result["hosts"] == {"web1": "changed", "web2": "unreachable", "web3": "changed"}
    assert f"itmp resume {change} --retry failed,unreachable" in result["next"]
    assert place.journal("web2") == []
    assert any("refused" in row["what"] for row in place.json("logs", change, "--host", "web2")["entries"])
    again = place.json("resume", change, "--retry", "unreachable", "--key", "alice")
    assert set(again["hosts"].values()) == {"changed"}
    assert place.journals() == {host: ["begin one", "end one"] for host in WEB}


def test_a_wrong_host_key_is_never_accepted_and_shown_by_a_scan(place: Place) -> None:
    pinned = place.root / "inventories" / "known_hosts"
    lines = [host.known_hosts for host in place.fleet.hosts if host.name not in {"web1", "web2"}]
    wrong = place.fleet.host("web1").known_hosts.split()[0] + " " + place.fleet.host("lb1").key + "\n"
    pinned.write_text("".join([*lines, wrong]))
    change = place.ready(rolling("one", batches=(2, 1), max_failures=2))
    result = place.run(change, expect=13)
    assert result["hosts"] == {"web1": "unreachable", "web2": "unreachable", "web3": "changed"}
    assert place.journal("web1") == place.journal("web2") == []
    before = pinned.read_text()
    scanned = {row["host"]: row for row in place.json("hosts", "scan", expect=13)["hosts"]}
    assert {name: row["state"] for name, row in scanned.items()} == {
        "web1": "changed", "web2": "new", "web3": "pinned", "lb1": "pinned",
    }  # fmt: skip
    assert all(row["fingerprint"].startswith("SHA256:") for row in scanned.values())
    assert scanned["lb1"]["fingerprint"] in scanned["web1"]["note"]
    assert pinned.read_text() == before
    place.itmp("hosts", "scan", "--pin", expect=13)
    assert pinned.read_text() == before + place.fleet.host("web2").known_hosts


def test_a_plan_file_with_one_changed_byte_is_refused_wherever_it_is(place: Place) -> None:
    place.write("r.yml", rolling("one"))
    place.itmp("plan", "r.yml", "-o", "good.plan.tar", expect=0)
    data = (place.root / "good.plan.tar").read_bytes()
    with tarfile.open(place.root / "good.plan.tar") as archive:
        members = archive.getmembers()
    spots = {
        "digest": members[0].offset_data + 9,
        "header": members[1].offset + 103,
        "manifest": members[1].offset_data + members[1].size // 2,
        "artifact": members[-1].offset_data + members[-1].size // 2,
        "padding": members[-1].offset_data + members[-1].size + 1,
        "end": len(data) - 1,
    }
    count = len(place.leaves())
    for name, at in spots.items():
        forged = bytearray(data)
        forged[at] ^= 1
        (place.root / "forged.plan.tar").write_bytes(forged)
        for words in (("show",), ("change", "open", "--reason", "x", "--key", "alice")):
            done = place.itmp(*words, "forged.plan.tar")
            assert done.rc in {2, 12}, (name, at, done)
            assert "Traceback" not in done.err
    (place.root / "forged.plan.tar").write_bytes(data[:-512])
    place.itmp("show", "forged.plan.tar", expect=2)
    assert len(place.leaves()) == count
    place.itmp("show", "good.plan.tar", expect=0)


def test_a_playbook_edited_after_approval_is_told_and_the_approved_bytes_run(place: Place) -> None:
    text = "- hosts: web1\n  gather_facts: false\n  tasks:\n    - {name: Go, ansible.builtin.raw: 'sh {{ host_root }}/act %s'}\n"
    place.write("playbooks/go.yml", text % "approved")
    change = place.ready(PLAYBOOK % ("go", "web1"))
    place.write("playbooks/go.yml", text % "edited")
    result = place.run(change)
    assert any("playbooks/go.yml" in note and "the approved bytes run" in note for note in result["notes"])
    assert place.journal("web1") == ["begin approved", "end approved"]


def test_without_the_engine_capacity_says_how_to_get_it(place: Place, tmp_path: Path) -> None:
    for part in ("stacks", "runbooks/capacity"):
        shutil.copytree(REPOSITORY / part, place.root / part, ignore=shutil.ignore_patterns("__pycache__"))
    bare = tmp_path / "bin"
    bare.mkdir()
    for words in (("plan", "runbooks/capacity/web-scale-out.yml"), ("engine", "status")):
        done = place.itmp(*words, expect=17, PATH=str(bare), XDG_CACHE_HOME=str(bare))
        assert "itmp engine install" in done.err
