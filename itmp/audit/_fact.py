"""What the log wants to know of a leaf to go on: no full parse, which is the verifier's.

Rules kept here: a leaf from which id, type, time and chain cannot be read is refused.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from itmp.errors import EvidenceInvalidError

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\Z", re.ASCII)


class Fact(NamedTuple):
    """What is read of an event."""

    id: str
    type: str
    t: str
    change: str
    cseq: int | None
    cprev: str
    data: Mapping[str, Any] | None


def read_fact(leaf: bytes, index: int) -> Fact:
    """Read the facts of leaf `index`."""
    try:
        value = json.loads(leaf)
        known = value.get
        fact = Fact(
            value["id"],
            value["type"],
            value["t"],
            known("change", ""),
            known("cseq"),
            known("cprev", ""),
            known("data"),
        )
        datetime.fromisoformat(fact.t)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EvidenceInvalidError("a leaf that is no event", where=f"leaf {index}") from error
    if not (isinstance(fact.id, str) and isinstance(fact.type, str) and isinstance(fact.change, str)):
        raise EvidenceInvalidError("an event whose id, type or change is no text", where=f"leaf {index}")
    if not _TIME.match(fact.t) or not isinstance(fact.data, dict | None):
        raise EvidenceInvalidError("an event whose time or data is in another form", where=f"leaf {index}")
    return fact
