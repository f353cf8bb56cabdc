"""A journal, or a head record, that was unlinked: when it is given back, made again, or missed.

Rules kept here:
1. A name that is gone is given back by the file's spare name: then nothing is lost.
2. A segment with no name left is made again from the published leaves only where it can have held no others: one that a
   later segment follows, when that begins within them; the newest, when the marks of this boot say that a writer saw
   exactly so many leaves and that nobody wrote more.
3. Anywhere else every opening is refused, until the file is put back: leaves that somebody was given a receipt for may
   have been in it alone.
4. What is made again stands for the newest segment only after a cut of nothing, which the log will record.
5. The head record is made again from the newest signed head only where the marks of this boot vouch for the journal, so
   that every leaf is there that any head was decided for.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

from itmp.adapters.posix_log import durable, frames, spare
from itmp.adapters.posix_log.cuts import Cuts
from itmp.adapters.posix_log.files import segments
from itmp.adapters.posix_log.heads import SqliteHeads
from itmp.adapters.posix_log.marks import Marks
from itmp.audit import Cut, Files, Head
from itmp.audit.checkpoint import MAX_NOTE, Checkpoint
from itmp.audit.merkle import Tree, leaf_hash
from itmp.audit.published import bundled
from itmp.errors import EvidenceInvalidError, LogUnavailableError

Rebuild: TypeAlias = Callable[[Path, int, int], None]
"""Writes, durably, the segment that holds the published leaves [start, end)."""

_PUT_BACK: Final = (
    "Put back the newest copy of the file; itmp audit restore COPY --check says what a copy holds."
    " What is published is not lost."
)


def mend(
    state: Path, marks: Marks, *, boot: str, signed: Callable[[], int], rebuild: Rebuild, cuts: Cuts
) -> bool:
    """Give back and make again what can be; whether the newest segment was made again. The caller holds all locks."""
    for _, path in segments(state):
        spare.settle(state / path.name)
    starts = [start for start, _ in segments(state)]
    if starts and starts[0] != 0:
        check_published(state, starts[0], signed())
        rebuild(state / "journal.0", 0, starts[0])
        spare.keep(state / "journal.0")
    newest = marks.start_in(boot)
    if starts and newest <= starts[-1]:
        return False
    start = newest if starts else 0
    target, end = state / f"journal.{start}", signed()
    check_all_published(target, marks, boot, end)
    cuts.keep(Cut(data=b"", size=end))
    rebuild(target, start, end)
    spare.keep(target)
    return True


def check_published(state: Path, start: int, published: int) -> None:
    """Rule 2 for what stands before the first segment."""
    if published < start:
        raise LogUnavailableError(
            f"the journal is gone, and leaves {published} to {start - 1} with it, which were not published",
            where=str(state / "journal.0"),
            do=_PUT_BACK,
        )


def check_all_published(target: Path, marks: Marks, boot: str, published: int) -> None:
    """Rule 2 for the newest segment."""
    told = marks.told(boot)
    if told > published:
        lost = f"leaves {published} to {told - 1} were written to it and are not published"
    elif marks.written_in(boot) != published:
        lost = f"leaves from {published} on may have been in it alone"
    else:
        return
    raise LogUnavailableError(f"the journal is gone: {lost}", where=str(target), do=_PUT_BACK)


def rebuild(files: Files, head: Head, target: Path, start: int, end: int, *, temporary: Path) -> None:
    """Write the published leaves [start, end) as a journal segment; `head` is the record that they must give."""
    tree = Tree()
    with durable.unavailable("made again", target):
        try:
            with temporary.open("xb") as file:
                for index, leaf in enumerate(_published(files, head, target)):
                    tree.extend([leaf_hash(leaf)])
                    if start <= index < end:
                        file.write(frames.encode(leaf))
                if tree.root() != head.root:
                    raise LogUnavailableError(
                        "the journal is gone, and the published leaves are not those of the head record",
                        where=str(target),
                        do=_PUT_BACK,
                    )
                file.flush()
                durable.sync_file(file.fileno())
            temporary.rename(target)
        finally:
            temporary.unlink(missing_ok=True)
        durable.sync_folder(target.parent)


def _published(files: Files, head: Head, target: Path) -> Iterator[bytes]:
    try:
        yield from bundled(files, head.size)
    except EvidenceInvalidError as error:
        raise LogUnavailableError(
            f"the journal is gone, and the published leaves cannot be read: {error.where}: {error.what}",
            where=str(target),
            do=_PUT_BACK,
        ) from error


def remake_record(heads: SqliteHeads, files: Files, proven: int) -> None:
    """Rule 5; nothing is done where the journal is not proven to hold the head, or another was first.

    The note is judged by whoever opens the log, as every head that is known.
    """
    head = proven_head(files, proven)
    if head is not None and heads.gone:
        heads.make_again(head)


def proven_head(files: Files, proven: int) -> Head | None:
    """Return the newest head of the history, unjudged, where the journal is `proven` to hold its leaves."""
    names = [name for name in files.names("history") if name[8:-5].isdecimal()]
    name = max(names, key=lambda one: int(one[8:-5]), default="")
    note = files.get(name, MAX_NOTE) if name else None
    if note is None:
        return None
    head = Checkpoint.said(note)
    known = Head(origin=head.origin, size=head.size, root=head.root, note=note)
    return known if head.size <= proven else None
