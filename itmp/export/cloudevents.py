"""CloudEvents 1.0 (https://github.com/cloudevents/spec), structured JSON: one leaf is one event.

`source` and `id` together are unique, as the specification asks: the log's origin and the leaf's index. Two extension
attributes lead back: `leafindex` and `leafhash`.
"""

from collections.abc import Mapping
from typing import Any, Final

from itmp.audit import Leaf

_PREFIX: Final = "dev.itmp."


def cloudevent(origin: str, leaf: Leaf, event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of a leaf."""
    subject = event.get("change") or event.get("plan")
    return {
        "specversion": "1.0",
        "id": str(leaf.index),
        "source": f"itmp://{origin}",
        "type": _PREFIX + str(event["type"]),
        "datacontenttype": "application/json",
        **({"time": event["t"]} if "t" in event else {}),
        **({"subject": subject} if subject else {}),
        "leafindex": leaf.index,
        "leafhash": leaf.hash,
        "data": event,
    }
