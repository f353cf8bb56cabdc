"""CloudEvents 1.0 (https://github.com/cloudevents/spec), structured JSON: one leaf is one event.

`source` and `id` together are unique, as the specification asks: the log's origin and the leaf's index. Two extension
attributes lead back: `leafindex` and `leafhash`.
"""

from collections.abc import Mapping
from typing import Any, Final

from itmp.audit import Leaf
from itmp.export.quoting import quote

_PREFIX: Final = "dev.itmp."


def cloudevent(origin: str, leaf: Leaf, event: Mapping[str, Any], text: str) -> str:
    """Return the record of a leaf."""
    about = event.get("change") or event.get("plan")
    subject = f',"subject":{quote(about)}' if about else ""
    time = f',"time":{quote(event["t"])}' if "t" in event else ""
    return (
        f'{{"data":{text},"datacontenttype":"application/json","id":"{leaf.index}"'
        f',"leafhash":"{leaf.hash}","leafindex":{leaf.index},"source":{quote("itmp://" + origin)}'
        f',"specversion":"1.0"{subject}{time},"type":{quote(_PREFIX + str(event["type"]))}}}'
    )
