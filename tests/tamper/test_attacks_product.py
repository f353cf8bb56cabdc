"""Attacks on clocks, and on the verifier itself: hostile files and hostile text."""

import io
import json
import tarfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import naive
import pytest
import test_evidence_lies as lies
from attacks import graves, judged, opened, ran, recorded, shelled, told

from itmp import canonical
from itmp.audit import Event
from itmp.change import Refusal
from itmp.cli.verify import main
from itmp.errors import Error
from itmp.evidence import Trust, archive, verify
from itmp.evidence.bundle import manifest_of
from itmp.plan import Plan
from itmp.testing.forgery import forged
from itmp.testing.memory_log import MemoryReader, MemoryStore
from itmp.testing.story import EXECUTOR, ORIGIN, Story, small_plan

TRUST = told().trust


# Clocks


def test_clock_one_year_ahead() -> None:
    """A year later no approval stands any more, whatever the executor's clock is called."""
    story = opened()
    vote = story.act("approve", "bob")
    story.clock.time += timedelta(days=365)
    bundle = ran(story, [vote.hash])
    assert naive.approved(bundle)
    assert judged(bundle, story.trust()) == (40, 10, "permit-unfounded")


def test_clock_one_year_behind() -> None:
    """An approval that has lapsed is fresh again by such a clock; the gate knows the newest event of its log.

    A permit that is written all the same lies before that event, which is none of the change: the log shows it.
    """
    store = MemoryStore(ORIGIN)
    story = Story(store=store, plan=small_plan(hosts=["web1"]))
    story.open()
    vote = story.act("approve", "bob")
    text = str((story.log.leaf(vote.index).event.data or {})["text"])
    story.clock.time += timedelta(days=365)
    story.write(Event(id=story.id(), type="log.read", actor={"kind": "human", "id": "alice@example.com"}))
    assert not naive.still_valid(text, story.clock.now())
    story.clock.time -= timedelta(days=365)
    story.clock.boot_id = "boot-2"
    assert naive.still_valid(text, story.clock.now())
    answer = story.admit("alice")
    assert isinstance(answer, Refusal)
    assert 8 in {check.n for check in answer.checks if check.outcome == "refused"}
    bundle = ran(story, [vote.hash])
    assert naive.approved(bundle)
    assert judged(bundle, story.trust(), MemoryReader(store)) == (40, 19, "log-contradicts")
    assert graves(store, story.trust()) == {"granted-behind"}


def test_clock_set_back_during_a_run(tmp_path: Path) -> None:
    """Set back, half an hour is won for an approval that lapses; the gate refuses the next slice until then."""
    story, permit, step = lies.begun()
    story.clock.time += timedelta(hours=1)
    story.slice(permit, step)
    story.clock.time -= timedelta(minutes=30)
    story.slice(permit, story.steps()[1])
    hosts = {"web1": "changed", "web2": "changed"}
    story.say(permit, "run.finished", outcome="ok", data={"state": "succeeded", "hosts": hosts})
    bundle = story.evidence()
    assert naive.ran_under_a_permit(bundle)
    assert judged(bundle, story.trust()) == (40, 12, "intent-outside")
    code, out = shelled(bundle, story.trust(), tmp_path)
    assert (code, "BROKEN       rule 12: " in out) == (40, True), out


def test_clock_set_back_during_a_slice(tmp_path: Path) -> None:
    """Its results were made half an hour earlier than its intent; within a boot time does not fall."""
    store = MemoryStore(ORIGIN)
    story = Story(store=store, plan=small_plan(hosts=["web1"]))
    story.open()
    story.act("approve", "bob")
    permit = story.permit()
    story.say(permit, "run.started", data={"permit": permit.leaf})
    step = story.steps()[0]
    story.clock.time += timedelta(hours=1)
    intent = story.intend(permit, step, ["web1"])
    story.clock.time -= timedelta(minutes=30)
    story.result(permit, step, intent.hash, "web1")
    states = {"slice": step.id, "hosts": {"web1": "changed"}}
    story.say(permit, "slice.finished", step=step.id, phase="do", intent=intent.hash, data=states)
    data = {"state": "stopped", "hosts": {"web1": "changed"}}
    story.say(permit, "run.finished", outcome="failed", data=data)
    bundle = story.evidence()
    assert naive.ran_under_a_permit(bundle)
    assert judged(bundle, story.trust()) == (40, 17, "clock-backwards")
    assert graves(store, story.trust()) == {"clock-backwards"}
    code, out = shelled(bundle, story.trust(), tmp_path)
    assert (code, "BROKEN       rule 17: " in out) == (40, True), out


def test_clock_set_back_across_a_reboot(tmp_path: Path) -> None:
    """The gate refused at three what was approved until two; after a restart it is half past one."""
    store = MemoryStore(ORIGIN)
    story = Story(store=store, plan=small_plan(hosts=["web1"]))
    story.open()
    vote = story.act("approve", "bob", valid="2026-11-22T20:00:00Z 2026-11-23T02:00:00Z")
    text = str((story.log.leaf(vote.index).event.data or {})["text"])
    story.clock.time += timedelta(hours=7)
    answer = story.admit("alice")
    assert isinstance(answer, Refusal)
    data = {"act": "run", "exit_code": 10, "checks": [check.to_data() for check in answer.checks]}
    refusal = Event(id=story.id(), type="change.refused", actor=EXECUTOR, change=story.change, data=data)
    story.write(refusal)
    assert not naive.still_valid(text, story.clock.now())
    story.clock.time -= timedelta(minutes=90)
    story.clock.boot_id = "boot-2"
    assert naive.still_valid(text, story.clock.now())
    story.execute(story.force(not_after="2026-11-23T02:00:00Z"))
    story.close()
    bundle = story.evidence()
    assert naive.ran_under_a_permit(bundle)
    for log in (None, MemoryReader(store)):
        assert judged(bundle, story.trust(), log) == (40, 10, "permit-unfounded")
    assert graves(store, story.trust()) == {"granted-behind"}
    code, out = shelled(bundle, story.trust(), tmp_path)
    assert (code, "BROKEN       rule 10: " in out) == (40, True), out


# Hostile files: whatever they hold, a verdict; nothing is written, nothing is taken on trust


def tar(*entries: tuple[str, bytes, dict[str, object]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as made:
        for name, data, more in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in more.items():
                setattr(info, key, value)
            made.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return out.getvalue()


def refused(bundle: bytes, folder: Path, why: str) -> None:
    """Both verifiers refuse it as no evidence, ours for this reason, and the shell leaves nothing behind."""
    assert judged(bundle, TRUST) == (40, 1, "archive-altered")
    broken = recorded(verify(bundle, Trust.from_files(TRUST))).broken
    assert broken
    assert why in broken.why
    code, out = shelled(bundle, TRUST, folder)
    assert (code, "BROKEN       rule 1" in out) == (40, True), out
    assert sorted(path.name for path in folder.iterdir()) == ["bundle.tar", "trust"]


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "leaves/../../evil", "./leaves/0"])  # noqa: S108 - never written
def test_path_traversal(name: str, tmp_path: Path) -> None:
    bundle = tar(("MANIFEST", b"", {}), (name, b"x", {}))
    assert len(naive.unpacked(bundle, tmp_path)) == 2
    refused(bundle, tmp_path, "a header that its writer would not have written")


@pytest.mark.parametrize(
    "kind", [{"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, {"type": tarfile.LNKTYPE, "linkname": "MANIFEST"},
             {"type": tarfile.CHRTYPE}, {"type": tarfile.FIFOTYPE}, {"type": tarfile.DIRTYPE}, {"mode": 0o4755}],
    ids=["symlink", "hard link", "device", "pipe", "folder", "setuid"],
)  # fmt: skip
def test_members_that_are_no_plain_files(kind: dict[str, object], tmp_path: Path) -> None:
    bundle = tar(("MANIFEST", b"", {}), ("checkpoint", b"", kind))
    assert len(naive.unpacked(bundle, tmp_path)) == 2
    refused(bundle, tmp_path, "a header that its writer would not have written")


def test_tar_bomb(tmp_path: Path) -> None:
    """A header that claims eight gigabytes over a file of a few blocks."""
    honest = archive.pack({"MANIFEST": b"x"})
    head = bytearray(honest[:512])
    head[124:136] = b"77777777777\0"
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    bundle = bytes(head) + honest[512:]
    assert naive.unpacked_size(bundle) > 8 * 10**9
    refused(bundle, tmp_path, "cut short")


def test_compressed_bomb(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as made:
        info = tarfile.TarInfo("MANIFEST")
        info.size = 10**6
        made.addfile(info, io.BytesIO(bytes(10**6)))
    assert naive.unpacked_size(out.getvalue()) == 10**6
    refused(out.getvalue(), tmp_path, "a header that its writer would not have written")


def test_one_name_twice(tmp_path: Path) -> None:
    bundle = archive.pack({"MANIFEST": b"x"})
    bundle = bundle[:-1024] + bundle
    assert len(naive.unpacked(bundle, tmp_path)) == 2
    refused(bundle, tmp_path, "one name twice")


def huge(path: str, old: bytes, new: bytes) -> tuple[bytes, dict[str, bytes]]:
    case = told()
    members = archive.unpack(case.bundle)
    members[path] = members[path].replace(old, new, 1)
    members["MANIFEST"] = manifest_of(members)
    return archive.pack(members), case.trust


def test_huge_claims() -> None:
    """A checkpoint of 2^63 leaves, an index beyond it, a change of a million events: each is a number, not a promise."""
    bundle, trust = huge("checkpoint", b"\n14\n", b"\n9223372036854775807\n")
    assert naive.manifest(bundle)
    assert judged(bundle, trust) == (40, 2, "checkpoint-unsigned")
    members = archive.unpack(told().bundle)
    members["leaves/999999999999999999"] = members["leaves/5"]
    members["proofs/999999999999999999.tlog-proof"] = members["proofs/5.tlog-proof"].replace(
        b"index 5", b"index 999999999999999999"
    )
    members["MANIFEST"] = manifest_of(members)
    assert naive.manifest(archive.pack(members))
    assert judged(archive.pack(members), trust) == (40, 3, "leaf-not-included")
    story = Story(plan=small_plan(hosts=["web1"])).tell()
    close = story.log.leaf(story.log.size() - 1).event

    def million(events: list[Event]) -> list[Event]:
        return [*events[:-1], replace(close, data={**(close.data or {}), "count": 10**6})]

    assert judged(forged(story, million), story.trust()) == (40, 16, "close-mismatch")


# Hostile text

NASTY: dict[str, str] = {
    "newline": "a\nBROKEN nothing\n",
    "carriage return": "a\rholds",
    "ANSI": "\x1b[2J\x1b[31mred",
    "bidi": "a\u202eevil",
    "line separator": "a\u2028b",
    "NUL": "a\0b",
    "zero width": "a\u200bb",
}


@pytest.mark.parametrize("name", NASTY)
def test_text_never_reaches_a_terminal_raw(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such text is data in a leaf, and told; what is printed of it is visible and on its own line."""
    story = Story(plan=small_plan(hosts=["web1"]))
    plan = replace(story.plan.manifest, title=NASTY[name], artifacts={})
    story.plan = Plan.build(plan, small_artifacts(story))
    bundle = bundle_of(story)
    (tmp_path / "e.tar").write_bytes(bundle)
    (tmp_path / "trust").mkdir()
    for file, data in story.trust().items():
        (tmp_path / "trust" / file).write_bytes(data)
    assert NASTY[name] in naive.title(bundle)
    with pytest.raises(SystemExit):
        main([str(tmp_path / "e.tar"), "--trust", str(tmp_path / "trust")])
    out = capsys.readouterr().out
    assert story.change in out
    assert not [c for c in out if not c.isprintable() and c != "\n"]
    assert NASTY[name] not in out
    assert all(not line.startswith("BROKEN nothing") for line in out.split("\n"))


def small_artifacts(story: Story) -> dict[str, bytes]:
    return {path: story.plan.artifacts[digest] for path, digest in story.plan.manifest.artifacts.items()}


def bundle_of(story: Story) -> bytes:
    story.tell()
    return story.evidence()


RAW: dict[str, bytes] = {
    "lone surrogate": b'{"a":"\\ud800"}',
    "2^53": b'{"a":9007199254740992}',
    "duplicate keys": b'{"a":1,"a":2}',
    "a float": b'{"a":1.0}',
    "not a number": b'{"a":NaN}',
    "escaped slash": b'{"a":"\\/"}',
    "spaces": b'{"a": 1}',
    "unsorted": b'{"b":1,"a":2}',
    "a newline after it": b'{"a":1}\n',
    "nested to the end of the stack": b"[" * 100_000,
}


@pytest.mark.parametrize("name", RAW)
def test_json_that_two_readers_read_differently(name: str) -> None:
    if name != "nested to the end of the stack":
        json.loads(RAW[name])  # the ordinary reader is content
    with pytest.raises(Error):
        canonical.loads(RAW[name])


def test_a_verdict_whatever_stands_in_the_file() -> None:
    case = told()
    for noise in (b"", b"\0" * 1024, b"MANIFEST", case.bundle[:-1], case.bundle + b"\0", case.bundle[512:]):
        assert verify(noise, Trust.from_files(case.trust)).exit_code == 40
