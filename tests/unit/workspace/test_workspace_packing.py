"""Periods that are over: packed when they are no longer hot, dropped when the policy no longer keeps them."""

import time
from pathlib import Path

import pytest
from keep import SECRET, again, files, found, holders, keep

from itmp import workspace
from itmp.adapters.clock import new_id
from itmp.audit import Event
from itmp.errors import EvidenceInvalidError, InvalidInputError, NotFoundError, RefusedError
from itmp.workspace.place import EXECUTOR

SHORT = "retention: {hot: 1s, keep: 2s}\n"


def rotated(folder: Path, policy: str = "") -> workspace.Workspace:
    place = found(folder, policy)
    for _ in range(300):
        place.log.append(Event(id=new_id(), type="log.read", actor=dict(EXECUTOR)), durable=False)
    place.log.checkpoint()
    place.log.put_blob(b"a blob")
    workspace.rotate(place, period="2031", key=str(place.root / "key"))
    return again(place)


def test_what_is_hot_stays_and_what_is_kept_is_not_dropped(tmp_path: Path) -> None:
    place = rotated(tmp_path / "w")
    with pytest.raises(RefusedError, match="may not be packed yet: the policy keeps it until"):
        workspace.audit_archive(place, "2026")
    with pytest.raises(InvalidInputError, match="is not packed"):
        workspace.audit_archive(place, "2026", drop=True)
    slow = rotated(tmp_path / "slow", "retention: {hot: 1s, keep: 366d}\n")
    time.sleep(1.1)
    assert workspace.audit_archive(slow, "2026").where == "packed"
    with pytest.raises(RefusedError, match="may not be dropped yet"):
        workspace.audit_archive(slow, "2026", drop=True)


def test_a_packed_period_is_verified_and_brought_back(tmp_path: Path) -> None:
    place = rotated(tmp_path / "w", SHORT)
    time.sleep(1.1)
    shard = workspace.audit_archive(place, "2026")
    assert (shard.where, shard.size) == ("packed", 302)
    packed = Path(shard.file).read_bytes()
    report = workspace.audit_verify(again(place))
    assert (report.exit_code, report.older) == (0, (("2026", 302),)), report.findings
    with pytest.raises(NotFoundError, match="period 2026 is archived"):
        workspace.of_period(again(place), "2026")
    drill = workspace.audit_restore(again(place), Path(shard.file))
    assert (drill.drill.exit_code, drill.drill.size) == (0, 302), drill.drill.findings

    assert workspace.audit_archive(again(place), "2026", back=True).where == "here"
    old = workspace.of_period(again(place), "2026").log
    assert old.leaf(301).event.type == "key.rotated"
    assert old.checkpoint().checkpoint.size == 302
    assert workspace.audit_verify(again(place)).exit_code == 0
    assert workspace.audit_archive(again(place), "2026").where == "packed"
    assert Path(shard.file).read_bytes() == packed
    types = [leaf.event.type for leaf in again(place).log.leaves()]
    assert types == ["log.created", "log.exported", "log.exported"]


def test_a_dropped_period_leaves_its_handover(tmp_path: Path) -> None:
    place = rotated(tmp_path / "w", SHORT)
    time.sleep(2.1)
    workspace.audit_archive(place, "2026")
    assert workspace.audit_archive(again(place), "2026", drop=True).where == "dropped"
    with pytest.raises(NotFoundError, match="period 2026 was dropped"):
        workspace.of_period(again(place), "2026")
    report = workspace.audit_verify(again(place))
    assert (report.exit_code, [one.name for one in report.findings]) == (0, ["period-dropped"])
    workspace.rotate(again(place), period="2032", key=str(place.root / "key"))
    assert [one for one, _ in workspace.audit_verify(again(place)).older] == ["2026", "2031"]


def test_a_packed_period_that_was_altered_is_found(tmp_path: Path) -> None:
    place = rotated(tmp_path / "w", SHORT)
    time.sleep(1.1)
    file = Path(workspace.audit_archive(place, "2026").file)
    data = file.read_bytes()
    at = data.index(b'"log.read"') + 1
    for altered in (data[:at] + b"q" + data[at + 1 :], data[:-512], data + b"x", data[:1000]):
        file.write_bytes(altered)
        assert workspace.audit_verify(again(place)).exit_code == 40
    file.write_bytes(data[:at] + b"q" + data[at + 1 :])
    with pytest.raises(EvidenceInvalidError, match="the packed log does not hold"):
        workspace.audit_archive(again(place), "2026", back=True)
    assert file.exists()
    assert not (place.state / "periods/2026").exists()


def test_a_content_of_a_packed_period_goes_by_its_leafs_hash(tmp_path: Path) -> None:
    place = found(tmp_path / "w", SHORT)
    first, second = (keep(place, text, change="") for text in (SECRET, "moved away"))
    reason = {"reason": "a password", "key": str(place.root / "key")}
    place.log.checkpoint()
    workspace.rotate(again(place), period="2031", key=str(place.root / "key"))
    time.sleep(1.1)
    shard = workspace.audit_archive(again(place), "2026")
    assert holders(place.root, SECRET)
    done = workspace.audit_redact(again(place), first.hash, "/diff", **reason)
    assert (done.state, holders(place.root, SECRET)) == ("redacted", [])
    assert "not here" not in done.why
    for path in files(place):
        path.unlink()
    away = workspace.audit_redact(again(place), second.hash, "/diff", **reason)
    digest = away.content.commitment.removeprefix("sha256:")
    assert away.why.endswith(
        f"destroy it where it was moved away to, as private/{away.content.at:%Y-%m}/{digest}"
    )
    with pytest.raises(NotFoundError, match=f"2026 is packed {shard.file}"):
        workspace.audit_redact(again(place), "sha256:" + "0" * 64, "/diff", **reason)
    time.sleep(1)
    workspace.audit_archive(again(place), "2026", drop=True)
    with pytest.raises(NotFoundError, match="2026 is dropped"):
        workspace.audit_redact(again(place), first.hash, "/diff", **reason)
