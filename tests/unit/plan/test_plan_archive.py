import io
import tarfile

import pytest

from itmp.errors import Error, InvalidInputError, StaleError
from itmp.plan import Plan, from_tar, to_tar
from itmp.plan.archive import _header, _member
from itmp.testing.runbooks import HEAD, compile_runbook

END = bytes(1024)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return compile_runbook(HEAD.encode() + b"steps: [{id: touch, playbook: touch}]\n")


@pytest.fixture(scope="module")
def archive(plan: Plan) -> bytes:
    return to_tar(plan)


def test_the_archive_comes_back(plan: Plan, archive: bytes):
    again = from_tar(archive)
    assert again == plan
    assert dict(again.artifacts) == dict(plan.artifacts)
    assert to_tar(again) == archive


def test_stock_tar_reads_it(plan: Plan, archive: bytes):
    with tarfile.open(fileobj=io.BytesIO(archive)) as stock:
        members = stock.getmembers()
        names = [member.name for member in members]
        assert names == ["digest", "manifest.json", *sorted(names[2:])]
        assert {(m.mode, m.uid, m.gid, m.mtime, m.type) for m in members} == {
            (0o644, 0, 0, 0, tarfile.REGTYPE)
        }
        manifest = stock.extractfile("manifest.json")
        assert manifest is not None
        assert manifest.read() == plan.manifest_bytes


def test_every_changed_byte_is_refused_and_the_member_named(archive: bytes):
    for at in range(len(archive)):
        changed = archive[:at] + bytes([archive[at] ^ 1]) + archive[at + 1 :]
        with pytest.raises((StaleError, InvalidInputError)) as caught:
            from_tar(changed)
        assert caught.value.where.split("/")[0] in {"digest", "manifest.json", "blobs", "end"}


def test_cut_anywhere_it_is_refused(archive: bytes):
    for size in range(0, len(archive), 97):
        with pytest.raises(Error):
            from_tar(archive[:size])


def test_nothing_may_follow(archive: bytes):
    for tail in (b"\0", bytes(512), b"x", archive):
        with pytest.raises(InvalidInputError, match="follows"):
            from_tar(archive + tail)


def test_changed_artifact_bytes_name_path_and_member(plan: Plan, archive: bytes):
    body = plan.artifact("project/playbooks/touch.yml")
    with pytest.raises(StaleError, match=r"project/playbooks/touch\.yml") as caught:
        from_tar(archive.replace(body, body.replace(b"touch", b"tuoch")))
    assert caught.value.where.startswith("blobs/sha256/")


@pytest.mark.parametrize(
    "name", ["../../etc/cron.d/x", "/etc/passwd", "blobs/sha256/" + "0" * 64, "manifest.json", "evil\x1b[31m"]
)
def test_unlisted_members_are_refused(archive: bytes, name: str):
    extra = _member(name, b"x")
    for changed in (archive[: -len(END)] + extra + END, extra + archive):
        with pytest.raises(InvalidInputError) as caught:
            from_tar(changed)
        assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"5", b"x", b"g", b"L", b"S", b"\0"])
def test_links_and_extensions_are_refused(archive: bytes, kind: bytes):
    head = bytearray(archive[:512])
    head[156:157] = kind
    head[148:156] = b" " * 8
    head[148:156] = f"{sum(head):06o}\0 ".encode()
    with pytest.raises(InvalidInputError, match="expected this member"):
        from_tar(bytes(head) + archive[512:])


def test_a_huge_claim_is_refused_before_anything_is_read(archive: bytes):
    with pytest.raises(InvalidInputError):
        from_tar(archive[:1024] + _header("manifest.json", 8**11 - 1) + archive[1536:])


def test_a_manifest_with_another_digest_is_stale(plan: Plan, archive: bytes):
    other = compile_runbook(
        HEAD.encode().replace(b"A test", b"B test") + b"steps: [{id: touch, playbook: touch}]\n"
    )
    with pytest.raises(StaleError, match="plan's digest"):
        from_tar(archive.replace(plan.manifest_bytes, other.manifest_bytes))


def test_a_missing_artifact_is_refused(plan: Plan):
    parts = [_member("digest", f"{plan.digest}\n".encode()), _member("manifest.json", plan.manifest_bytes)]
    with pytest.raises(InvalidInputError, match="found nothing"):
        from_tar(b"".join([*parts, END]))
