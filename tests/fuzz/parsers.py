"""Every parser that takes bytes from outside, and the oracle: our Error, or a value that gives the bytes back.

Hypothesis runs all of them for a moment in the ordinary suite (tests/property/test_parsers.py); `make fuzz` hands
each family to atheris for as long as one likes.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from oracles import (
    Broken,
    exported,
    kept_of,
    key_line_of,
    log_policy_of,
    note_of,
    only,
    revoked_of,
    time_of,
    window_of,
)

from itmp import canonical
from itmp.adapters.posix_log import frames
from itmp.anchors.request import Request
from itmp.audit import Checkpoint, Event, SignedCheckpoint
from itmp.audit.tiles import Tile, decode_bundle, decode_tile, encode_bundle
from itmp.capacity import CapacityAdjustment
from itmp.change import Policy
from itmp.documents import parse
from itmp.errors import Error
from itmp.evidence import Trust, archive, verify
from itmp.evidence.bundle import manifest_of
from itmp.evidence.proofs import Hashes, read_hashes, write_hashes, write_inclusion
from itmp.export import FORMATS, record
from itmp.inquiry import gaps, read_traces
from itmp.inquiry.traces import FILES
from itmp.patching import Lock, PatchSchedule, read_lock
from itmp.patching.simulation import parse_simulation
from itmp.plan import Plan
from itmp.plan.archive import from_tar, to_tar
from itmp.plan.codec import decode, encode
from itmp.runbook import Runbook
from itmp.signing import NoteKey, NoteVerifier, PublicKey, Statement, open_note, verify_sshsig
from itmp.signing.certificates import Certificate
from itmp.signing.sshsig import armor_of, unarmor
from itmp.signing.wire import string
from itmp.testing.periods import NextStory, end, next_key
from itmp.testing.story import ORIGIN, Story, small_plan

ROOT = Path(__file__).parents[2]
REGISTRY = {
    "runbook/v1": Runbook,
    "patch-schedule/v1": PatchSchedule,
    "capacity-adjustment/v1": CapacityAdjustment,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parser:
    """`back` reads and writes again; where a format allows several spellings it is only read twice.

    `odd` are spellings that chance hardly finds, and that a lenient reader takes.
    """

    family: str
    name: str
    back: Callable[[bytes], bytes]
    seeds: tuple[bytes, ...]
    odd: tuple[bytes, ...] = ()

    def judge(self, data: bytes) -> None:
        """Raise `Broken` unless reading `data` raises our Error, or gives `data` back."""
        try:
            again = self.back(data)
        except Error:
            return
        if again != data:
            raise Broken(f"{self.name}: {data!r} came back as {again!r}")


def _text(read: Callable[[str], str]) -> Callable[[bytes], bytes]:
    """Text arrives as bytes that somebody else has decoded: what is no UTF-8 never gets here."""

    def back(data: bytes) -> bytes:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return data
        return read(text).encode()

    return back


def _twice(read: Callable[[bytes], Any]) -> Callable[[bytes], bytes]:
    """A format with many spellings of one value: reading is a function of the bytes."""

    def back(data: bytes) -> bytes:
        if read(data) != read(data):
            raise Broken(repr(data))
        return data

    return back


def _bundle(data: bytes) -> bytes:
    return data[:1] + encode_bundle(decode_bundle(data[1:], data[0] + 1 if data else 1)) if data else data


def _tile(data: bytes) -> bytes:
    return data[:1] + b"".join(decode_tile(data[1:], data[0] + 1)) if data else data


def _journal(data: bytes) -> bytes:
    found = frames.scan(data)
    return b"".join(map(frames.encode, found.leaves)) + data[found.end :]


def _plan(data: bytes) -> bytes:
    return to_tar(from_tar(data))


def _documents(data: bytes) -> Any:
    return parse("x.yml", data, REGISTRY)  # type: ignore[arg-type]


@cache
def _story() -> Story:
    return Story(plan=small_plan(hosts=["web1"])).tell()


@cache
def parsers() -> tuple[Parser, ...]:
    """Return every parser with honest seeds."""
    return (*_logs(), *_signing(), *_evidence(), *_documents_and_plans())


def of_family(family: str) -> tuple[Parser, ...]:
    """Return the parsers of one family."""
    return tuple(parser for parser in parsers() if parser.family == family)


def _logs() -> tuple[Parser, ...]:
    story = _story()
    head = story.log.checkpoint()
    told = list(story.log.leaves())
    leaves = [leaf.data for leaf in told]
    asked = ((0, ()), (7, (b"r" * 32, bytes(32))))
    requests = [Request(old=old, proof=proof, note=head.note).to_bytes() for old, proof in asked]
    verifier = story.key.verifier

    def make(name: str, back: Callable[[bytes], bytes], *seeds: bytes, odd: tuple[bytes, ...] = ()) -> Parser:
        return Parser(family="logs", name=name, back=back, seeds=seeds, odd=odd)

    def opened(data: bytes) -> bytes:
        signed = SignedCheckpoint.open(data, [verifier])
        if not data.startswith(signed.checkpoint.to_text().encode() + b"\n"):
            raise Broken(repr(data))
        return signed.note

    return (
        make(
            "checkpoint",
            _text(lambda text: Checkpoint.parse(text).to_text()),
            head.checkpoint.to_text().encode(),
        ),
        make("signed checkpoint", opened, head.note),
        make(
            "tile name",
            _text(lambda text: Tile.parse(text).path),
            b"tile/entries/x001/234.p/7",
            b"tile/2/000",
        ),
        make("entry bundle", _bundle, bytes([len(leaves) - 1]) + encode_bundle(leaves)),
        make("Merkle tile", _tile, b"\x01" + bytes(64)),
        make("journal", _journal, b"".join(map(frames.encode, leaves[:3]))),
        make(
            "request to a witness",
            lambda data: Request.parse(data).to_bytes(),
            *requests,
            odd=(requests[1].replace(b"old 7", b"old 07"), requests[1].replace(b"A=\n", b"B=\n")),
        ),
        *(
            make(
                f"record in {form}",
                exported(form, ORIGIN),
                *(record(form, ORIGIN, leaf) for leaf in told[:9]),
            )
            for form in sorted(FORMATS)
        ),
        make("event", lambda data: Event.from_bytes(data).to_bytes(), *leaves),
        make(
            "canonical JSON",
            lambda data: canonical.dumps(canonical.loads(data)),
            *leaves,
            b'{"a":[1,null,"\xc3\xa9"]}',
        ),
    )


def _signing() -> tuple[Parser, ...]:
    story = _story()
    signed = story.sign("approve", "bob", **story._lines("approve"))
    line = story.people["bob"].public.line.encode()
    note = story.log.checkpoint().note

    def make(name: str, back: Callable[[bytes], bytes], *seeds: bytes) -> Parser:
        return Parser(family="signing", name=name, back=back, seeds=seeds)

    def note_back(data: bytes) -> bytes:
        return note_of(open_note(data, [story.key.verifier]).text, data)

    def signature(data: bytes) -> bool:
        signer = verify_sshsig(armor_of(data), signed.text.encode(), "itmp-approve@example.com")
        return signer.key == story.people["bob"].public  # whoever has a key of their own may sign with it

    return (
        make("note", note_back, note),
        make("verifier key", _text(lambda text: NoteVerifier.parse(text).vkey), story.key.vkey.encode()),
        make(
            "private note key",
            _text(lambda text: NoteKey.from_text(text).to_text()),
            story.key.to_text().encode(),
        ),
        make("armor", _text(lambda text: armor_of(unarmor(text))), signed.signature.encode()),
        make(
            "signature",
            only([unarmor(signed.signature)], signature),
            unarmor(signed.signature),
        ),
        make("key line", _text(key_line_of), line, line + b" a comment", line + b"\n"),
        make("key", lambda data: PublicKey.from_blob(data).blob, base64.b64decode(line.split()[1])),
        make(
            "certificate",
            only([certificate()], lambda data: bool(Certificate.from_blob(data))),
            certificate(),
        ),
        make("statement", _text(lambda text: Statement.parse(text).text), signed.text.encode()),
    )


def certificate() -> bytes:
    """A user's certificate as an SSH CA makes it, signed by itself."""
    secret = Ed25519PrivateKey.from_private_bytes(bytes(32))
    key = string(b"ssh-ed25519") + string(secret.public_key().public_bytes_raw())
    body = string(b"ssh-ed25519-cert-v01@openssh.com") + string(bytes(32)) + key[15:]
    body += (1).to_bytes(8) + (1).to_bytes(4) + string(b"id") + string(string(b"bob@example.com"))
    body += bytes(8) + b"\xff" * 8 + string(b"") + string(b"") + string(b"") + string(key)
    return body + string(string(b"ssh-ed25519") + string(secret.sign(body)))


@cache
def _later() -> tuple[dict[str, bytes], tuple[bytes, ...]]:
    """Evidence of the period after the story's, and each member of the handover as `name NUL content`."""
    before = Story(plan=small_plan(hosts=["web1"]))
    end(before, next_key())
    story = NextStory(before)
    story.tell()
    members = archive.unpack(story.bundle())
    given = {
        name.removeprefix("handovers/1/"): data for name, data in members.items() if name[:9] == "handovers"
    }
    return members, tuple(name.encode() + b"\0" + data for name, data in given.items())


def _evidence() -> tuple[Parser, ...]:
    story = _story()
    bundle, trust = story.evidence(), story.trust()
    members = archive.unpack(bundle)
    note = members["checkpoint"]
    trusted = Trust.from_files(trust)

    def make(name: str, back: Callable[[bytes], bytes], *seeds: bytes, odd: tuple[bytes, ...] = ()) -> Parser:
        return Parser(family="evidence", name=name, back=back, seeds=seeds, odd=odd)

    def inclusion(data: bytes) -> bytes:
        return write_inclusion(7, Hashes().inclusion(data, index=7, note=note, where="x"), note)

    def holds(data: bytes) -> bool:
        return verify(data, trusted).exit_code == 0

    def brought(name: str, data: bytes) -> Trust:
        return Trust.from_files({**trust, name: data})

    def genesis(data: bytes) -> bytes:
        return brought("genesis", data).genesis.encode() + b"\n" * data.endswith(b"\n")

    def packed(data: bytes) -> bytes:
        file, again = BytesIO(data), BytesIO()
        places = archive.places(file)
        archive.write(again, ((name, data[at : at + size]) for name, (at, size) in places.items()))
        return again.getvalue()

    later, handovers = _later()
    made = ((name, NoteKey.generate(f"w.example/{name}", name.encode() * 32, algorithm=4)) for name in "ab")
    witnesses = "".join(f"witness {name} {key.verifier.vkey}\n" for name, key in made)
    revoked = f"{story.log.vkey} 9\n".encode()

    def handed(data: bytes) -> bool:
        """Put a leaf, proof or note into a handover whose other members are honest; MANIFEST says what is there."""
        name, _, value = data.partition(b"\0")
        mine = later | {f"handovers/1/{name.decode('ascii', 'replace')}": value}
        mine = {name: data for name, data in mine.items() if name != "MANIFEST"}
        return verify(archive.pack(mine | {"MANIFEST": manifest_of(mine)}), trusted).exit_code == 0

    return (
        make(
            "archive",
            lambda data: archive.pack(archive.unpack(data)),
            archive.pack({"a": b"x", "b/c": bytes(600)}),
        ),
        make("inclusion proof", inclusion, members["proofs/7.tlog-proof"]),
        make(
            "hashes",
            lambda data: write_hashes(read_hashes(data, where="x")),
            write_hashes([bytes(32), b"r" * 32]),
        ),
        make(
            "log policy",
            _text(log_policy_of),
            trust["log.policy"],
            f"log {story.log.vkey} https://x.example\n{witnesses}group g 1 a b\n# g\nquorum g\n".encode(),
            odd=(trust["log.policy"] + f"log {story.log.vkey}\n".encode(), trust["log.policy"] * 2),
        ),
        make("trust", genesis, trust["genesis"]),
        make("kept checkpoint", lambda data: kept_of(brought("checkpoint", data), data), note),
        make("revoked keys", lambda data: revoked_of(brought("revoked", data), data), revoked),
        make("packed log", packed, archive.pack({"a": b"x", "b/c": bytes(600)})),
        make("handover", only(handovers, handed), *handovers),
        make("policy", lambda data: Policy.from_bytes(data).data, story.policy_bytes),
        make("evidence", only([bundle], holds), bundle),
    )


def _documents_and_plans() -> tuple[Parser, ...]:
    plan = small_plan(hosts=["web1"])
    documents = [path.read_bytes() for path in sorted((ROOT / "runbooks").rglob("*.yml"))]

    def make(name: str, back: Callable[[bytes], bytes], *seeds: bytes, odd: tuple[bytes, ...] = ()) -> Parser:
        return Parser(family="documents", name=name, back=back, seeds=seeds, odd=odd)

    def whole(data: bytes) -> bytes:
        return Plan.from_bytes(data, lambda digest: plan.artifacts[digest]).manifest_bytes

    return (
        make("document", _twice(_documents), *documents),
        make("plan manifest", lambda data: encode(decode(data)), plan.manifest_bytes),
        make("plan", whole, plan.manifest_bytes),
        make("plan archive", _plan, to_tar(plan)),
        make("lockfile", lambda data: read_lock(data, "x").to_bytes(), lockfile()),
        make(
            "apt simulation",
            _twice(lambda data: parse_simulation(data.decode(errors="replace"), "x")),
            b"Inst libc6 [2.36-9] (2.36-10 Debian:12.4/stable [amd64])\n",
        ),
        make(
            "window",
            _text(window_of),
            b"2026-11-22T22:00:00Z 2026-11-23T02:00:00Z",
        ),
        make("host records", _twice(host_records), *HOST_RECORDS, odd=OUTSIDE_THE_CALENDAR),
        make("time", _text(time_of), b"2026-11-22T22:00:00Z", b"2026-11-22T23:30:00.5+01:30"),
    )


LOGIN = b"web1 sshd[7]: Accepted publickey for root from ::1 port 5 ssh2: ED25519 SHA256:abc\n"
HOST_RECORDS = (
    b"clock\02026-01-02T00:30:00+0100\n",
    b"auth.log\0Jan  2 00:10:00 " + LOGIN,
    b"journal\02026-01-01T23:00:00.123456+0100 " + LOGIN,
    b"journal\02026-01-01T22:00:02Z web1 sudo: bob : TTY=pts/0 ; USER=root ; COMMAND=/bin/sh\n",
    b"dpkg.log\02026-01-02 00:00:00 upgrade itmp-demo:all 1.0 2.0\n",
    b"boots\02026-01-01T22:00:00+0100\n",
    b"notes\0none packages: the host has no dpkg\n",
)
OUTSIDE_THE_CALENDAR = (
    b"journal\00001-01-01T00:00:00+0100 " + LOGIN,
    b"journal\09999-12-31T23:59:59-0100 " + LOGIN,
    b"boots\09999-12-31T23:59:59-0100\n",
    b"clock\09999-12-31T23:59:59+0000\n",
    b"clock\00001-01-01T00:00:00+0100\n",
)


def host_records(data: bytes) -> Any:
    """Read one file of a host, given as `name NUL content`, beside the honest ones that it is read with."""
    name, _, content = data.partition(b"\0")
    files = {"clock": b"2026-01-02T00:30:00+0100\n", "auth.log": b"Jan  2 00:10:00 " + LOGIN}
    files |= {known: content for known in FILES if known.encode() == name}
    traces = read_traces("web1", files)
    return traces, gaps("web1", files, traces)


def lockfile() -> bytes:
    """A lock of one package."""
    return Lock.model_validate(
        {
            "schema": "itmp-patch-lock/v1",
            "schedule": "web",
            "platform": {"distribution": "debian", "release": "bookworm", "architecture": "amd64"},
            "hosts": ("web1",),
            "packages": {
                "zlib1g": {"from": "1", "to": "2", "origin": "Debian", "architecture": "amd64", "back": True}
            },
            "removals": {},
            "kept": (),
        }
    ).to_bytes()
