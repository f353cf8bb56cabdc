"""Ring 0's answers become a lock, or every reason why not."""

import pytest

from itmp.documents import DocumentError, parse
from itmp.errors import InvalidInputError
from itmp.patching import KINDS, PatchSchedule, Reading, read_lock, resolve

SCHEDULE = """\
itmp: patch-schedule/v1
name: web-november
title: Web servers, November
owner: team-web
environment: production
risk: moderate
lock: runbooks/patch/web-november.lock.json
rings:
  - {name: canary, hosts: web_canary}
"""


def schedule(extra: str = "") -> PatchSchedule:
    document = parse("web.yml", (SCHEDULE + extra).encode(), KINDS)
    assert isinstance(document, PatchSchedule)
    return document


def answer(
    *lines: str,
    installed: str = "demo:amd64=1.0 installed\nlib:all=1.0 installed",
    available: str = "demo | 2.0 | http://mirror\n demo | 1.0 | http://mirror",
    release: str = 'ID=debian\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian"',
    architecture: str = "amd64",
) -> str:
    parts = {
        "release": release,
        "architecture": architecture,
        "installed": installed,
        "available": available,
        "simulation": "\n".join(lines),
    }
    return "".join(f"==itmp:{name}==\n{text}\n" for name, text in parts.items())


UP = "Inst demo [1.0] (2.0 Debian:12/stable [amd64])"


def lock_of(document: PatchSchedule, **answers: str) -> bytes:
    return resolve(document, [Reading.parse(host, text) for host, text in answers.items()])


def reasons(document: PatchSchedule, **answers: str) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        lock_of(document, **answers)
    return [problem.message for problem in caught.value.problems]


def test_the_lock_says_from_to_origin_and_way_back() -> None:
    lock = read_lock(lock_of(schedule(), web1=answer(UP)), "lock")
    assert {name: (one.old, one.new, one.origin, one.back) for name, one in lock.packages.items()} == {
        "demo": ("1.0", "2.0", "Debian:12/stable", True)
    }
    assert (str(lock.platform), lock.hosts, lock.schedule) == (
        "debian bookworm amd64",
        ("web1",),
        "web-november",
    )


def test_the_same_answers_in_any_order_give_the_same_bytes() -> None:
    one, two = Reading.parse("web1", answer(UP)), Reading.parse("web2", answer(UP))
    assert resolve(schedule(), [one, two]) == resolve(schedule(), [two, one])


def test_a_version_that_no_repository_offers_has_no_way_back() -> None:
    lock = read_lock(lock_of(schedule(), web1=answer(UP, available="demo | 2.0 | http://mirror")), "lock")
    assert not lock.packages["demo"].back


def test_hosts_that_lack_the_package_or_have_reached_the_version_agree() -> None:
    lock = read_lock(
        lock_of(
            schedule(),
            web1=answer(UP),
            web2=answer(installed="lib:all=1.0 installed"),
            web3=answer(installed="demo:amd64=2.0 installed"),
        ),
        "lock",
    )
    assert list(lock.packages) == ["demo"]


def test_every_host_that_disagrees_is_named_with_its_own_answer() -> None:
    found = reasons(
        schedule(),
        web1=answer(UP),
        web2=answer("Inst demo [1.1] (2.0 Debian:12/stable [amd64])", installed="demo:amd64=1.1 installed"),
        web3=answer(installed="demo:amd64=1.0 installed"),
    )
    assert sorted(found) == [
        "web1: demo 1.0 -> 2.0: the hosts disagree",
        "web2: demo 1.1 -> 2.0: the hosts disagree",
        "web3: demo 1.0: the hosts disagree",
    ]


def test_one_schedule_is_for_one_platform() -> None:
    found = reasons(schedule(), web1=answer(UP), web2=answer(UP, release="ID=ubuntu\nVERSION_CODENAME=noble"))
    assert len([reason for reason in found if "one platform" in reason]) == 2


def test_removals_are_refused_unless_the_schedule_allows_them() -> None:
    text = answer(UP, "Remv old [1.0]")
    assert reasons(schedule(), web1=text) == ["web1: old 1.0 would be removed (allow_removals is false)"]
    assert read_lock(lock_of(schedule("allow_removals: true\n"), web1=text), "lock").removals == {
        "old": "1.0"
    }


def test_downgrades_are_refused_always() -> None:
    text = answer("Inst demo [2.0] (1.9~rc1 Debian [amd64])", UP.replace("demo", "lib"))
    assert reasons(schedule("allow_removals: true\n"), web1=text) == [
        "web1: demo would go down from 2.0 to 1.9~rc1"
    ]


def test_a_named_package_that_is_held_or_absent_is_a_problem() -> None:
    text = answer(UP, "The following packages have been kept back:", "  lib")
    found = reasons(schedule("packages: [demo, lib, nginx]\n"), web1=text)
    assert found == [
        "nginx is installed on no host of ring 0",
        "web1: lib is kept back by apt (held, pinned or in need of more)",
    ]
    assert read_lock(lock_of(schedule(), web1=text), "lock").kept == ("lib",)


def test_nothing_to_upgrade_is_said() -> None:
    assert reasons(schedule(), web1=answer()) == ["ring 0 has nothing to upgrade"]


def test_an_answer_cut_short_is_refused() -> None:
    whole = answer(UP)
    with pytest.raises(InvalidInputError, match="lacks simulation"):
        Reading.parse("web1", whole[: whole.index("==itmp:simulation==")])


@pytest.mark.parametrize(
    "release", ["", "ID=debian", "ID=$(id)\nVERSION_CODENAME=x", "VERSION_CODENAME=bookworm"]
)
def test_a_host_without_a_platform_is_refused(release: str) -> None:
    with pytest.raises(InvalidInputError, match="web1"):
        Reading.parse("web1", answer(UP, release=release))


def test_a_lock_edited_by_hand_is_refused() -> None:
    data = lock_of(schedule(), web1=answer(UP))
    for edited in (
        data.replace(b" ", b"", 1),
        data + b"\n",
        data.replace(b'"to": "2.0"', b'"to": "2.0;id"'),
        b"{}",
        b"\xff",
    ):
        with pytest.raises(InvalidInputError):
            read_lock(edited, "lock")
