"""The provider's package schema, as the engine and `pulumi package get-schema` ask for it."""

import json
from typing import Any, Final

from itmp.adapters.pulumi.kinds import KINDS, Kind

VERSION: Final = "0.1.0"

_WHOLE: Final = {"type": "integer"}
_TEXT: Final = {"type": "string"}
_RANGE: Final = {"type": "object", "additionalProperties": {"type": "integer"}}


def _resource(kind: Kind) -> dict[str, Any]:
    properties = dict.fromkeys((*kind.identity, "arn"), _TEXT) | {
        kind.target: _WHOLE,
        "expected": _RANGE,
        "allow_zero": {"type": "boolean"},
    }
    required = [*kind.identity, "arn", kind.target, "expected"]
    return {
        "properties": properties,
        "inputProperties": properties,
        "required": required,
        "requiredInputs": required,
    }


SCHEMA: Final = json.dumps(
    {
        "name": "itmp",
        "version": VERSION,
        "resources": {name: _resource(kind) for name, kind in KINDS.items()},
    },
    sort_keys=True,
)

__all__ = ["SCHEMA", "VERSION"]
