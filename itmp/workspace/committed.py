"""The contents that leaves of this workspace's log commit to, and which of them went without a right.

Rules kept here: contents are read from raw leaves; what a content needs to go is read from its own plan's bytes, and a
plan that is not at hand counts as the strictest.
"""

from itmp.canonical import parse_digest
from itmp.errors import Error
from itmp.inquiry import Content, contents
from itmp.inquiry.contents import Plans
from itmp.plan import Manifest
from itmp.workspace.place import Workspace


def committed(place: Workspace) -> tuple[Content, ...]:
    """Return every content that leaves commit to."""
    return contents(place.log.leaves(), place.history(), plans(place))


def plans(place: Workspace) -> Plans:
    """Return what finds a manifest by its digest."""

    def manifest(digest: str) -> Manifest | None:
        try:
            return place.plan(parse_digest(digest)).manifest if digest else None
        except Error:
            return None

    return manifest


def unfounded(place: Workspace) -> tuple[Content, ...]:
    """Return the contents that the log says were destroyed, and that nothing gave the right to destroy."""
    return tuple(item for item in committed(place) if item.redaction is not None and item.redaction.unfounded)
