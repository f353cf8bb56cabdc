"""How a value stands in a record.

Rule kept here: whatever the value, its text is one JSON value in printable ASCII, its objects' keys in order, so that
it can stand in a text made by hand and neither ends it nor adds to it.
"""

import json
from typing import Final

quote: Final = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), sort_keys=True).encode
"""Return the JSON of a value; quick for text, which most values are."""
