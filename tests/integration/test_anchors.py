"""Each kind of anchor over its real part: a rolled back or forked log is named, evidence carries what others signed."""

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from anchored import BIN, Site, bucket, judged, new_witness, rolled_back, trust_of, witness
from authority import Authority, serving
from botocore.exceptions import ClientError

import itmp.evidence
from itmp.adapters.anchors import git as git_anchor
from itmp.adapters.anchors import s3 as s3_anchor
from itmp.adapters.anchors import verify_stamp
from itmp.audit import Health
from itmp.change._checks import healthy
from itmp.errors import ForkError
from itmp.evidence import Trust, archive, verify
from itmp.lab.fleet import make_key
from itmp.signing import NoteVerifier
from itmp.testing.forgery import repacked
from itmp.workspace import (
    Workspace,
    anchoring,
    audit_retention,
    audit_verify,
    evidence,
    remembered,
    statements,
)

SCRIPT = Path(itmp.evidence.__file__).with_name("verify.sh")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))  # every story has the same log and key
    return Site(tmp_path / "w")


# Witness.


def test_a_witness_names_an_old_backup_and_a_fork(site: Site, tmp_path: Path) -> None:
    vkey = new_witness(tmp_path / "w1")
    with witness(tmp_path / "w1", site.place.log.vkey) as url:
        site.anchors({"kind": "witness", "url": url, "key": vkey})
        rolled_back(site, "witness")


def test_evidence_under_a_quorum_of_witnesses(site: Site, tmp_path: Path) -> None:
    keys = [new_witness(tmp_path / f"w{at}", f"witness.example/w{at}") for at in (1, 2)]
    absent = new_witness(tmp_path / "w3", "witness.example/w3")
    log = site.place.log.vkey
    assert judged(site, trust_of(site, *keys)).exit_code == 40, "nobody has cosigned yet"
    with witness(tmp_path / "w1", log) as one, witness(tmp_path / "w2", log) as two:
        settings = [
            {"kind": "witness", "name": n, "url": u, "key": k}
            for n, u, k in (("a", one, keys[0]), ("b", two, keys[1]))
        ]
        site.anchors(*settings)
        report = judged(site, trust_of(site, *keys), "witness")
    assert report.exit_code == 0, report.broken
    (tmp_path / "trust").mkdir()
    for name, data in trust_of(site, *keys).items():
        (tmp_path / "trust" / name).write_bytes(data)
    call = ["bash", str(SCRIPT), str(site.root / "e.tar"), str(tmp_path / "trust")]
    shell = subprocess.run(call, capture_output=True, text=True, timeout=240, check=False)
    assert shell.returncode == 0, shell.stdout
    assert sum(line.startswith("time bounded by cosignature of w") for line in report.assurance) == 2
    assert not any(
        line.startswith(("time asserted", "assurance: self-attested")) for line in report.assurance
    )
    assert judged(site, trust_of(site, *keys, absent)).exit_code == 40, "three of three did not cosign"
    assert judged(site, trust_of(site, *keys, absent, quorum="2")).exit_code == 0


def test_an_anchor_that_is_away_stops_nothing_and_is_told(site: Site, tmp_path: Path) -> None:
    vkey = new_witness(tmp_path / "w1")
    with witness(tmp_path / "w1", site.place.log.vkey) as url:
        site.anchors({"kind": "witness", "url": url, "key": vkey})
        assert site.states() == [("witness", "ok")]
    site.grow()
    assert judged(site, trust_of(site)).exit_code == 0
    report = audit_verify(site.place)
    assert [(one.name, one.grave) for one in report.findings] == [("anchor-failed", False)]
    (covered,) = report.coverage
    assert (covered.size > 0, covered.tail > 0, report.exit_code) == (True, True, 0)


def test_a_cosignature_by_another_key_counts_for_nothing(site: Site, tmp_path: Path) -> None:
    new_witness(tmp_path / "w1")
    other = new_witness(tmp_path / "w2")
    with witness(tmp_path / "w1", site.place.log.vkey) as url:
        site.anchors({"kind": "witness", "url": url, "key": other})
        assert site.states() == [("witness", "failed")]
    published = site.place.log.published()
    assert published
    assert published.note.count(b"\xe2\x80\x94") == 1


def test_a_whole_log_with_its_anchors_shows_a_rollback_to_an_auditor(site: Site, tmp_path: Path) -> None:
    vkey = new_witness(tmp_path / "w1")
    with witness(tmp_path / "w1", site.place.log.vkey) as url:
        site.anchors({"kind": "witness", "url": url, "key": vkey})
        site.save()
        site.grow()
        assert site.states() == [("witness", "ok")]
        kept = shutil.copytree(site.root / ".itmp/log/anchors", tmp_path / "anchors")
    site.put_back()
    site.anchors()
    (tmp_path / "trust").mkdir()
    for name, data in trust_of(site, vkey, quorum="1").items():
        (tmp_path / "trust" / name).write_bytes(data.replace(b"quorum g", b"quorum none"))
    file = site.root / "e.tar"
    evidence(site.place, site.story.change, file)
    call = [
        str(BIN / "itmp-verify"),
        str(file),
        "--trust",
        str(tmp_path / "trust"),
        "--log",
        str(site.root / ".itmp/log"),
    ]
    done = subprocess.run(call, capture_output=True, text=True, timeout=240, check=False)
    assert (done.returncode, "anchor w1 (witness) covers 0 leaves" in done.stdout) == (0, True), done.stdout
    shutil.copytree(kept, site.root / ".itmp/log/anchors")
    done = subprocess.run(call, capture_output=True, text=True, timeout=240, check=False)
    assert (done.returncode, "rolled-back" in done.stdout) == (42, True), done.stdout
    site.grow(9, "mallory@example.com")
    done = subprocess.run(call, capture_output=True, text=True, timeout=240, check=False)
    assert (done.returncode, "forked" in done.stdout) == (42, True), done.stdout


def test_files_that_missing_leaves_may_name_are_spared_when_a_witness_alone_knows(
    site: Site, tmp_path: Path
) -> None:
    vkey = new_witness(tmp_path / "w1")
    with witness(tmp_path / "w1", site.place.log.vkey) as url:
        site.anchors({"kind": "witness", "url": url, "key": vkey})
        assert site.states() == [("witness", "ok")]
        site.save()
        site.grow()
        assert site.states() == [("witness", "ok")]
        site.put_back()
        file = site.root / ".itmp/private/2026-11" / ("a" * 64)
        file.parent.mkdir(parents=True, mode=0o700)
        file.write_bytes(b"named by a leaf that was lost")
        kept = audit_retention(site.place, apply=True)
        assert (kept.dropped, kept.spared, file.exists()) == (0, (f"2026-11/{file.name}",), True)
        assert kept.behind[0].startswith("anchor witness: "), kept.behind
    assert len(audit_retention(site.place, apply=True).spared) == 1, (
        "it is away now, and what it said is remembered"
    )
    (site.root / ".itmp/anchors.json").unlink()
    assert audit_retention(site.place, apply=True).dropped == 1, "nobody who knows more can be asked"


# A second folder.


def test_a_second_folder_names_an_old_backup_and_a_fork(site: Site, tmp_path: Path) -> None:
    site.anchors({"kind": "directory", "path": str(tmp_path / "second")})
    rolled_back(site, "directory")
    held = {int(file.stem) for file in (tmp_path / "second").rglob("*.note")}
    assert site.place.log.size() not in held, "the fork was anchored over the history it contradicts"
    assert "same user" in audit_verify(site.place).coverage[0].note


def test_a_new_workspace_has_an_anchor_that_follows_signed_acts(tmp_path: Path) -> None:
    make_key(tmp_path / "key", "me@example.com")
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "ITMP_KEY": str(tmp_path / "key")}

    def itmp(*words: str) -> str:
        call = [str(BIN / "itmp"), *words]
        return subprocess.run(
            call, cwd=tmp_path, env=environ, capture_output=True, text=True, check=True, timeout=120
        ).stdout

    itmp("init", "--key", "key", "--organization", "example.com", "--signer", "me@example.com")
    folder = tmp_path / "state/itmp/anchors"
    assert [file.name for file in folder.rglob("*.note")] == ["1.note"]
    policy = itmp("policy", "show")
    (tmp_path / "q.yml").write_text(policy + "# another version\n")
    itmp("policy", "propose", "q.yml")
    assert sorted(file.name for file in folder.rglob("*.note")) == ["1.note", "2.note"]
    shown = itmp("audit", "verify")
    assert "anchor directory (directory) covers 2, 0 not; same user" in shown
    assert "anchor directory" in itmp("doctor")


def test_a_note_that_was_altered_in_the_folder_is_told(site: Site, tmp_path: Path) -> None:
    site.anchors({"kind": "directory", "path": str(tmp_path / "second")})
    assert site.states() == [("directory", "ok")]
    (file,) = (tmp_path / "second").rglob("*.note")
    file.write_bytes(file.read_bytes().replace(b"example", b"exbmple"))
    assert "anchor-altered" in {one.name for one in audit_verify(site.place).findings}


# Asked before anything is begun.


def anchored(site: Site, tmp_path: Path, kind: str) -> Path:
    """Give the log an anchor on this machine that has taken its head; return where it is."""
    key = tmp_path / "anchor_key"
    make_key(key, "anchor")
    path = tmp_path / "second" if kind == "directory" else repository(tmp_path)
    site.anchors({"kind": kind, "path": str(path), "key": str(key)})
    assert site.states() == [(kind, "ok")]
    return path


def grave(place: Workspace) -> list[tuple[str, str, bool]]:
    return [(one.name, one.place, one.grave) for one in remembered.compare(place)]


@pytest.mark.parametrize("kind", ["directory", "git"])
def test_a_local_anchor_refuses_an_old_log_before_anything_is_signed(
    site: Site, tmp_path: Path, kind: str
) -> None:
    anchored(site, tmp_path, kind)
    assert grave(site.place) == []
    site.save()
    site.grow()
    assert site.states() == [(kind, "ok")]
    assert grave(site.place) == []
    site.put_back()
    assert grave(site.place) == [("rolled-back", f"anchor {kind}", True)]
    for act in ("approve", "run", "policy"):
        with pytest.raises(ForkError, match="rolled-back"):
            statements.compose(site.place, act, {}, signer="alice@example.com", role="sre")
    site.grow(9, "mallory@example.com")
    assert grave(site.place) == [("forked", f"anchor {kind}", True)]
    health = Health(findings=remembered.compare(site.place))
    assert healthy(health).code == 42


@pytest.mark.parametrize(("word", "code"), [("tell", 0), ("refuse", 16)])
def test_an_anchor_that_is_silent_is_told_and_refuses_where_the_policy_says_so(
    tmp_path: Path, word: str, code: int
) -> None:
    demanded = bool(code)
    site = Site(tmp_path / "w", limits=f"limits: {{anchors: {word}}}")
    site.anchors({"kind": "directory", "path": str(tmp_path / "second")})
    assert site.states() == [("directory", "ok")]
    shutil.rmtree(tmp_path / "second")
    assert grave(site.place) == [("anchor-forgot", "anchor directory", demanded)]
    (tmp_path / "second").write_text("no folder")
    assert grave(site.place) == [("anchor-unreadable", "anchor directory", demanded)]
    check = healthy(Health(findings=remembered.compare(site.place)))
    assert (check.outcome, check.code) == ("refused" if code else "ok", code)
    assert "anchor directory" in check.why, "told in either case"
    site.anchors({"kind": "git", "path": str(tmp_path), "key": "nowhere"})
    unreadable = ("anchor-unreadable", "itmp.yml: anchors", demanded)
    assert grave(site.place) == [unreadable, *[("anchor-forgot", "anchor directory", True)][:demanded]]
    remembered.refuse_rolled_back(site.place)  # what is silent contradicts nothing: people may sign


def forget_newest(kind: str, path: Path) -> None:
    """Take the newest head, and no other, out of an anchor."""
    if kind == "directory":
        max(path.rglob("*.note"), key=lambda note: int(note.stem)).unlink()
        return
    git = ["git", "-C", str(path)]
    listed = subprocess.run([*git, "for-each-ref", "--format=%(refname)"], capture_output=True, check=True)
    (ref,) = listed.stdout.decode().split()
    subprocess.run([*git, "update-ref", ref, f"{ref}~1"], check=True)


@pytest.mark.parametrize("kind", ["directory", "git"])
def test_an_anchor_that_holds_less_than_it_did_is_named_before_a_run(
    site: Site, tmp_path: Path, kind: str
) -> None:
    path = anchored(site, tmp_path, kind)
    first = site.place.log.size()
    site.grow()
    assert site.states() == [(kind, "ok")]
    assert grave(site.place) == []
    forget_newest(kind, path)
    (told,) = remembered.compare(site.place)
    assert (told.name, told.place) == ("anchor-forgot", f"anchor {kind}")
    assert told.message == f"it holds {first} leaves, and held {first + 2} leaves the last time"
    assert site.states() == [(kind, "ok")]
    assert grave(site.place) == [], "it remembers again"


def test_a_memory_of_before_says_of_no_log_what_an_anchor_held(site: Site, tmp_path: Path) -> None:
    """Such a number may be an earlier log's: it tells that an anchor is empty, and of nothing else."""
    site.anchors({"kind": "directory", "path": str(tmp_path / "second")})
    assert site.states() == [("directory", "ok")]
    file = site.root / ".itmp/anchors.json"
    (one,) = json.loads(file.read_text())
    assert (one["log"], one["held"]) == (site.place.log.origin, site.place.log.size())
    old = {name: value for name, value in one.items() if name != "log"} | {"held": one["held"] + 99}
    file.write_text(json.dumps([old]))
    assert grave(site.place) == []
    shutil.rmtree(tmp_path / "second")
    assert grave(site.place) == [("anchor-forgot", "anchor directory", False)]
    assert [one.held for one in anchoring.gone(site.anchors())] == [old["held"]]
    site.anchors({"kind": "directory", "path": str(tmp_path / "second")})
    assert site.states() == [("directory", "ok")]
    assert json.loads(file.read_text()) == [one], "from now on it is this log's"
    assert grave(site.place) == []


def test_an_anchor_that_cannot_be_asked_hides_nothing_that_another_knows(site: Site, tmp_path: Path) -> None:
    directory = {"kind": "directory", "path": str(tmp_path / "second")}
    site.anchors(directory)
    assert site.states() == [("directory", "ok")]
    site.save()
    site.grow()
    assert site.states() == [("directory", "ok")]
    site.put_back()
    site.anchors({"kind": "git", "path": str(tmp_path), "key": "nowhere"}, directory)
    assert ("rolled-back", "anchor directory", True) in grave(site.place)


FORGOT = ("anchor-forgot", "anchor directory", True)
ABSENT = ("anchor-absent", "itmp.yml: anchors", True)


@pytest.mark.parametrize("anchored", [False, True], ids=["at once", "once the others were asked"])
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ([], [ABSENT, FORGOT]),
        ([{"kind": "s3", "bucket": "nowhere"}], [ABSENT, FORGOT]),
        ([{"kind": "directory", "path": "third"}], [FORGOT]),
        ([{"kind": "directory", "name": "other", "path": "third"}], [FORGOT]),
    ],
    ids=["none", "by the network alone", "elsewhere", "elsewhere by another name"],
)
def test_whoever_writes_the_settings_takes_no_anchor_away_that_the_policy_demands(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: list[dict[str, str]],
    told: list[tuple[str, str, bool]],
    anchored: bool,  # noqa: FBT001 - a case
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    site = Site(tmp_path / "w", limits="limits: {anchors: refuse}")
    site.anchors({"kind": "directory", "path": "second"})
    assert site.states() == [("directory", "ok")]
    assert grave(site.place) == []
    site.anchors(*settings)
    if anchored:
        site.states()
        site.states()
    assert grave(site.place) == told
    check = healthy(Health(findings=remembered.compare(site.place)))
    assert check.code == 16
    site.anchors(*settings, {"kind": "directory", "name": "again", "path": "second"})
    assert grave(site.place) == []


def test_settings_that_cannot_be_used_for_a_while_have_nothing_forgotten(tmp_path: Path) -> None:
    site = Site(tmp_path / "w", limits="limits: {anchors: refuse}")
    second = {"kind": "directory", "path": "second"}
    site.anchors(second)
    assert site.states() == [("directory", "ok")]
    anchoring.checkpoint(site.anchors(second, {"kind": "git", "path": ".", "key": "nowhere"}))
    site.anchors({"kind": "directory", "path": "third"})
    assert site.states() == [("directory", "ok")]
    assert grave(site.place) == [FORGOT]


def test_settings_without_anchors_are_their_writers_choice_where_the_policy_demands_none(site: Site) -> None:
    site.anchors({"kind": "directory", "path": "second"})
    assert site.states() == [("directory", "ok")]
    assert grave(site.anchors()) == []
    assert grave(site.anchors({"kind": "directory", "path": "third"})) == []


# RFC 3161.


def test_time_stamps_bound_the_time_and_satisfy_require_tsa(site: Site, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tsa")
    other = Authority(tmp_path / "other")
    trust = trust_of(site)
    known, unknown = (
        {**trust, "tsa.pem": authority.roots.read_bytes()},
        {**trust, "tsa.pem": other.roots.read_bytes()},
    )
    assert judged(site, known, "tsa").exit_code == 41
    with serving(authority) as url:
        site.anchors({"kind": "rfc3161", "url": url, "roots": str(authority.roots)})
        report = judged(site, known, "tsa")
    assert report.exit_code == 0, report.rules
    assert any(
        line.startswith("time bounded by time stamp anchors/rfc3161.tsr: ") for line in report.assurance
    )
    assert not any(line.startswith("time asserted") for line in report.assurance)
    assert judged(site, trust, "tsa").exit_code == 41, "TRUST holds no roots"
    assert judged(site, unknown, "tsa").exit_code == 41, "another authority"
    (tmp_path / "trust").mkdir()
    for name, data in known.items():
        (tmp_path / "trust" / name).write_bytes(data)
    call = ["bash", str(SCRIPT), str(site.root / "e.tar"), str(tmp_path / "trust")]
    shell = subprocess.run(call, capture_output=True, text=True, timeout=240, check=False)
    assert (shell.returncode, "anchors/rfc3161.tsr: all of it was in the log by" in shell.stdout) == (
        0,
        True,
    ), shell.stdout


def test_an_old_backup_and_a_fork_show_against_the_copies_of_stamps(site: Site, tmp_path: Path) -> None:
    authority, second = Authority(tmp_path / "tsa"), tmp_path / "second"
    with serving(authority) as url:
        stamps = {"kind": "rfc3161", "url": url, "roots": str(authority.roots)}
        site.anchors(stamps)
        rolled_back(site, "rfc3161")
        shutil.rmtree(site.backup)
        site.anchors(stamps, {"kind": "directory", "name": "d", "path": str(second)})
        site.states()
        copies = {path.suffix: path for path in second.glob("stamps/rfc3161/*/*")}
        text = copies[".note"].read_bytes().partition(b"\n\n")[0] + b"\n"
        assert verify_stamp(copies[".tsr"].read_bytes(), text, authority.roots.read_bytes())
        (tmp_path / "no folder").write_text("")
        site.anchors(stamps, {"kind": "directory", "name": "d", "path": str(tmp_path / "no folder")})
        assert site.states() == [("rfc3161", "failed"), ("d", "failed")]


def test_a_stamp_of_another_checkpoint_counts_for_nothing(site: Site, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tsa")
    with serving(authority) as url:
        site.anchors({"kind": "rfc3161", "url": url, "roots": str(authority.roots)})
        evidence(site.place, site.story.change, site.root / "old.tar")
        site.grow()
        site.anchors()
        evidence(site.place, site.story.change, site.root / "new.tar")
    stamp = archive.unpack((site.root / "old.tar").read_bytes())["anchors/rfc3161.tsr"]
    forged = repacked((site.root / "new.tar").read_bytes(), {"anchors/rfc3161.tsr": stamp})
    trust = Trust.from_files({**trust_of(site), "tsa.pem": authority.roots.read_bytes()})
    report = verify(forged, trust, require=("tsa",), stamps=verify_stamp)
    assert report.exit_code == 0, "the stamp of an earlier head covers the whole change"
    assert any("time stamp anchors/" in line for line in report.assurance)
    bare: dict[str, bytes | None] = {
        name: None for name in archive.unpack(forged) if name.startswith("anchors/") and "/" in name[8:]
    }
    size = next(iter(bare)).split("/")[1]
    gone = [name for name in archive.unpack(forged) if name.startswith(f"consistency/{size}-")]
    report = verify(
        repacked(forged, {**bare, **dict.fromkeys(gone)}), trust, require=("tsa",), stamps=verify_stamp
    )
    assert report.exit_code == 41, report.broken
    assert any("anchors/rfc3161.tsr counts for nothing" in line for line in report.assurance)
    strange = repacked(
        (site.root / "new.tar").read_bytes(), {"anchors/../x.tsr": stamp, "anchors/X.tsr": stamp}
    )
    assert verify(strange, trust, stamps=verify_stamp).exit_code == 40


# Git.


def repository(tmp_path: Path) -> Path:
    path = tmp_path / "repo"
    subprocess.run(["git", "init", "-q", str(path)], check=True, timeout=60)
    return path


def test_a_signed_commit_names_an_old_backup_and_a_fork(site: Site, tmp_path: Path) -> None:
    key = tmp_path / "anchor_key"
    make_key(key, "anchor")
    site.anchors({"kind": "git", "path": str(repository(tmp_path)), "key": str(key)})
    rolled_back(site, "git")


def test_a_commit_that_the_key_did_not_sign_is_told(site: Site, tmp_path: Path) -> None:
    key, repo = tmp_path / "anchor_key", repository(tmp_path)
    make_key(key, "anchor")
    site.anchors({"kind": "git", "path": str(repo), "key": str(key)})
    assert site.states() == [("git", "ok")]
    call = ["git", "-C", str(repo), "for-each-ref", "--format=%(refname)"]
    ref = subprocess.run(call, check=True, capture_output=True, text=True, timeout=60).stdout.strip()
    words = ["-c", "user.name=m", "-c", "user.email=m@x", "commit-tree", f"{ref}^{{tree}}", "-m", "unsigned"]
    call = ["git", "-C", str(repo), *words]
    unsigned = subprocess.run(call, check=True, capture_output=True, text=True, timeout=60).stdout.strip()
    subprocess.run(["git", "-C", str(repo), "update-ref", ref, unsigned], check=True, timeout=60)
    assert "anchor-altered" in {one.name for one in audit_verify(site.place).findings}


def on_top(repo: Path, key: Path, tree: str, *parents: str) -> str:
    """Make a commit that the anchor's key has signed; return its id."""
    words = [
        "-c",
        "user.name=m",
        "-c",
        "user.email=m@x",
        "-c",
        "gpg.format=ssh",
        "-c",
        f"user.signingkey={key}",
    ]
    words += ["commit-tree", "-S", tree, *(word for one in parents for word in ("-p", one)), "-m", "old"]
    return git(repo, *words)


def git(repo: Path, *words: str) -> str:
    call = ["git", "-C", str(repo), *words]
    return subprocess.run(call, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


@pytest.mark.parametrize("way", ["more than are verified", "beside the first parent", "unsigned"])
def test_commits_on_top_hide_no_head_below_them(site: Site, tmp_path: Path, way: str) -> None:
    """Whoever may push can fast-forward the branch to a head of before."""
    key, repo = tmp_path / "anchor_key", repository(tmp_path)
    make_key(key, "anchor")
    site.anchors({"kind": "git", "path": str(repo), "key": str(key)})
    assert site.states() == [("git", "ok")]
    site.save()
    ref = git(repo, "for-each-ref", "--format=%(refname)")
    old = git(repo, "rev-parse", f"{ref}^{{tree}}")
    site.grow()
    assert site.states() == [("git", "ok")]
    tip = git(repo, "rev-parse", ref)
    site.put_back()
    if way == "beside the first parent":
        tip = on_top(repo, key, old, on_top(repo, key, old), tip)
    elif way == "unsigned":
        words = ["-c", "user.name=m", "-c", "user.email=m@x", "commit-tree", old, "-m", "old", "-p"]
        for _ in range(git_anchor.SIGNED + 1):
            tip = git(repo, *words, tip)
    for _ in range(git_anchor.SIGNED + 1):
        tip = on_top(repo, key, old, tip)
    git(repo, "update-ref", ref, tip)
    assert grave(site.place) == [("rolled-back", "anchor git", True)]
    assert site.named() == (42, {("rolled-back", "anchor git")})


def test_a_head_that_another_process_overtakes_is_not_put_on_top_of_a_greater_one(
    site: Site, tmp_path: Path
) -> None:
    key, repo = tmp_path / "anchor_key", repository(tmp_path)
    make_key(key, "anchor")
    log = site.place.log
    made: dict[str, Any] = {"log": NoteVerifier.parse(log.vkey), "path": repo, "key": key}
    before = log.checkpoint()
    site.grow()
    after = site.place.log.checkpoint()
    prove = site.place.log.prove_consistency

    class Overtaken(git_anchor.GitAnchor):
        """Lets another process through once it knows the tip."""

        overtaken = False

        def _tip(self) -> str:
            tip = super()._tip()
            if not self.overtaken:
                self.overtaken = True
                git_anchor.GitAnchor("git", **made).put(after, prove)
            return tip

    with pytest.raises(ForkError, match="an older log"):
        Overtaken("git", **made).put(before, prove)
    assert list(git_anchor.GitAnchor("git", **made).held({})) == [after.note]


# S3.


def stranger(client: Any, key: str, body: bytes, at: int) -> None:
    """Put an object of the right form, below the greatest size that there can be."""
    folder = key.partition("/")[0]
    client.put_object(Bucket="anchors", Key=f"{folder}/{2**63 - 1 - at:019d}.note", Body=body)


def test_objects_that_are_no_heads_hide_no_head_below_them(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The executor may put objects: old heads under great names, then anything, then more than are read."""
    with bucket(monkeypatch) as client:
        site.anchors({"kind": "s3", "bucket": "anchors"})
        assert site.states() == [("s3", "ok")]
        site.save()
        site.grow()
        assert site.states() == [("s3", "ok")]
        key, newest = sorted(one["Key"] for one in client.list_objects_v2(Bucket="anchors")["Contents"])
        old = client.get_object(Bucket="anchors", Key=key)["Body"].read()
        site.put_back()
        for at in range(s3_anchor.KEPT):
            stranger(client, key, old, at)
            client.put_object(Bucket="anchors", Key=newest, Body=old)
        for name in ("0.note", f"{10**19}.note", f"{'x' * 19}.note", "latest"):
            client.put_object(Bucket="anchors", Key=f"{key.partition('/')[0]}/{name}", Body=b"x")
        assert site.named() == (42, {("rolled-back", "anchor s3")})
        for at in range(s3_anchor.LOOKED):
            stranger(client, key, b"no head", at)
        assert site.named() == (40, {("anchor-flooded", "anchor s3")})


def test_locked_objects_name_an_old_backup_and_a_fork(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with bucket(monkeypatch) as client:
        site.anchors({"kind": "s3", "bucket": "anchors"})
        assert site.states() == [("s3", "ok")]
        (key,) = [one["Key"] for one in client.list_objects_v2(Bucket="anchors")["Contents"]]
        client.delete_object(Bucket="anchors", Key=key)  # leaves a marker; the version stays
        assert audit_verify(site.place).coverage[0].tail == 0
        rolled_back(site, "s3")
    assert os.environ["AWS_ACCESS_KEY_ID"]


@pytest.mark.parametrize("days", [0, 30], ids=["usual", "configured"])
def test_nobody_may_remove_a_locked_head_before_its_time(
    site: Site, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    with bucket(monkeypatch) as client:  # with no retention of its own
        before = datetime.now(UTC).replace(microsecond=0)  # S3 keeps whole seconds
        site.anchors({"kind": "s3", "bucket": "anchors"} | ({"days": days} if days else {}))
        assert site.states() == [("s3", "ok")]
        (one,) = client.list_object_versions(Bucket="anchors")["Versions"]
        version = {"Bucket": "anchors", "Key": one["Key"], "VersionId": one["VersionId"]}
        kept = client.head_object(**version)  # the double keeps the retention, and has no GetObjectRetention
        assert kept["ObjectLockMode"] == "COMPLIANCE"
        span = kept["ObjectLockRetainUntilDate"] - before
        assert timedelta(days=days or 400) <= span < timedelta(days=(days or 400) + 1)
        for words in ({}, {"BypassGovernanceRetention": True}):
            with pytest.raises(ClientError, match="AccessDenied"):
                client.delete_object(**version, **words)
        assert client.get_object(**version)["Body"].read() == site.place.log.checkpoint().note
