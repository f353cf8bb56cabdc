"""What `verify.sh` does for many results at once: no process for each, and no check less than for each alone."""

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import pytest

import itmp.evidence
from itmp.audit import Checkpoint, Event, SignedCheckpoint
from itmp.audit.merkle import Tree, leaf_hashes
from itmp.evidence import Trust, archive, verify
from itmp.evidence.proofs import write_hashes, write_inclusion
from itmp.testing.forgery import repacked
from itmp.testing.story import EXECUTOR, Story, small_plan

SCRIPT = Path(itmp.evidence.__file__).with_name("verify.sh")
TOOLS = ("tar", "sed", "sort", "sha256sum", "base64", "od", "tr", "cat", "head", "tail", "wc", "mktemp", "rm", "cp",
         "date", "mkdir", "openssl", "ssh-keygen")  # fmt: skip
FORKED = re.compile(r"(?:^\d+ +(?:clone3?|v?fork)\(.*|resumed>.*) = [1-9]\d*$")
EACH_LEVEL = 4
"""Processes for a level of a tree, of the log's or of the change's: one writes the nodes, one hashes them."""


def shell(
    folder: Path,
    bundle: bytes,
    trust: dict[str, bytes],
    path: Path | None = None,
    *,
    under: Sequence[str] = (),
    options: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    (folder / "trust").mkdir(parents=True)
    for name, data in trust.items():
        (folder / "trust" / name).write_bytes(data)
    (folder / "bundle.tar").write_bytes(bundle)
    return subprocess.run(
        [*under, "/bin/bash", *options, SCRIPT, folder / "bundle.tar", folder / "trust"],
        capture_output=True, text=True, timeout=120, check=False, env={"PATH": str(path)} if path else None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tallying(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of the script's tools, each of which first adds a line to a file."""
    folder = tmp_path_factory.mktemp("tools")
    tally = folder / "tally"
    for name in TOOLS:
        (folder / name).write_text(f'#!/bin/bash\necho {name} >> {tally}\nexec {shutil.which(name)} "$@"\n')
        (folder / name).chmod(0o755)
    return folder, tally


def test_the_number_of_processes_does_not_follow_that_of_the_results(
    tallying: tuple[Path, Path], tmp_path: Path
) -> None:
    started = {}
    for count in (8, 128):
        story = Story(plan=small_plan(hosts=[f"web{n}" for n in range(count)])).tell()
        path, tally = tallying
        tally.unlink(missing_ok=True)
        done = shell(tmp_path / str(count), story.evidence(), story.trust(), path)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"{2 * (count + 1)} results, each after one of 2 intents" in done.stdout
        started[count] = tally.read_text().splitlines()
    levels = 4  # 2^4 times as many
    consistency = 3 * 2 * levels  # from what each of three signers had seen, hash by hash
    assert len(started[128]) - len(started[8]) <= 2 * EACH_LEVEL * levels + consistency


FORKS_EACH_LEVEL = 22
"""Processes that bash splits off for a level of a tree, whether or not they become a program. Measured: 19."""
COMMANDS_EACH_RESULT = 650
"""What bash executes within itself for one more result, its leaf and its proof. Measured: 544, at 64 results."""


def split_off(folder: Path, story: Story) -> int:
    """Return how often a process was split off while `verify.sh` read the evidence of `story`: every fork, by the kernel."""
    seen = folder / "forks"
    traced = ["strace", "-f", "-qq", "-e", "trace=clone,clone3,fork,vfork", "-o", str(seen)]
    done = shell(folder, story.evidence(), story.trust(), under=traced)
    assert (done.returncode, done.stderr) == (0, "")
    return sum(bool(FORKED.search(line)) for line in seen.read_text().splitlines())


def executed(folder: Path, story: Story) -> int:
    """Return how many commands bash executed, within itself too: a line of its trace is one."""
    seen = folder / "trace"
    traced = ["bash", "-c", 'exec 9> "$0"; BASH_XTRACEFD=9 exec "$@"', str(seen)]
    done = shell(folder, story.evidence(), story.trust(), under=traced, options=["-x"])
    assert (done.returncode, done.stderr) == (0, "")
    return seen.read_bytes().count(b"\n+")


def test_the_work_grows_by_levels_and_by_results_and_no_faster(tmp_path: Path) -> None:
    """No leaf has a process of its own, not even one of bash; and what bash does for a leaf looks at no other leaf."""
    few, many = (Story(plan=small_plan(hosts=[f"web{n}" for n in range(count)])).tell() for count in (16, 64))
    forks = split_off(tmp_path / "f1", many) - split_off(tmp_path / "f0", few)
    assert 0 < forks <= 2 * FORKS_EACH_LEVEL, forks
    commands = executed(tmp_path / "c1", many) - executed(tmp_path / "c0", few)
    assert 0 < commands <= (64 - 16) * COMMANDS_EACH_RESULT, commands


def refused_often(count: int) -> Story:
    """A change that others' leases kept from `count` runs, each with a list of hosts in a blob, and a word in one leaf."""
    story = Story(plan=small_plan(hosts=["web1"]))
    story.open()
    for n in range(count):
        blob = story.log.put_blob(f'["web{n}"]'.encode())
        data = {
            "act": "run",
            "exit_code": 19,
            "checks": [],
            "hosts_blob": blob,
            "said": "once" if n else "a word",
        }
        event = Event(id=story.id(), type="change.refused", actor=EXECUTOR, change=story.change, data=data)
        story.write(event)
    return story


def test_no_leaf_is_read_again_for_each_blob(tmp_path: Path) -> None:
    """What bash compares stands in its trace: a word of one leaf as often with many blobs as with few."""
    seen = tmp_path / "trace"
    traced = ["bash", "-c", 'exec 9> "$0"; BASH_XTRACEFD=9 exec "$@"', str(seen)]
    read = []
    for count in (2, 12):
        story = refused_often(count)
        done = shell(tmp_path / str(count), story.evidence(), story.trust(), under=traced, options=["-x"])
        assert (done.returncode, done.stderr) == (41, "")
        read.append(seen.read_bytes().count(b"a word"))
    assert read[0] == read[1] > 0


def test_a_blob_that_no_leaf_names_is_refused(tmp_path: Path) -> None:
    story = refused_often(1)
    extra = repacked(story.evidence(), {f"blobs/{sha256(b'x').hexdigest()}": b"x"})
    done = shell(tmp_path, extra, story.trust())
    assert (done.returncode, "belongs to no leaf" in done.stdout) == (40, True)


HONEST = Story(plan=small_plan(hosts=["web1", "web2", "web3"])).tell()
BUNDLE = HONEST.evidence()
PROOF = "proofs/5.tlog-proof"


def lines_of(proof: bytes) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """Return the two first lines of a proof, its hashes, and what follows them."""
    lines = proof.split(b"\n")
    end = lines.index(b"")
    return lines[:2], lines[2:end], lines[end:]


WRONG: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "one hash too few": lambda hashes: hashes[:-1],
    "one hash too many": lambda hashes: [*hashes, hashes[0]],
    "none": lambda hashes: hashes[:0],
    "another hash at the top": lambda hashes: [*hashes[:-1], hashes[0]],
    "another hash at the bottom": lambda hashes: [hashes[-1], *hashes[1:]],
    "two in the other order": lambda hashes: [hashes[1], hashes[0], *hashes[2:]],
    "a line that is cut": lambda hashes: [hashes[0][:-1], *hashes[1:]],
    "two lines that are as long as two hashes": lambda hashes: [
        hashes[0][:40], hashes[1] + hashes[0][40:], *hashes[2:],
    ],
    "a line break of another kind": lambda hashes: [hashes[0] + b"\r", *hashes[1:]],
    "an empty line as long as a hash": lambda hashes: [hashes[0], b" " * 44, *hashes[1:]],
    "bits that no hash has": lambda hashes: [hashes[0][:42] + b"B=", *hashes[1:]],
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_proof_among_many_is_checked_as_if_it_were_alone(wrong: str, tmp_path: Path) -> None:
    first, hashes, rest = lines_of(archive.unpack(BUNDLE)[PROOF])
    bad = b"\n".join([*first, *WRONG[wrong](hashes), *rest])
    bundle = repacked(BUNDLE, {PROOF: bad})
    done = shell(tmp_path, bundle, HONEST.trust())
    assert (done.returncode, done.stderr) == (40, "")
    assert "BROKEN       rule 3: proofs/5.tlog-proof" in done.stdout or "rule 3: leaf 5 " in done.stdout
    assert verify(bundle, Trust.from_files(HONEST.trust())).broken.n == 3  # type: ignore[union-attr]


def test_a_list_of_hashes_ends_with_an_empty_line(tmp_path: Path) -> None:
    members = archive.unpack(BUNDLE)
    last = max((name for name in members if name.startswith("proofs/")), key=lambda name: int(name[7:-11]))
    bundle = repacked(BUNDLE, {last: members[last].replace(b"\n\n", b"\n", 1)})
    done = shell(tmp_path, bundle, HONEST.trust())
    assert (done.returncode, done.stderr) == (40, "")
    assert f"BROKEN       rule 3: {last}" in done.stdout


def test_a_leaf_of_two_lines_is_no_event(tmp_path: Path) -> None:
    """The log's owner can sign any bytes; the shell reads leaves as lines."""
    story = Story(plan=small_plan(hosts=["web1"]))
    story.open()
    story.act("approve", "bob")
    leaves = [leaf.data for leaf in story.log.leaves()]
    leaves[-1] = leaves[-1].replace(b'{"actor":', b'{"actor":\n', 1)
    tree = Tree()
    tree.extend(leaf_hashes(leaves))
    size, members = len(leaves), archive.unpack(story.evidence())
    head = Checkpoint(origin=story.key.name, size=size, root=tree.root())
    note = SignedCheckpoint.sign(head, story.key).note
    forged = {"checkpoint": note, f"leaves/{size - 1}": leaves[-1]}
    for index in range(size):
        forged[f"proofs/{index}.tlog-proof"] = write_inclusion(index, tree.inclusion(index, size), note)
    for name in members:
        if name.startswith("consistency/"):
            old = int(name.removeprefix("consistency/").partition("-")[0])
            forged[name] = write_hashes(tree.consistency(old, size))
    bundle = repacked(story.evidence(), dict(forged))
    done = shell(tmp_path, bundle, story.trust())
    assert (done.returncode, done.stderr) == (40, "")
    assert f"BROKEN       rule 3: leaf {size - 1} is no event" in done.stdout
    assert "holds        rule 3" not in done.stdout
    assert verify(bundle, Trust.from_files(story.trust())).exit_code == 40
