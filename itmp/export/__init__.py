"""Export: a leaf of the log in the words of other systems, and where such records are sent.

Where to look: `formats` (which there are, and how to get the leaf back), `cloudevents`, `ocsf`, `ecs` (one mapping
each), `quoting` (how a value stands in a record), `sink` (the door).
"""

from itmp.export.formats import FORMATS, INDEX, leaf_of, record
from itmp.export.sink import Sink, SinkError

__all__ = ["FORMATS", "INDEX", "Sink", "SinkError", "leaf_of", "record"]
