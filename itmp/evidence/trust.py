"""TRUST: what the auditor brings and never takes from the evidence.

Rules kept here: `log.policy` and `genesis` are required; `log.policy` is C2SP tlog-policy (`log`,
`witness`, `group`, `quorum`), restricted to one log; a name is defined before it is used and once; a
checkpoint counts when the log's key signed it and the witnesses' quorum cosigned it; what `revoked` says of a key
counts against it, whatever signs for it; policy versions in `versions` must be in whatever is judged; TRUST of an
earlier period leads to a later one only by handovers that were judged (`after`).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from itmp.audit import Checkpoint, SignedCheckpoint
from itmp.canonical import Digest, parse_digest
from itmp.change.handover import series
from itmp.errors import EvidenceInvalidError, InvalidInputError
from itmp.evidence.rules import RevokedKeyError
from itmp.signing import NoteVerifier, open_note

FILES: Final = ("log.policy", "genesis", "checkpoint", "tsa.pem", "revoked", "versions")
_MAX_FILE: Final = 64 * 1024
_NOTE: Final = 1
_COSIGNATURE: Final = 4
_NONE: Final = "none"
_SIZE: Final = re.compile(r"(0|[1-9][0-9]{0,18})")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
"""What C2SP tlog-policy allows nowhere in a policy; tab and line feed are no part of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """At least `count` of `members` (names of witnesses or groups) must have cosigned."""

    count: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPolicy:
    """One log, its witnesses by name, groups, and which of those must have cosigned."""

    log: NoteVerifier
    witnesses: Mapping[str, NoteVerifier] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    quorum: str = _NONE

    @classmethod
    def parse(cls, text: str) -> "LogPolicy":
        """Read `log.policy`; raise `InvalidInputError` with the line."""
        if control := _CONTROL.search(text):
            raise InvalidInputError(f"a control character, {control[0]!r}", where="log.policy")
        draft = _Draft()
        for number, line in enumerate(text.split("\n"), 1):
            words = line.replace("\t", " ").split(" ")
            words = [word for word in words if word]
            if words and not words[0].startswith("#"):
                draft.take(words, f"log.policy:{number}")
        return draft.policy()

    @property
    def witnessed(self) -> bool:
        """Whether any witness must have cosigned."""
        return self.quorum != _NONE

    def open(self, note: bytes, *, where: str = "checkpoint") -> SignedCheckpoint:
        """Read a checkpoint; raise `EvidenceInvalidError` unless log and quorum have signed it."""
        signed = SignedCheckpoint.open(note, [self.log, *self.witnesses.values()], where=where)
        names = {signer.vkey for signer in open_note(note, [self.log, *self.witnesses.values()]).signers}
        if self.log.vkey not in names:
            raise EvidenceInvalidError("the checkpoint is not signed by TRUST's log", where=where)
        cosigned = {name for name, witness in self.witnesses.items() if witness.vkey in names}
        if self.witnessed and not self._reached(self.quorum, cosigned):
            have = ", ".join(sorted(cosigned)) or "nobody"
            raise EvidenceInvalidError(
                f"TRUST's quorum {self.quorum} of witnesses is not met: {have} cosigned", where=where
            )
        return signed

    def _reached(self, name: str, cosigned: set[str]) -> bool:
        if name in self.witnesses:
            return name in cosigned
        group = self.groups[name]
        return sum(self._reached(member, cosigned) for member in group.members) >= group.count


class _Draft:
    """The policy while its lines are read."""

    def __init__(self) -> None:
        self._logs: list[NoteVerifier] = []
        self._witnesses: dict[str, NoteVerifier] = {}
        self._groups: dict[str, Group] = {}
        self._used: set[str] = set()
        self._quorum: str | None = None

    def take(self, words: list[str], where: str) -> None:
        match words:
            case ["log", vkey] | ["log", vkey, _]:
                self._logs.append(_key(vkey, _NOTE, where))
            case ["witness", name, vkey] | ["witness", name, vkey, _]:
                self._define(name, where)
                self._witnesses[name] = _key(vkey, _COSIGNATURE, where)
            case ["group", name, count, *members] if members:
                self._group(name, count, members, where)
            case ["quorum", name] if self._quorum is None:
                if name != _NONE:
                    self._known(name, where)
                self._quorum = name
            case _:
                raise InvalidInputError(f"not a line of a log policy: {' '.join(words)!r:.80}", where=where)

    def policy(self) -> LogPolicy:
        if len(self._logs) != 1 or self._quorum is None:
            raise InvalidInputError(
                "exactly one log line and one quorum line must stand here", where="log.policy"
            )
        if len({key.public for key in self._witnesses.values()}) != len(self._witnesses):
            raise InvalidInputError("one witness key stands twice", where="log.policy")
        return LogPolicy(
            log=self._logs[0], witnesses=self._witnesses, groups=self._groups, quorum=self._quorum
        )

    def _group(self, name: str, count: str, members: list[str], where: str) -> None:
        for member in members:
            self._known(member, where)
            if member in self._used:
                raise InvalidInputError(f"{member} is a member twice", where=where)
            self._used.add(member)
        number = {"any": 1, "all": len(members)}.get(count, int(count) if _SIZE.fullmatch(count) else 0)
        if not 1 <= number <= len(members):
            raise InvalidInputError(f"a group of {len(members)} cannot need {count!r:.20}", where=where)
        self._define(name, where)
        self._groups[name] = Group(count=number, members=tuple(members))

    def _define(self, name: str, where: str) -> None:
        if name == _NONE or name in self._witnesses or name in self._groups:
            raise InvalidInputError(f"{name!r:.80} is defined already", where=where)

    def _known(self, name: str, where: str) -> None:
        if name not in self._witnesses and name not in self._groups:
            raise InvalidInputError(f"{name!r:.80} is not defined on a line before", where=where)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """The auditor's own knowledge.

    `kept` is a checkpoint that they kept of this log, `kept_note` the same with its signatures, `later` one of a later
    period (opened when handovers lead there), `tsa` the roots of time stamp authorities, `revoked` how many leaves a
    revoked key (vkey) still counts for, `versions` policy versions that they know: by log, leaf hashes by index.
    """

    policy: LogPolicy
    genesis: Digest
    kept: Checkpoint | None = None
    kept_note: SignedCheckpoint | None = None
    tsa: bytes | None = None
    revoked: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, Mapping[int, Digest]] = field(default_factory=dict)
    later: bytes | None = None
    used: bool = False

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "Trust":
        """Read a TRUST folder's files by name; raise `InvalidInputError` for what is missing or wrong."""
        for name in ("log.policy", "genesis"):
            if name not in files:
                raise InvalidInputError(
                    f"TRUST has no {name}", do="It needs log.policy and genesis; see VERIFY.md."
                )
        if strange := sorted(files.keys() - set(FILES)):
            raise InvalidInputError(f"TRUST holds {strange[0]!r:.60}", do=f"Known files: {', '.join(FILES)}.")
        if large := [name for name, data in files.items() if len(data) > _MAX_FILE]:
            raise InvalidInputError(f"TRUST's {large[0]} is larger than {_MAX_FILE} bytes")
        policy = LogPolicy.parse(_text(files, "log.policy"))
        note = files.get("checkpoint")
        later = note if note is not None and _is_later(policy, note) else None
        kept = _kept(policy, note) if note is not None and later is None else None
        return cls(
            policy=policy,
            genesis=parse_digest(_text(files, "genesis").removesuffix("\n")),
            kept=kept.checkpoint if kept else None,
            kept_note=kept,
            tsa=files.get("tsa.pem"),
            revoked=_revoked(_text(files, "revoked")) if "revoked" in files else {},
            versions=_versions(_text(files, "versions")) if "versions" in files else {},
            later=later,
        )

    def head(self, note: bytes, *, where: str) -> SignedCheckpoint:
        """Read the log's head; raise `EvidenceInvalidError` where TRUST's log, or its quorum, has not signed it.

        Raise `RevokedKeyError` where the key counts for fewer leaves.
        """
        signed = self.policy.open(note, where=where)
        self.check_counts(signed.checkpoint.size, where=where)
        return signed

    def check_counts(self, size: int, *, where: str) -> None:
        """Raise `RevokedKeyError` where the log's key was revoked, and counts for fewer leaves than `size`."""
        last = self.revoked.get(self.policy.log.vkey)
        if last is not None and size > last:
            raise RevokedKeyError(
                f"TRUST says that this key counts for {last} leaves at most; it signed {size}", where=where
            )

    def kept_of(self, origin: str) -> Checkpoint | None:
        """Return the kept checkpoint where it is of log `origin`."""
        return self.kept if self.kept and self.kept.origin == origin else None

    def after(self, vkey: str, genesis: Digest) -> "Trust":
        """Return what the auditor knows of the next log, once its handover has been judged."""
        policy = replace(self.policy, log=NoteVerifier.parse(vkey))
        mine = self.later is not None and _origin(self.later) == policy.log.name
        kept = _kept(policy, self.later) if mine and self.later is not None else None
        return replace(
            self,
            policy=policy,
            genesis=genesis,
            kept=kept.checkpoint if kept else None,
            kept_note=kept,
            later=None if mine else self.later,
            used=self.used or self.kept is not None,
        )

    @property
    def brought(self) -> tuple[str, ...]:
        """Names of the optional things that the auditor brought."""
        present = {
            "checkpoint": self.used or self.kept is not None,
            "tsa": self.tsa is not None,
            "witness": self.policy.witnessed,
        }
        return tuple(name for name, there in present.items() if there)


def _kept(policy: LogPolicy, note: bytes) -> SignedCheckpoint:
    try:
        return SignedCheckpoint.open(note, [policy.log], where="TRUST/checkpoint")
    except EvidenceInvalidError as error:
        what = f"the kept checkpoint is not of TRUST's log: {error.what}"
        raise InvalidInputError(what, where="TRUST/checkpoint") from error


def _origin(note: bytes) -> str:
    return note.partition(b"\n")[0].decode("utf-8", "replace")


def _is_later(policy: LogPolicy, note: bytes) -> bool:
    """Whether a kept note says that it is of another period of TRUST's log."""
    origin = _origin(note)
    return origin != policy.log.name and series(origin) == series(policy.log.name)


def _revoked(text: str) -> dict[str, int]:
    """Read `revoked`: on each line a verifier key and the size up to which it counts."""
    found: dict[str, int] = {}
    for where, words in _lines(text, "revoked"):
        if len(words) != 2 or not _SIZE.fullmatch(words[1]) or words[0] in found:  # noqa: PLR2004 - key and size
            raise InvalidInputError("not a line VKEY SIZE, or one key twice", where=where)
        found[_key(words[0], _NOTE, where).vkey] = int(words[1])
    return found


def _versions(text: str) -> dict[str, dict[int, Digest]]:
    """Read `versions`: on each line a log's name, the index of a policy version's leaf, and that leaf's hash."""
    found: dict[str, dict[int, Digest]] = {}
    for where, words in _lines(text, "versions"):
        if len(words) != 3 or not _SIZE.fullmatch(words[1]):  # noqa: PLR2004 - log, index and hash
            raise InvalidInputError("not a line LOG INDEX HASH", where=where)
        known, index = found.setdefault(words[0], {}), int(words[1])
        if index in known:
            raise InvalidInputError("one leaf stands twice", where=where)
        known[index] = parse_digest(words[2])
    return found


def _lines(text: str, name: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the place and the words of each line that is neither empty nor a comment."""
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        if words and not words[0].startswith("#"):
            yield f"TRUST/{name}:{number}", words


def _key(vkey: str, algorithm: int, where: str) -> NoteVerifier:
    key = NoteVerifier.parse(vkey)
    if key.algorithm != algorithm:
        raise InvalidInputError(
            f"a key of type {key.algorithm:02x} where {algorithm:02x} is needed", where=where
        )
    return key


def _text(files: Mapping[str, bytes], name: str) -> str:
    try:
        return files[name].decode()
    except UnicodeDecodeError as error:
        raise InvalidInputError("not UTF-8 text", where=f"TRUST/{name}") from error
