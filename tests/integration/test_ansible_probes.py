"""Commands that hosts are asked with after a crash, on real hosts."""

from dataclasses import replace

import pytest
from conftest import World

from itmp.adapters.ansible.runner import AnsibleRunner
from itmp.errors import StaleError
from itmp.execution.doors import Slice
from itmp.plan import CommandProbe, Plan

pytestmark = pytest.mark.fleet

PLAY = "- {hosts: 'web1:web2:lb1', gather_facts: false, tasks: [{ansible.builtin.command: 'true'}]}\n"


def asked(world: World, probes: dict[str, CommandProbe]) -> tuple[Plan, Slice]:
    world.write("playbooks/play.yml", PLAY)
    plan = world.plan()
    step = replace(plan.manifest.steps[0], probes=probes)
    return plan, Slice(key="a", step=step, hosts=step.hosts)


def answers(world: World, **probes: CommandProbe) -> dict[str, str]:
    plan, part = asked(world, probes)
    return AnsibleRunner(probe_time=3).probe(plan, part, tuple(probes), room=world.room())


def test_a_command_says_whether_the_effect_is_there(world):
    there = world.fleet.host("web1").root / "there"
    there.write_text("in force\n")
    found = answers(
        world,
        web1=CommandProbe(argv=("test", "-e", str(there))),
        web2=CommandProbe(argv=("test", "-e", f"{there}-not")),
        lb1=CommandProbe(argv=("cat", str(there)), contains="force"),
    )
    assert found == {"web1": "done", "web2": "not_done", "lb1": "done"}
    assert answers(
        world,
        web1=CommandProbe(argv=("cat", str(there)), contains="not that"),
        web2=CommandProbe(argv=("sh", "-c", "exit 3"), rc=3),
    ) == {"web1": "not_done", "web2": "done"}
    assert list(world.room().folder.iterdir()) == []


def test_what_did_not_end_in_time_or_never_began_cannot_be_known(world):
    assert answers(
        world,
        web1=CommandProbe(argv=("sleep", "20")),
        web2=CommandProbe(argv=("/no/such/program",), rc=2),
        lb1=CommandProbe(argv=("true",)),
    ) == {"web1": "cannot_know", "web2": "cannot_know", "lb1": "done"}


@pytest.mark.long
def test_the_words_are_no_template_and_no_shell_reads_them(world):
    for words in ("{{ 1 + 1 }}", "$HOME", "a b; exit 1", "~"):
        probe = CommandProbe(argv=("printf", "%s|", words), contains=f"{words}|")
        assert answers(world, web1=probe) == {"web1": "done"}, words


def test_a_command_runs_as_root_only_where_it_says_so(world):
    world.write(
        "ansible.cfg", "[privilege_escalation]\nbecome_allow_same_user = True\n"
    )  # we may be root here
    words = ("printenv", "SUDO_USER")
    found = answers(world, web1=CommandProbe(argv=words, become=True), web2=CommandProbe(argv=words))
    assert found == {"web1": "done", "web2": "not_done"}


def test_only_the_asked_hosts_are_asked(world):
    there = world.fleet.host("web1").root / "asked"
    there.unlink(missing_ok=True)
    plan, part = asked(world, dict.fromkeys(("web1", "web2"), CommandProbe(argv=("touch", str(there)))))
    assert AnsibleRunner().probe(plan, replace(part, hosts=()), (), room=world.room()) == {}
    assert not there.exists()


def test_another_ansible_than_the_plans_asks_nobody(world):
    plan, part = asked(world, {"web1": CommandProbe(argv=("true",))})
    other = {**plan.manifest.versions, "ansible_core": "0.1"}
    plan = replace(plan, manifest=replace(plan.manifest, versions=other))
    with pytest.raises(StaleError):
        AnsibleRunner().probe(plan, part, ("web1",), room=world.room())
