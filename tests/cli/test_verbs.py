"""Verbs repeated, narrowed, signed elsewhere, waited for; the policy changed by its own people."""

import re
import subprocess

import pytest
import yaml
from places import PATIENCE, WEB, Place, rolling, wait_for

from itmp.lab.fleet import make_key

pytestmark = pytest.mark.fleet


def test_a_finished_run_is_replayed_and_not_repeated(place: Place) -> None:
    change = place.ready(rolling("one", batches=(3,)))
    first = place.run(change)
    count = len(place.leaves())
    again = place.run(change)
    assert (first["replayed"], again["replayed"]) == (False, True)
    assert {key: again[key] for key in ("exit_code", "run", "state", "hosts", "plan")} == {
        key: first[key] for key in ("exit_code", "run", "state", "hosts", "plan")
    }
    assert place.run(change, "--limit", "web*")["replayed"] is True
    told = place.json("run", change, "--key", "alice", "--limit", "web1", expect=2)["error"]
    assert "on all hosts of its plan, and this asks to run it on web1 alone" in str(told)
    assert len(place.leaves()) == count
    assert place.journals() == {host: ["begin one", "end one"] for host in WEB}


def test_a_limit_narrows_and_never_widens(place: Place) -> None:
    change = place.ready(rolling("one", hosts="web1:web2"))
    for limit in ("web3", "lb1", "all", "nobody", "web1,web3", "/etc/passwd"):
        done = place.itmp("run", change, "--key", "alice", "--limit", limit, expect=2)
        assert "no host of the plan matches" in done.err
    for words in (("run", "--limit", ""), ("resume", "--retry", "")):
        assert "names none" in place.itmp(*words, change, "--key", "alice", expect=2).err
    assert "leave out --recorded" in place.itmp("run", change, "--recorded", "--limit", "", expect=2).err
    assert place.untouched()
    result = place.run(change, "--limit", "web[2-9]")
    assert place.journals() == {"web1": [], "web2": ["begin one", "end one"], "web3": []}
    assert result["hosts"] == {"web1": "skipped", "web2": "changed"}
    permit = next(leaf for leaf in place.leaves(change) if leaf.event.type == "permit.issued")
    assert permit.event.data["permit"]["limit"] == ["web2"]
    for same in (("--limit", "*2"), ()):
        assert place.run(change, *same)["replayed"] is True
    other = place.itmp("run", change, "--key", "alice", "--limit", "web1", expect=2).err
    assert f"{change} has run already, on web2 alone, and this asks to run it on web1 alone" in other
    place.itmp("undo", change, "--key", "alice", "--hosts", "", expect=2)
    place.itmp(
        "statement", change, "--act", "undo", "--signer", "alice@example.com", "--limit", ",", expect=2
    )
    for said in re.findall(r"itmp (change (?:close|open) \S+)", other):  # what it says to do instead
        acted = place.json(*said.split(), "--reason", "the other host", "--key", "alice")
    assert acted["change"] != change


def test_an_approval_signed_on_another_machine_counts(place: Place) -> None:
    change = place.propose(rolling("one", batches=(3,)))
    told = place.itmp("statement", change, "--act", "approve", "--signer", "bob@example.com", expect=0)
    assert "-n itmp-approve@example.com" in told.err
    text = place.write("elsewhere/approve.txt", told.out)
    signature = place.sign("bob", text, "approve")
    changed = place.write("elsewhere/changed.txt", told.out.replace("hosts=3", "hosts=2"))
    count = len(place.leaves())
    assert place.itmp("statement", "add", str(changed), str(signature)).rc in {2, 15, 40}
    foreign = place.write("elsewhere/foreign.txt", told.out)
    assert place.itmp("statement", "add", str(foreign), str(place.sign("alice", foreign, "approve"))).rc in {
        2,
        15,
        40,
    }
    wrong = place.write("elsewhere/wrong.txt", told.out)
    assert place.itmp("statement", "add", str(wrong), str(place.sign("bob", wrong, "reject"))).rc in {
        2,
        15,
        40,
    }
    assert len(place.leaves()) == count
    place.itmp("statement", "add", str(text), str(signature), expect=0)
    again = place.itmp("statement", "add", str(text), str(signature))
    assert again.rc in {0, 2, 15, 40}
    assert place.types(change).count("change.approved") <= 2
    place.run(change)
    assert place.journals() == {host: ["begin one", "end one"] for host in WEB}


def test_the_policy_changes_by_its_old_quorum_alone(place: Place) -> None:
    change = place.ready(rolling("one", batches=(3,)))
    old = place.json("policy", "show")
    make_key(place.root / "dave", "dave@example.com")
    place.itmp(
        "signers", "add", "dave@example.com", "dave.pub", "--role", "approver", "-o", "p.yml", expect=0
    )
    first = place.json("policy", "propose", "p.yml", "--key", "alice")
    assert (first["in_force"], first["needed"]) == (False, 2)
    assert place.itmp("policy", "sign", first["policy"], "--key", "dave").rc == 15
    same = place.json("policy", "sign", first["policy"], "--key", "alice")
    assert (same["in_force"], same["signers"]) == (False, ["alice@example.com"])
    assert place.json("policy", "show")["policy"] == old["policy"]
    second = place.json("policy", "sign", first["policy"], "--key", "bob")
    assert second["in_force"] is True
    assert place.json("policy", "show")["policy"] == first["policy"] != old["policy"]
    refused = place.run(change, expect=12)
    assert next(check["n"] for check in refused["checks"] if check["outcome"] == "refused") == 1
    assert place.untouched()
    place.approve(change, key="dave")
    place.run(change)
    assert place.sound()


def test_what_the_policy_file_says_does_not_matter_until_it_is_signed(place: Place) -> None:
    change = place.propose(rolling("one"))
    document = yaml.safe_load((place.root / "policy.yml").read_text())
    for rule in document["quorum"]:
        rule["count"] = 0
    place.write("policy.yml", yaml.safe_dump(document))
    place.write("policy/policy.yml", yaml.safe_dump(document))
    place.run(change, expect=10)
    assert place.untouched()


def test_waiting_ends_when_the_change_may_run(place: Place) -> None:
    change = place.propose(rolling("one"))
    none = place.itmp("wait", change, "--for", "runnable", "--timeout", "0s", "--json")
    assert (none.rc, none.json["retryable"]) == (10, True)
    waiting = place.start("wait", change, "--for", "runnable", "--timeout", "10m", "--json")
    wait_for(lambda: "change.approved" not in place.types(change) and waiting.poll() is None, "the wait")
    place.approve(change)
    assert place.ended(waiting).json["exit_code"] == 0
    place.itmp("reject", change, "--key", "carol", "--yes", expect=0)
    place.itmp("wait", change, "--for", "runnable", "--timeout", "10m", expect=18)
    assert place.untouched()


def test_a_signed_stop_ends_the_run_between_two_actions(place: Place) -> None:
    change = place.ready(rolling("one+two", hosts="web1:web2"))
    place.hold("web1", "one")
    run = place.start("run", change, "--key", "alice", "--json")
    place.until("web1", "begin one")
    place.itmp("stop", change, "--reason", "errors rise", "--key", "carol", expect=0)
    place.let_go("web1", "one")
    done = place.ended(run)
    assert done.json["state"] == "stopped", done
    assert place.journal("web1") == ["begin one", "end one"]
    assert place.journal("web2") == []
    assert any("--retry failed" in note for note in done.json["notes"])
    place.itmp("resume", change, "--key", "alice", expect=13)
    assert place.journal("web1") == ["begin one", "end one"], "nothing is repeated unasked"
    place.json("resume", change, "--retry", "failed", "--key", "alice")
    both = ["begin one", "end one", "begin two", "end two"]
    assert place.journal("web1") == ["begin one", "end one", *both]
    assert place.journal("web2") == both


def test_the_digest_of_a_plan_is_the_same_from_any_checkout(place: Place) -> None:
    place.write("playbooks/go.yml", "- {hosts: web, gather_facts: false, roles: [app]}\n")
    place.write(
        "roles/app/tasks/main.yml",
        "- {name: T, ansible.builtin.template: {src: t.j2, dest: '{{ host_root }}/t', mode: '0600'}}\n"
        "- {name: I, ansible.builtin.include_tasks: more.yml}\n",
    )
    place.write("roles/app/tasks/more.yml", "- {name: M, ansible.builtin.command: 'true'}\n")
    place.write("roles/app/templates/t.j2", "{{ b }}{{ a }}\n")
    place.write("roles/app/defaults/main.yml", "b: 2\na: 1\n")
    place.write("inventories/group_vars/web.yml", "z: 1\ny: [3, 1, 2]\nx: {q: 1, p: 2}\n")
    document = yaml.safe_load(rolling("one"))
    document["steps"].append({"id": "go", "playbook": "go", "vars": {"k2": 1, "k1": {"b": 1, "a": [1]}}})
    place.write("runbooks/r.yml", yaml.safe_dump(document, sort_keys=False))
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com", "-C", str(place.root)]
    place.write(".gitignore", ".itmp/\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], check=True, timeout=PATIENCE)
    digests = set()
    settings = [
        ("a", "", "077", {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "LC_ALL": "C"}),
        ("b/much/deeper/down", "runbooks", "022", {"PYTHONHASHSEED": "2", "TZ": "UTC", "LC_ALL": "C.UTF-8"}),
    ]
    for path, inside, mask, environ in settings:
        copy = place.root.parent / path
        clone = f'umask {mask} && git clone -q "$0" "$1"'
        subprocess.run(["sh", "-c", clone, str(place.root), str(copy)], check=True, timeout=PATIENCE)
        subprocess.run(
            ["find", str(copy), "-exec", "touch", "-d", f"2001-0{len(digests) + 1}-02", "{}", "+"],
            check=True,
            timeout=PATIENCE,
        )
        file = str(copy / "runbooks" / "r.yml")
        built = place.itmp(
            "plan", file, "-o", str(copy / "r.plan.tar"), "--json", cwd=copy / inside, expect=0, **environ
        )
        digests.add((built.json["plan"], (copy / "r.plan.tar").read_bytes()))
    assert len(digests) == 1
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", next(iter(digests))[0])
    (copy / "roles/app/templates/t.j2").write_text("{{ b }}{{ a }} \n")
    edited = place.itmp("plan", file, "-o", "s.plan.tar", "--json", cwd=copy, expect=0)
    assert edited.json["plan"] != next(iter(digests))[0]


@pytest.mark.long
def test_what_another_change_left_unknown_is_said_before_anything_is_done(place: Place) -> None:
    first = place.ready(rolling("one", hosts="web1"))
    place.hold("web1", "one")
    dead = place.start("run", first, "--key", "alice")
    place.until("web1", "begin one")
    dead.kill()
    dead.wait()
    place.let_go("web1", "one")
    command = f"itmp reconcile {first} web1 ok|failed --reason TEXT"
    told = place.json("status", first)
    assert told["state"] == "implement, run running, carried out by nobody"
    assert told["next"][0] == command
    second = place.ready(rolling("two", hosts="web1:web2"))
    note = f"{first} has left web1 unknown; type: {command}"
    assert place.json("change", "show", second)["notes"] == [note]
    done = place.itmp("run", second, "--key", "alice", "--json", expect=0)
    assert note in done.json["notes"]
    assert done.err.startswith(f"note: {first} left web1 unknown: {command}")
    third = place.ready(rolling("two", hosts="web2"))
    assert not any("unknown" in line for line in place.run(third)["notes"])
