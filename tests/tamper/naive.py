"""Verifiers as people write them in an afternoon: each checks something true and leaves one thing out.

An attack is worth a test only where such a verifier falls for it, so each says what it looks at and what it does not.
They are honest code, and return whether they are content.
"""

import base64
import hashlib
import io
import json
import sqlite3
import subprocess
import sys
import tarfile
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA512

from itmp.audit import Event, LogReader
from itmp.audit.merkle import leaf_hash, node_hash, root_of
from itmp.audit.tiles import ENTRIES, MAX_BUNDLE, WIDTH, Tile, tiles_of
from itmp.signing.sshsig import unarmor
from itmp.signing.wire import Reader, string

LIMIT = MAX_BUNDLE

# Periods


def continues(bundle: bytes, origin: str) -> bool:
    """The first leaf says which log it continues. Not looked at: what that log says, and who signed either."""
    with tarfile.open(fileobj=io.BytesIO(bundle)) as tar:
        member = tar.extractfile("leaves/0")
        first = json.loads(member.read()) if member else {}
    return bool((first["data"]["previous"] or {}).get("origin") == origin)


# Logs


def head(reader: LogReader) -> tuple[int, str]:
    """Size and root as the checkpoint's text says them. Not looked at: who signed it."""
    lines = (reader.get("checkpoint", LIMIT) or b"").decode(errors="replace").split("\n")
    return int(lines[1]), lines[2]


def _file(reader: LogReader, tile: Tile) -> bytes:
    found = reader.get(tile.path, LIMIT)
    return found or reader.get(Tile(level=tile.level, n=tile.n).path, LIMIT) or b""


def _leaves(data: bytes) -> list[bytes]:
    """Split a bundle, leniently: what does not parse at its end is passed over, any length will do."""
    leaves = []
    while len(data) >= 2:
        size = int.from_bytes(data[:2])
        if len(data) < 2 + size:
            break
        leaves.append(data[2 : 2 + size])
        data = data[2 + size :]
    return leaves


def entries(reader: LogReader) -> bool:
    """The entries give the checkpoint's root. Not looked at: tiles, signatures, lengths, trailing bytes."""
    size, root = head(reader)
    hashes: list[bytes] = []
    for tile in tiles_of(size):
        if tile.level == ENTRIES:
            hashes += [leaf_hash(leaf) for leaf in _leaves(_file(reader, tile))[: tile.width]]
    return base64.b64encode(root_of(hashes)).decode() == root


def its_own_key(reader: LogReader) -> bool:
    """The key that the first leaf names has signed the checkpoint. Not looked at: who knew that leaf before."""
    size, _ = head(reader)
    first = json.loads(_leaves(_file(reader, next(iter(tiles_of(size)))))[0])
    public = base64.b64decode(first["data"]["log_key"].split("+", 2)[2])[1:]
    text, _, line = (reader.get("checkpoint", LIMIT) or b"").partition(b"\n\n")
    signature = base64.b64decode(line.split()[2])[4:]
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, text + b"\n")
    except InvalidSignature:
        return False
    return entries(reader)


def tiles(reader: LogReader) -> bool:
    """The lowest tiles give the checkpoint's root. Not looked at: the entries."""
    size, root = head(reader)
    hashes = b"".join(_file(reader, tile) for tile in tiles_of(size) if tile.level == 0)
    found = root_of([hashes[at : at + 32] for at in range(0, size * 32, 32)])
    return base64.b64encode(found).decode() == root


def tiles_agree(reader: LogReader) -> bool:
    """Entries and all tiles agree with each other. Not looked at: the root that was signed."""
    size, _ = head(reader)
    for tile in tiles_of(size):
        data = _file(reader, tile)
        if tile.level == ENTRIES:
            low = _file(reader, Tile(level=0, n=tile.n, width=tile.width))
            if b"".join(map(leaf_hash, _leaves(data)[: tile.width])) != low[: 32 * tile.width]:
                return False
        elif tile.level > 0:
            below = (Tile(level=tile.level - 1, n=n) for n in range(tile.start, tile.start + tile.width))
            full = [_file(reader, one) for one in below]
            if b"".join(root_of([d[at : at + 32] for at in range(0, len(d), 32)]) for d in full) != data:
                return False
    return True


def one_node_a_tile(reader: LogReader, frontier: Sequence[bytes]) -> bool:
    """Each tile's first frontier node is the proven one. Not looked at: further frontier nodes in the same tile."""
    size, root = head(reader)
    acc = frontier[-1]
    for node in reversed(frontier[:-1]):
        acc = node_hash(node, acc)
    if base64.b64encode(acc).decode() != root:
        return False
    seen, at, nodes = set[tuple[int, int]](), 0, iter(frontier)
    for level in sorted((bit for bit in range(64) if size >> bit & 1), reverse=True):
        node, place = next(nodes), (level // 8, at >> (level - level % 8 + 8))
        if place not in seen:
            seen.add(place)
            width = size >> (8 * place[0])
            tile = Tile(level=place[0], n=place[1], width=min(WIDTH, width - place[1] * WIDTH))
            start = (at >> (8 * place[0])) % WIDTH
            hashes = _file(reader, tile)[start * 32 : (start + (1 << level % 8)) * 32]
            if root_of([hashes[n : n + 32] for n in range(0, len(hashes), 32)]) != node:
                return False
        at += 1 << level
    return True


def key_id_stands_there(note: bytes, name: str, key_id: bytes) -> bool:
    """A line of the note bears the log's name and key id. Not looked at: the signature itself."""
    lines = note.decode(errors="replace").split("\n")
    return any(
        line.startswith(f"\u2014 {name} ") and base64.b64decode(line.split(" ")[2] + "==")[:4] == key_id
        for line in lines
    )


# Evidence


def members(bundle: bytes) -> dict[str, bytes]:
    """Whatever tarfile finds."""
    with tarfile.open(fileobj=io.BytesIO(bundle)) as archive:
        files = [(entry.name, archive.extractfile(entry)) for entry in archive if entry.isfile()]
        return {name: file.read() for name, file in files if file}


def manifest(bundle: bytes) -> bool:
    """`sha256sum -c MANIFEST`. Not looked at: whether anything stands behind those sums."""
    files = members(bundle)
    rows = [line.split("  ", 1) for line in files["MANIFEST"].decode().splitlines()]
    return all(hashlib.sha256(files[name]).hexdigest() == digest for digest, name in rows)


def events(bundle: bytes) -> list[dict[str, Any]]:
    """The leaves as JSON, in order."""
    files = members(bundle)
    names = sorted((name for name in files if name.startswith("leaves/")), key=lambda name: int(name[7:]))
    return [json.loads(files[name]) for name in names]


def genuine(armor: str, text: bytes) -> bool:
    """The key in the signature has signed the text. Not looked at: namespace, reserved, hash, touch, strength."""
    reader = Reader(unarmor(armor)[10:], "naive")
    key, space, reserved, name, signature = (reader.string() for _ in range(5))
    hashed = hashlib.new(name.decode(), text).digest()
    data = b"SSHSIG" + b"".join(string(part) for part in (space, reserved, name, hashed))
    fields, parts = Reader(key, "naive"), Reader(signature, "naive")
    kind, number, raw = fields.text(), fields.string(), (parts.string(), parts.string())[1]
    try:
        if kind == "ssh-rsa":
            modulus = int.from_bytes(fields.string())
            public = RSAPublicNumbers(int.from_bytes(number), modulus).public_key()
            public.verify(raw, data, PKCS1v15(), SHA512())
            return True
        if kind.startswith("sk-"):
            rest = parts.take(5)
            data = hashlib.sha256(fields.string()).digest() + rest + hashlib.sha256(data).digest()
        Ed25519PublicKey.from_public_bytes(number).verify(raw, data)
    except InvalidSignature:
        return False
    return True


def stock(armor: str, text: bytes, principal: str, line: str, folder: Path) -> bool:
    """What `ssh-keygen -Y verify` says of a signature for approvals, with `line` as its allowed signer."""
    (folder / "allowed").write_text(line + "\n")
    (folder / "sig").write_text(armor)
    call = ["ssh-keygen", "-Y", "verify", "-f", str(folder / "allowed"), "-I", principal]
    call += ["-n", "itmp-approve@example.com", "-s", str(folder / "sig")]
    return subprocess.run(call, input=text, capture_output=True, timeout=30, check=False).returncode == 0


def approved(bundle: bytes) -> bool:
    """Somebody's genuine approval is in the file. Not looked at: of what, by whom, when, and whether it still stands."""
    return manifest(bundle) and any(
        event["type"] == "change.approved"
        and genuine(event["data"]["signature"], event["data"]["text"].encode())
        for event in events(bundle)
    )


def ran_under_a_permit(bundle: bytes) -> bool:
    """Every run names a permit. Not looked at: what the permit rests on, and what was done under it."""
    found = events(bundle)
    return manifest(bundle) and all(
        event["data"]["permit"].startswith("sha256:") for event in found if event["type"] == "run.started"
    )


def same_plan(one: bytes, other: bytes) -> bool:
    """Two manifests mean the same JSON value. Not looked at: their bytes."""
    return bool(json.loads(one) == json.loads(other))


def unpacked(bundle: bytes, folder: Path) -> list[Path]:
    """Where the members' names would land. Not looked at: whether that is still below the folder."""
    with tarfile.open(fileobj=io.BytesIO(bundle)) as archive:
        return [folder / entry.name for entry in archive]


def unpacked_size(bundle: bytes) -> int:
    """How many bytes the first member claims to be. Not looked at: how many are there."""
    with tarfile.open(fileobj=io.BytesIO(bundle)) as archive:
        return (archive.next() or archive.tarinfo()).size


def title(bundle: bytes) -> str:
    """The plan's title, ready to print. Not looked at: what a terminal makes of it."""
    return str(json.loads(members(bundle)["plan/manifest"])["title"])


SHAPES = str.maketrans(
    {"\u0430": "a", "\u0435": "e", "\u043e": "o", "\u0440": "p", "\u0441": "c", "\u0445": "x"}
)
"""Letters of another alphabet that fonts draw alike."""


def read(text: str) -> str:
    """What somebody reads on a screen. Not looked at: which letters those are."""
    return text.translate(SHAPES)


def normalised(text: str) -> str:
    """What a library makes of a name before it compares. Not looked at: whether it was another one before."""
    return unicodedata.normalize("NFKC", text)


def signer(text: str, seen: Callable[[str], str]) -> str:
    """Who signed a statement, as the text says."""
    return next(seen(line[7:]) for line in text.split("\n") if line.startswith("signer "))


def holders(policy: bytes, seen: Callable[[str], str]) -> list[str]:
    """Who holds keys under a policy, in its order. Not looked at: which keys."""
    return [seen(line.split("id: ")[1]) for line in policy.decode().split("\n") if "- id: " in line]


def amended(bundle: bytes) -> bool:
    """Each later policy bears a genuine signature of who may amend. Not looked at: of how many."""
    found = [event["data"] for event in events(bundle) if event["type"] == "policy.changed"]
    return bool(found) and all(
        "\nrole owner\n" in one["text"] and genuine(one["signature"], one["text"].encode())
        for data in found
        for one in data["statements"]
    )


def still_valid(text: str, now: datetime) -> bool:
    """The clock says that a statement is valid. Not looked at: whether the clock is right."""
    (line,) = [line for line in text.split("\n") if line.startswith("valid ")]
    start, end = (datetime.fromisoformat(moment) for moment in line.split()[1:])
    return start <= now < end


def last_word(index: Path, change: str) -> str:
    """The type of a change's newest row in the search index. Not looked at: the log."""
    with closing(sqlite3.connect(index)) as db:
        names = "JOIN word AS kind ON kind.n = leaf.type JOIN word AS whose ON whose.n = leaf.change"
        rows = f"SELECT kind.text FROM leaf {names} WHERE whose.text = ? ORDER BY leaf.n DESC LIMIT 1"  # noqa: S608 - constants
        return str(db.execute(rows, (change,)).fetchone()[0])


# Runs


def nothing_failed(told: Sequence[Event]) -> bool:
    """Work was begun, and no result is a failure. Not looked at: whether each has one, and what was never told."""
    return "run.started" in {one.type for one in told} and not any(
        one.type == "action.finished" and one.outcome == "failed" for one in told
    )


def listener(folder: Path, environ: Mapping[str, str]) -> str:
    """Which callback Ansible would use there. Not looked at: what the caller sets."""
    call = [sys.executable, "-m", "ansible", "config", "dump", "--only-changed", "--format", "json"]
    done = subprocess.run(
        call, cwd=folder, env=environ, capture_output=True, text=True, timeout=120, check=True
    )
    return str(
        next(one["value"] for one in json.loads(done.stdout) if one.get("name") == "DEFAULT_STDOUT_CALLBACK")
    )
