"""The bytes of an approved plan, changed where the log keeps them: whatever was done to them, nothing runs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from places import Place, rolling

pytestmark = pytest.mark.fleet


def flip(blob: Path) -> None:
    data = blob.read_bytes()
    blob.write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])


def swap(blob: Path) -> None:
    """A symlink to other content, valid in itself, that somebody may change at any time."""
    other = blob.parents[4] / f"other-{blob.name[:8]}"
    other.write_bytes(blob.read_bytes().replace(b"one", b"two"))
    assert other.read_bytes() != blob.read_bytes()
    blob.unlink()
    blob.symlink_to(other)


HARMS: dict[str, Callable[[Path], None]] = {"one bit": flip, "gone": Path.unlink, "symlink": swap}


def blob_of(place: Place, digest: str) -> Path:
    name = digest.removeprefix("sha256:")
    return place.root / ".itmp/log/blobs/sha256" / name[:2] / name


def blobs(place: Place, change: str) -> dict[str, Path]:
    """The plan's manifest, and the artifact that says what a host is told to do."""
    manifest = blob_of(place, place.leaves(change)[0].event.plan)
    artifacts = [blob_of(place, digest) for digest in json.loads(manifest.read_bytes())["artifacts"].values()]
    plays = [path for path in artifacts if b"act one" in path.read_bytes()]
    assert plays
    return {"manifest": manifest, "artifact": plays[0]}


def test_a_plan_whose_stored_bytes_were_changed_after_approval_is_refused(place: Place) -> None:
    """Each harm to each kind of bytes: exit 12, no connection, `change.refused`; put back, the approved plan runs."""
    change = place.ready(rolling("one", batches=(3,)))
    refusals = 0
    for part, blob in blobs(place, change).items():
        kept = blob.read_bytes()
        for harm, do in HARMS.items():
            what = f"{part}: {harm}"
            do(blob)
            told = place.itmp("run", change, "--key", "alice", "--json")
            assert told.rc == 12, (what, told)
            assert "the stored plan is not the approved one" in told.out + told.err, (what, told)
            refusals += 1
            types = place.types(change)
            assert types.count("change.refused") == refusals, (what, types)
            last = [leaf.event for leaf in place.leaves(change)][-1]
            assert last.type == "change.refused", what
            said = last.data or {}
            assert (said["act"], said["exit_code"]) == ("run", 12), what
            assert [(check["n"], check["outcome"]) for check in said["checks"]] == [(1, "refused")], what
            assert not {"permit.issued", "run.started", "slice.intended"} & set(types), what
            assert place.untouched(), what
            blob.unlink(missing_ok=True)
            blob.write_bytes(kept)
    place.run(change)
    assert place.journals() == {host: ["begin one", "end one"] for host in ("web1", "web2", "web3")}
    assert place.sound()
