"""Writers for the formats whose readers have none beside them: what was read is written again and held against the input.

Rules kept here: none of these copies a part of the input that it has not taken apart; where a format allows several
spellings, what is written reads as the same value, and the one spelling that we write ourselves comes back as it came.
"""

import base64
import json
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from itmp.audit import Event, Leaf
from itmp.calendars import format_time, parse_time
from itmp.calendars.windows import Window
from itmp.evidence import LogPolicy, Trust
from itmp.export import leaf_of, record
from itmp.signing import PublicKey

_OURS = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"
_LINE = re.compile(r"— (\S+) (\S+)\n")


class Broken(AssertionError):  # noqa: N818 - what the oracle says, not an error of ours
    """A parser took bytes and its value does not give them back."""


def only(honest: Iterable[bytes], accept: Callable[[bytes], bool]) -> Callable[[bytes], bytes]:
    """What nobody without a key can make: whatever is accepted is one of the honest ones."""
    known = frozenset(honest)

    def back(data: bytes) -> bytes:
        if accept(data) and data not in known:
            raise Broken(f"accepted: {data!r}")
        return data

    return back


def time_of(text: str) -> str:
    """Write a time as we do; another spelling must mean the same second."""
    at, written = parse_time(text), format_time(parse_time(text))
    if parse_time(written) != _second(at):
        raise Broken(f"{text!r} is {at}, written as {written!r}")
    return written if re.fullmatch(_OURS, text) else text


def window_of(text: str) -> str:
    """Write a window as statements do; another spelling must mean the same seconds."""
    window = Window.parse(text)
    again = Window.parse(window.text)
    if (again.start, again.end) != (_second(window.start), _second(window.end)):
        raise Broken(f"{text!r} is written as {window.text!r}")
    return window.text if re.fullmatch(f"{_OURS} {_OURS}", text) else text


def _second(at: datetime) -> datetime:
    return at.replace(microsecond=0)


def log_policy_of(text: str) -> str:
    """Write a log policy: no line of it may be lost, and none may come twice."""
    policy = LogPolicy.parse(text)
    groups = (["group", name, str(group.count), *group.members] for name, group in policy.groups.items())
    keys = (["witness", name, key.vkey] for name, key in policy.witnesses.items())
    written = [["log", policy.log.vkey], *keys, *groups, ["quorum", policy.quorum]]
    lines = (line.replace("\t", " ").split(" ") for line in text.split("\n"))
    said = [_plain([word for word in line if word]) for line in lines]
    if sorted(line for line in said if line) != sorted(written):
        raise Broken(f"{text!r} is written as {written!r}")
    return text


def _plain(words: list[str]) -> list[str]:
    """Leave out a comment and the address, which says nothing about trust; write a count as a number."""
    match words:
        case [first, *_] if first.startswith("#"):
            return []
        case ["log", key, *_]:
            return ["log", key]
        case ["witness", name, key, *_]:
            return ["witness", name, key]
        case ["group", name, count, *members]:
            number = {"any": 1, "all": len(members)}.get(count) or int(count)
            return ["group", name, str(number), *members]
        case _:
            return words


def revoked_of(trust: Trust, data: bytes) -> bytes:
    """Write the keys that somebody brought as revoked."""
    lines = [line.split() for line in data.decode().split("\n")]
    said = [words for words in lines if words and not words[0].startswith("#")]
    if sorted(said) != sorted([key, str(size)] for key, size in trust.revoked.items()):
        raise Broken(repr(data))
    return data


def kept_of(trust: Trust, data: bytes) -> bytes:
    """Write a checkpoint that somebody kept: of this log, or to be opened once handovers lead to it."""
    if trust.later is not None:
        return trust.later
    if trust.kept_note is None or trust.kept is None:
        raise Broken(f"neither kept nor refused: {data!r}")
    if not data.startswith(trust.kept.to_text().encode() + b"\n"):
        raise Broken(f"{data!r} is taken for {trust.kept}")
    return trust.kept_note.note


def note_of(text: str, data: bytes) -> bytes:
    """Write a note: its text, an empty line, and every signature line from its name and bytes."""
    tail = data[len(text.encode()) :].decode()
    lines = [(name, base64.b64decode(value)) for name, value in _LINE.findall(tail)]
    written = "".join(f"— {name} {base64.b64encode(value).decode()}\n" for name, value in lines)
    return f"{text}\n{written}".encode()


def key_line_of(text: str) -> str:
    """Write a key's line from its type and bytes; behind it stands nothing, or a blank and a comment."""
    key = PublicKey.parse(text)
    written = f"{key.type} {base64.b64encode(key.blob).decode()}"
    comment = text.removesuffix("\n").partition(" ")[2].partition(" ")[1:]
    return written + "".join(comment) + "\n" * text.endswith("\n")


def exported(form: str, origin: str) -> Callable[[bytes], bytes]:
    """Make the oracle of a form of export: its event is the leaf that the record names, and is written as the same."""

    def back(line: bytes) -> bytes:
        leaf = Leaf(index=7, data=leaf_of(form, line))
        if Event.from_bytes(leaf.data).to_bytes() != leaf.data:
            raise Broken(repr(leaf.data))
        if leaf.hash not in _texts(json.loads(line)):
            raise Broken(f"{line!r} does not name {leaf.hash}")
        if leaf_of(form, record(form, origin, leaf)) != leaf.data:
            raise Broken(repr(leaf.data))
        return line

    return back


def _texts(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set().union(*map(_texts, value.values()))
    return {value} if isinstance(value, str) else set()
