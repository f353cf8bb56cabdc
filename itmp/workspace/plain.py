"""Reading small texts that people and other machines leave in files: keys, statements, signatures.

Rules kept here: such a file is hostile; whatever it holds, and whether it can be read at all, is said of it by its
place and never an error of ours.
"""

import json
from pathlib import Path

from itmp.errors import InvalidInputError, NotFoundError
from itmp.signing import Signed

_TEXT = "Give the text as it was written, or make it anew."


def plain(data: bytes, path: Path, *, do: str = _TEXT) -> str:
    """Return `data` of the file at `path` as text; `InvalidInputError` when it is none."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidInputError("not UTF-8 text", where=str(path), do=do) from error


def read_given(path: Path, *, do: str = _TEXT) -> bytes:
    """Return what the file at `path` holds; `NotFoundError` when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFoundError(f"cannot be read: {error.strerror}", where=str(path), do=do) from error


def read_plain(path: Path, *, do: str = _TEXT) -> str:
    """Return the text of the file at `path`."""
    return plain(read_given(path, do=do), path, do=do)


def read_statements(data: bytes, path: Path) -> list[Signed]:
    """Return the signed statements kept as JSON at `path`; `InvalidInputError` when it holds anything else."""
    try:
        return [Signed.from_data(item) for item in json.loads(data)]
    except (ValueError, TypeError, AttributeError, RecursionError, InvalidInputError) as error:
        raise InvalidInputError(
            "the statements that were kept here cannot be read",
            where=str(path),
            do="Move this file away, and sign again.",
        ) from error
