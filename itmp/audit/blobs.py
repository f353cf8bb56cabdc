"""Content that leaves name by its digest: where it lies below the log's folder, and whether it is what its name says.

Rules kept here: what is read is of its name or an error; what is there already is not written again; a blob has a
limit, which writers and readers keep alike.
"""

from typing import Final

from itmp import canonical
from itmp.audit.doors import Files
from itmp.canonical import Digest
from itmp.errors import EvidenceInvalidError

MAX_BLOB: Final = 256 * 1024 * 1024


def blob_path(name: Digest) -> str:
    """Return a blob's path below the log's folder."""
    plain = name.removeprefix("sha256:")
    return f"blobs/sha256/{plain[:2]}/{plain}"


def stored(files: Files, name: Digest) -> bytes | None:
    """Return content by its digest, verified; None when absent."""
    data = files.get(blob_path(name), MAX_BLOB)
    if data is not None and canonical.digest(data) != name:
        raise EvidenceInvalidError("a blob's content is not that of its name", where=name)
    return data


def store(files: Files, data: bytes) -> Digest:
    """Durably place content where it is not yet; return its digest."""
    name = canonical.digest(data)
    if stored(files, name) is None:
        files.put(blob_path(name), data)
    return name
