"""The verb that hands the trail to other systems: export.

Rules kept here: leaves go out in the log's order and whole; an export that broke goes on behind the last record that
was taken, so a receiver may get some twice and misses none; only published leaves leave, so that every record can be
proved; each export is itself an event of the log.
"""

import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from itmp.adapters import sinks
from itmp.adapters.clock import new_id
from itmp.adapters.secrets import resolve
from itmp.audit import Event, Leaf
from itmp.canonical import digest
from itmp.errors import InvalidInputError
from itmp.export import FORMATS, INDEX, Sink, leaf_of, record
from itmp.workspace.place import EXECUTOR, Workspace
from itmp.workspace.planning import write_file

BATCH: Final = 500
"""Records handed over at once: what an export that is killed may send twice."""
STREAM: Final = "-"
_BATCHED: Final = {"cloudevents": "application/cloudevents-batch+json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """Leaves [start, end) went to `target` in `format`."""

    format: str
    target: str
    start: int
    end: int


def audit_export(
    place: Workspace, *, form: str, target: str = STREAM, start: int | None = None, token: str = ""
) -> Exported:
    """Send every published leaf from `start` on to `target`; without `start`, from where the last export ended.

    `target` is `-` (standard output), a file, `tcp://` or `tls://HOST:PORT` (syslog) or `https://…`; `token` is a
    secret reference of its bearer token.
    """
    if form not in FORMATS:
        raise InvalidInputError(f"no export format {form!r:.40}", do=f"Use one of {', '.join(FORMATS)}.")
    end = place.log.checkpoint().checkpoint.size
    sink = _sink(place, form, target, token)
    begin = reached = 0
    try:
        cursor = _Cursor(place, form, target, sink)
        begin = reached = cursor.next if start is None else start
        if not 0 <= begin <= end:
            raise InvalidInputError(
                f"the log has {end} published leaves", do=f"Choose --from-index 0 to {end}."
            )
        for batch in _batches(place.log.leaves(begin, end)):
            sink.send([record(form, place.log.origin, leaf) for leaf in batch])
            reached = batch[-1].index + 1
            cursor.keep(reached)
    finally:
        sink.close()
        if reached > begin:
            _note(place, form, target, begin, reached)
    return Exported(format=form, target=target, start=begin, end=reached)


def _batches(leaves: Iterator[Leaf]) -> Iterator[Sequence[Leaf]]:
    while batch := list(itertools.islice(leaves, BATCH)):
        yield batch


def _sink(place: Workspace, form: str, target: str, token: str) -> Sink:
    scheme = target.partition("://")[0] if "://" in target else ""
    if target == STREAM:
        return sinks.StreamSink(sys.stdout.buffer)
    if scheme in {"tcp", "tls"}:
        return sinks.SyslogSink(target, host=place.log.origin.partition("/")[0])
    if scheme:
        content = _BATCHED.get(form, "application/x-ndjson")
        return sinks.HttpsSink(target, content=content, token=resolve(token) if token else "")
    return sinks.FileSink(Path(target))


class _Cursor:
    """Where the next export to a target begins: behind a file's own last record, else what was written down."""

    def __init__(self, place: Workspace, form: str, target: str, sink: Sink) -> None:
        name = digest(f"{form}\0{target}\0{place.log.origin}".encode()).removeprefix("sha256:")[:32]
        self._path = place.state / "exports" / f"{name}.json"
        self._fields = {"format": form, "target": target}
        self._kept = "://" in target
        self.next = self._read() if self._kept else self._behind(place, form, target, sink)

    def keep(self, index: int) -> None:
        """Write down that everything before `index` was taken; a file says so itself."""
        if self._kept:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_file(self._path, json.dumps({**self._fields, "next": index}).encode())

    def _read(self) -> int:
        try:
            kept = json.loads(self._path.read_bytes())["next"]
        except (OSError, ValueError, KeyError, TypeError):
            return 0
        return kept if type(kept) is int and kept >= 0 else 0

    @staticmethod
    def _behind(place: Workspace, form: str, target: str, sink: Sink) -> int:
        last = getattr(sink, "last", b"")
        if not last:
            return 0
        index = sinks.last_index(last, INDEX[form])
        if index is None:
            raise InvalidInputError(
                f"its last line is no {form} record", where=target, do="Export to another file."
            )
        if index >= place.log.size() or leaf_of(form, last) != place.log.leaf(index).data:
            raise InvalidInputError(
                "its last record is of another log, or of another period of this one",
                where=target,
                do="Export each period to a file of its own: itmp audit export --period NAME.",
            )
        return index + 1


def _note(place: Workspace, form: str, target: str, start: int, end: int) -> None:
    # Of a receiver its address alone: many carry their token in the path, and a leaf is for ever.
    shown = "://".join(urlsplit(target)[:2]) if "://" in target else Path(target).name
    event = Event(
        id=new_id(),
        type="log.exported",
        actor=dict(EXECUTOR),
        data={"format": form, "target": shown[:300], "from": start, "to": end},
    )
    now = Workspace(root=place.root, config=place.config) if place.period else place
    now.log.append(event)
    now.log.checkpoint()
