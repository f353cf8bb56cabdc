"""Whoever holds an evidence file can change it. Each change is made with MANIFEST recomputed, as an attacker would.

A thin sample by default; `make test-tamper` sets ITMP_TAMPER=whole: every byte for the Python verifier, and for the shell
the first, the last and one byte of each 64 of every member.
"""

import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

import itmp.evidence
from itmp.audit import Event
from itmp.canonical import digest
from itmp.evidence import Trust, archive, build, verify
from itmp.signing import NoteKey, Signed
from itmp.testing.forgery import ForgedLog, forged, repacked
from itmp.testing.story import EMPTY, EXECUTOR, Story, small_plan

SCRIPT = Path(itmp.evidence.__file__).with_name("verify.sh")
WHOLE = os.environ.get("ITMP_TAMPER") == "whole"
# Every byte takes minutes; a step that is prime to the lines' lengths visits every field in every run.
STEP = 1 if WHOLE else 61
BLOCK = 64


@cache
def told() -> tuple[bytes, bytes, dict[str, bytes], dict[str, bytes]]:
    """An honest bundle with a proof from a kept checkpoint, another change's bundle, TRUST, and the members."""
    story = Story(plan=small_plan(hosts=["web1"]))
    kept = story.log.checkpoint().note
    story.tell()
    honest, first = story.evidence(since=kept), story.change
    trust = {**story.trust(), "checkpoint": kept}
    story.open(reason="another change")
    story.act("approve", "bob")
    story.execute(story.permit(run="run-2"))
    story.close()
    other = story.evidence(since=kept)
    assert first != story.change
    return honest, other, trust, archive.unpack(honest)


@cache
def with_blobs() -> tuple[bytes, dict[str, bytes]]:
    """Evidence that also holds a blob, the hosts of a slice told by digest, and a head that a witness cosigned."""
    story = Story(plan=small_plan(hosts=["web1"]))
    head = story.log.checkpoint()
    witness = NoteKey.generate("witness.example/w1", b"\x03" * 32, algorithm=4)
    story.log.keep(f"{head.checkpoint.size}/w1.note", witness.cosign(head.note, time=1_795_000_000))
    story.open()
    story.act("approve", "bob")
    permit = story.permit()
    story.say(permit, "run.started", data={"permit": permit.leaf})
    step = story.steps()[0]
    data = dict(story.intend(permit, step, ["web1"]).leaf.event.data or {})
    story.log.put_blob(b'["web1"]')
    del data["hosts"]
    story.say(
        permit, "slice.intended", step=step.id, phase="do", data=data | {"hosts_blob": digest(b'["web1"]')}
    )
    return story.evidence(), story.trust()


HONEST, OTHER, TRUST, MEMBERS = told()
WITH_BLOBS, BLOB_TRUST = with_blobs()
SINCE = next(name for name in MEMBERS if name.startswith("consistency/1-"))


def refused(bundle: bytes) -> bool:
    return verify(bundle, Trust.from_files(TRUST)).exit_code in {40, 42}


def test_the_honest_file_holds() -> None:
    assert verify(HONEST, Trust.from_files(TRUST), require=["checkpoint"]).ok


@pytest.mark.parametrize("name", sorted(MEMBERS.keys() - {"MANIFEST"}))
def test_no_byte_of_a_member_is_free(name: str, record_property: Callable[[str, object], None]) -> None:
    data, free = MEMBERS[name], list[int]()
    places = {*range(sum(name.encode()) % STEP, len(data), STEP), 0, len(data) - 1}
    for at in places:
        flipped = bytearray(data)
        flipped[at] ^= 1
        if not refused(repacked(HONEST, {name: bytes(flipped)})):
            free.append(at)
    record_property("tally", {"bytes of evidence flipped": len(places), "bad": len(free)})
    assert free == []


@pytest.mark.parametrize("name", sorted(MEMBERS.keys() - {"MANIFEST"}))
def test_no_member_may_be_missing_longer_or_empty(name: str) -> None:
    data = MEMBERS[name]
    for other in (None, b"", data + b"\n", data + b"\0", data[:-1], data + data):
        code = verify(repacked(HONEST, {name: other}), Trust.from_files(TRUST)).exit_code
        # Without the proof from the kept checkpoint nothing is wrong, only something is absent.
        assert code == 41 if other is None and name == SINCE else code in {40, 42}, (
            name,
            other and len(other),
        )


def test_the_manifest_is_bound_too() -> None:
    listed = MEMBERS["MANIFEST"]
    for at in range(0, len(listed), STEP):
        flipped = bytearray(listed)
        flipped[at] ^= 1
        assert refused(repacked(HONEST, {"MANIFEST": bytes(flipped)}, manifest=False)), at
    assert refused(repacked(HONEST, {"leaves/1": MEMBERS["leaves/1"] + b" "}, manifest=False))
    assert refused(repacked(HONEST, {"MANIFEST": None}, manifest=False))


@pytest.mark.parametrize(
    "name",
    [
        "evil",
        "leaves/99",
        "leaves/01",
        "leaves/x",
        "proofs/99.tlog-proof",
        "statements/99.txt",
        "policy/9.yml",
        "consistency/3-9",
        "plan/other",
        "plan/artifacts/" + "0" * 64,
        "blobs/" + "0" * 64,
        "proofs/other",
        "leaves/other/1",
        "anchors/1",
        "verify.sh",
    ],
)
def test_nothing_may_be_added(name: str) -> None:
    assert refused(repacked(HONEST, {name: b"x"}))


def test_members_of_another_change_do_not_fit() -> None:
    other = archive.unpack(OTHER)
    for name in sorted(other.keys() - {"MANIFEST"}):
        if MEMBERS.get(name) != other[name]:
            assert refused(repacked(HONEST, {name: other[name]})), name


def test_leaves_swapped_or_doubled_are_refused() -> None:
    names = sorted((name for name in MEMBERS if name.startswith("leaves/")), key=lambda name: int(name[7:]))
    for first, second in pairwise(names):
        assert refused(repacked(HONEST, {first: MEMBERS[second], second: MEMBERS[first]}))
        assert refused(repacked(HONEST, {first: MEMBERS[second]}))
    for name in names[1:]:
        gone = {name: None, f"proofs/{name[7:]}.tlog-proof": None}
        assert refused(repacked(HONEST, gone)), name


def test_an_older_checkpoint_does_not_cover_it() -> None:
    kept = TRUST["checkpoint"]
    assert refused(repacked(HONEST, {"checkpoint": kept}))


# The same with nothing but a shell


def shell(
    bundle: bytes, folder: Path, trust: dict[str, bytes] = TRUST, script: Path = SCRIPT
) -> subprocess.CompletedProcess[str]:
    (folder / "trust").mkdir(exist_ok=True)
    for name, data in trust.items():
        (folder / "trust" / name).write_bytes(data)
    (folder / "bundle.tar").write_bytes(bundle)
    call = ["bash", str(script), str(folder / "bundle.tar"), str(folder / "trust")]
    return subprocess.run(call, capture_output=True, text=True, timeout=120, check=False)


def test_the_shell_accepts_the_honest_file_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    done = shell(HONEST, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "NOT CHECKED" in done.stdout
    assert "approved by bob@example.com, started by alice@example.com" in done.stdout


def grown(sizes: Iterable[int]) -> Iterator[tuple[bytes, dict[str, bytes]]]:
    """Evidence of one closed change under the checkpoint of each size that its log grows to."""
    story = Story(plan=small_plan(hosts=["web1"])).tell()
    filler = {"actor": EXECUTOR, "t": "2026-11-22T21:00:00.000000Z", "boot": "boot-1"}
    leaves = [leaf.data for leaf in story.log.leaves()]
    for size in sizes:
        leaves += [
            Event(id=f"{n:032x}", type="log.read", mono=10**15 + n, **filler).to_bytes()  # type: ignore[arg-type]
            for n in range(len(leaves), size)
        ]
        yield build(ForgedLog(leaves, story.key, story.log.blob), story.change), story.trust()


ODD = [*range(14, 601)] if WHOLE else [15, 16, 257, 600]


def test_the_shell_accepts_every_size_up_to_600_and_70000(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    def code(given: tuple[int, tuple[bytes, dict[str, bytes]]]) -> int:
        (folder := tmp_path / str(given[0])).mkdir()
        bundle, trust = given[1]
        return shell(bundle, folder, trust).returncode

    sizes = [*ODD, 70_000]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        codes = list(pool.map(code, enumerate(grown(sizes))))
    record_property("tally", {"sizes checked by the shell": len(sizes), "bad": sum(map(bool, codes))})
    assert dict(zip(sizes, codes, strict=True)) == dict.fromkeys(sizes, 0)


YOUNG = [*range(2, 14)] if WHOLE else [2, 3, 13]


def test_the_shell_says_incomplete_for_an_open_change_at_every_size_from_2_to_13(tmp_path: Path) -> None:
    """A log of 0 leaves is not founded, and its one leaf at size 1 is the genesis: neither holds a change."""
    story = Story(plan=small_plan(hosts=["web1"]))
    assert story.log.size() == 1
    story.open()
    filler = {"actor": EXECUTOR, "t": "2026-11-22T21:00:00.000000Z", "boot": "boot-1"}
    told = {}
    for size in range(2, 14):
        assert story.log.size() == size
        told[size] = story.evidence()
        story.log.append(Event(id=story.id(), type="log.read", mono=10**15 + size, **filler))  # type: ignore[arg-type]
    codes = {}
    for size in YOUNG:
        (folder := tmp_path / str(size)).mkdir()
        codes[size] = shell(told[size], folder, story.trust()).returncode
        assert archive.unpack(told[size])["checkpoint"].split(b"\n")[1] == b"%d" % size
    assert codes == dict.fromkeys(YOUNG, 41)


def places(number: int, data: bytes) -> Iterable[int]:
    """The bytes of a member to flip for the shell, which takes a third of a second each."""
    ends = (0, len(data) // 2, len(data) - 1)
    return sorted({*ends, *range(0, len(data), BLOCK)}) if WHOLE else (ends[number % 3],)


def test_the_shell_refuses_a_flipped_byte_of_every_member(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    names = sorted(MEMBERS.keys() - {"MANIFEST"})
    flips = [(name, at) for number, name in enumerate(names) for at in places(number, MEMBERS[name])]

    def accepted(number: int) -> str:
        name, at = flips[number]
        flipped = bytearray(MEMBERS[name])
        flipped[at] ^= 1 << number % 8
        (folder := tmp_path / str(number)).mkdir()
        done = shell(repacked(HONEST, {name: bytes(flipped)}), folder)
        named = done.returncode in {40, 42} and "BROKEN       rule" in done.stdout and not done.stderr
        return "" if named else f"{name}[{at}]: {done.returncode} {done.stdout[-80:]} {done.stderr}"

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        missed = [one for one in pool.map(accepted, range(len(flips))) if one]
    record_property("tally", {"bytes of evidence flipped for the shell": len(flips), "bad": len(missed)})
    assert missed == []
    assert len(flips) >= len(names)


def test_the_shell_reads_no_text_beyond_a_nul(tmp_path: Path) -> None:
    """A shell's variable ends at a NUL: what follows it would be hashed by nobody."""
    kinds = {name.partition("/")[0] + Path(name).suffix: name for name in MEMBERS if "artifacts" not in name}
    for kind, name in kinds.items():
        (folder := tmp_path / kind).mkdir()
        done = shell(repacked(HONEST, {name: MEMBERS[name] + b"\0\n"}, manifest=name != "MANIFEST"), folder)
        assert done.returncode == 40, (name, done.stdout)


def test_the_shell_has_a_check_for_every_member(tmp_path: Path) -> None:
    """The script's own account: without a mark of its check, an honest member is refused."""
    script = SCRIPT.read_text()
    marks = [line for line in script.splitlines() if line.strip().startswith("covers ")]
    marks.remove('  covers "${bound[@]}"')  # of handovers, which this evidence has none of
    assert len(marks) == 11
    for number, mark in enumerate(marks):
        (folder := tmp_path / str(number)).mkdir()
        blind = folder / "verify.sh"
        blind.write_text(script.replace(mark + "\n", "\n", 1))
        done = shell(WITH_BLOBS, folder, BLOB_TRUST, script=blind)
        assert (done.returncode, "covered by no check" in done.stdout) == (40, True), (mark, done.stdout)


@pytest.mark.parametrize(
    "changes",
    [
        {"leaves/9": None, "proofs/9.tlog-proof": None},
        {"statements/2.txt": None, "statements/2.sig": None},
        {"leaves/7": MEMBERS["leaves/8"], "leaves/8": MEMBERS["leaves/7"]},
        {"verify.sh": b"exit 0\n"},
        {"plan/artifacts/" + "0" * 64: b""},
    ],
)
def test_the_shell_refuses_missing_swapped_and_added_members(
    changes: dict[str, bytes | None], tmp_path: Path
) -> None:
    assert shell(repacked(HONEST, changes), tmp_path).returncode == 40


def replayed(story: Story) -> bytes:
    vote = story.act("approve", "bob", plan="sha256:" + "1" * 64)
    story.execute(story.force(statements=[story.request, vote.hash, story.act("run", "alice").hash]))
    return story.evidence()


def unsigned(story: Story) -> bytes:
    signed = story.sign("approve", "bob", **story._lines("approve"))
    forged_by = story.people["carol"].sign(signed.text.encode(), "itmp-approve@example.com")
    vote = story.record_signed("approve", "bob", Signed(text=signed.text, signature=forged_by))
    story.execute(story.force(statements=[story.request, vote.hash, story.act("run", "alice").hash]))
    return story.evidence()


def unintended(story: Story) -> bytes:
    story.act("approve", "bob")
    permit = story.permit()
    story.say(permit, "run.started", data={"permit": permit.leaf})
    story.result(permit, story.steps()[0], "sha256:" + "1" * 64, "web1")
    return story.evidence()


def unpermitted(story: Story) -> bytes:
    story.act("approve", "bob")
    permit = story.permit()
    story.say(permit, "run.started", data={"permit": story.request})
    return story.evidence()


def left_out(story: Story) -> bytes:
    story.act("reject", "bob")
    story.act("approve", "carol", seen=EMPTY)
    return forged(story, lambda events: [event for event in events if event.type != "change.rejected"])


def uncommitted(story: Story) -> bytes:
    story.close()
    return forged(
        story, lambda all_: [*all_[:-1], replace(all_[-1], data={**(all_[-1].data or {}), "count": 7})]
    )


def backwards(story: Story) -> bytes:
    story.act("stop", "dave")
    return forged(story, lambda all_: [*all_[:-1], replace(all_[-1], mono=1)])


LIES: dict[Callable[[Story], bytes], int] = {
    replayed: 10,
    unsigned: 10,
    unintended: 13,
    unpermitted: 11,
    left_out: 7,
    uncommitted: 16,
    backwards: 17,
}


@pytest.mark.parametrize("lie", LIES)
def test_the_shell_names_the_lies_of_the_logs_owner(lie: Callable[[Story], bytes], tmp_path: Path) -> None:
    story = Story(plan=small_plan(hosts=["web1"]))
    story.open()
    bundle = lie(story)
    done = shell(bundle, tmp_path, story.trust())
    assert (done.returncode, f"BROKEN       rule {LIES[lie]}:" in done.stdout) == (40, True), done.stdout
    report = verify(bundle, Trust.from_files(story.trust()))
    assert (report.exit_code, report.broken and report.broken.n) == (40, LIES[lie])


def test_the_shell_names_a_fork(tmp_path: Path) -> None:
    story = Story(plan=small_plan(hosts=["web1"]))
    story.open(seen="1 0RgTD8upVL8lZ2mV4Ezh6B1p9pVfWv2oRkz4pQh0q3Y=")
    assert shell(story.evidence(), tmp_path, story.trust()).returncode == 42


def test_the_shell_refuses_another_trust_and_a_rollback(tmp_path: Path) -> None:
    other = Story(roots=["alice"])
    assert shell(HONEST, tmp_path, {**TRUST, "genesis": other.trust()["genesis"]}).returncode == 40
    story = Story(plan=small_plan(hosts=["web1"])).tell()
    bundle, change = story.evidence(), story.change
    story.open(reason="later")
    newer = {**story.trust(), "checkpoint": story.log.checkpoint().note}
    story.change = change
    assert shell(bundle, tmp_path, newer).returncode == 42


def test_the_shell_writes_nowhere_outside_its_own_folder(tmp_path: Path) -> None:
    hostile = archive.pack({"a": b"x"}).replace(b"a\0\0\0\0\0\0\0\0", b"../evil\0\0", 1)
    assert shell(hostile, tmp_path).returncode == 40
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle.tar", "trust"]
