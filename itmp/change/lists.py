"""Hosts and states that an event names: written out in it or, when too long for a leaf, in a blob by its digest.

Rules kept here: a blob's bytes must be those of its digest, and what is read must be of the shape that is asked for;
otherwise `EvidenceInvalidError` says what was not there.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from itmp import canonical
from itmp.canonical import Digest
from itmp.errors import EvidenceInvalidError

Blob: TypeAlias = Callable[[Digest], bytes]


def states_in(data: Mapping[str, Any], name: str, blob: Blob | None) -> Mapping[str, str]:
    """Return the states that an event's data carry as `name`."""
    states = _read(data, name, blob)
    if not isinstance(states, dict) or not all(isinstance(state, str) for state in states.values()):
        raise EvidenceInvalidError(f"no states of {name} that could be read")
    return states


def list_in(data: Mapping[str, Any], name: str, blob: Blob | None) -> list[str]:
    """Return the list of texts that an event's data carry as `name`."""
    value = _read(data, name, blob)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise EvidenceInvalidError(f"no list of {name} that could be read")
    return value


def carries(data: Mapping[str, Any], name: str) -> bool:
    """Whether an event's data carry `name`, written out or by digest."""
    return any(key in data for key in (name, f"{name}_digest", f"{name}_blob"))


def _read(data: Mapping[str, Any], name: str, blob: Blob | None) -> Any:
    if name in data:
        return data[name]
    found = canonical.parse_digest(data.get(f"{name}_blob") or data.get(f"{name}_digest") or "")
    if blob is None:
        raise EvidenceInvalidError(f"its {name} stand in blob {found}, which is not at hand")
    content = blob(found)
    if canonical.digest(content) != found:
        raise EvidenceInvalidError(f"blob {found} holds other bytes")
    return canonical.loads(content)
