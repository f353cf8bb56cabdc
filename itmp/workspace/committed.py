"""The contents that leaves of this workspace's periods commit to, and which went or were opened without a right.

Rules kept here: contents are read from raw leaves, of every period that is here; what a content needs to go is read
from its own plan's bytes, and a plan that is not at hand counts as the strictest.
"""

from collections.abc import Callable, Iterator
from functools import partial

from itmp.adapters.posix_log.periods import names
from itmp.canonical import Digest, parse_digest
from itmp.change import PolicyHistory
from itmp.errors import Error
from itmp.inquiry import Content, contents
from itmp.inquiry.contents import Plans
from itmp.inquiry.openings import Opening, telling
from itmp.plan import Manifest, Plan
from itmp.workspace import packing, periods
from itmp.workspace.place import Workspace
from itmp.workspace.reading import read_blob


def committed(place: Workspace) -> tuple[Content, ...]:
    """Return every content that leaves commit to: the private store is one for all periods."""
    return _judged(place)[0]


def _judged(place: Workspace) -> tuple[tuple[Content, ...], tuple[tuple[PolicyHistory, Opening], ...]]:
    """Return every content, and each opening without a right with its log's history, in one pass over all leaves."""
    found: tuple[Content, ...] = ()
    opened, manifests = list[tuple[PolicyHistory, Opening]](), plans(place)

    def note(history: PolicyHistory, one: Opening) -> None:
        if one.unfounded:
            opened.append((history, one))

    for history, leaves in packing.trails(place):
        found = contents(telling(leaves, history, partial(note, history)), history, manifests, found)
    return found, tuple(opened)


def plans(place: Workspace) -> Plans:
    """Return what finds a manifest by its digest, in whichever period that is here."""
    known: dict[str, Manifest | None] = {"": None}

    def manifest(digest: str) -> Manifest | None:
        if digest not in known:
            found = (_read(blob, digest) for blob in _blobs(place))
            known[digest] = next((one for one in found if one is not None), None)
        return known[digest]

    return manifest


def unfounded(
    place: Workspace,
) -> tuple[tuple[Content, ...], tuple[tuple[PolicyHistory, Opening], ...]]:
    """Return the contents that were destroyed without a right, and the openings whose statement does not count.

    Each opening comes with its log's history.
    """
    found, opened = _judged(place)
    return tuple(item for item in found if item.redaction is not None and item.redaction.unfounded), opened


def _read(blob: Callable[[Digest], bytes], digest: str) -> Manifest | None:
    try:
        return Plan.from_bytes(blob(parse_digest(digest)), blob).manifest
    except Error:
        return None


def _blobs(place: Workspace) -> Iterator[Callable[[Digest], bytes]]:
    yield place.log.blob
    for name in names(place.state):
        yield periods.of_period(place, name).log.blob
    for name in periods.older(place):
        packed = packing.reader(place, name)
        if packed is not None:
            yield partial(read_blob, packed)
