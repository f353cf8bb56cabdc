"""Values on the provider's wire: protobuf structs to plain data and back.

Rules kept here: numbers travel as doubles, so a whole double becomes an `int` again and any other stays a
`float` (which no knob accepts); a struct is never half translated.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.struct_pb2 import Struct, Value


def plain(struct: "Struct") -> dict[str, Any]:
    """Return a struct as plain data."""
    return {key: _plain(value) for key, value in struct.fields.items()}


def _plain(value: "Value") -> Any:
    match value.WhichOneof("kind"):
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return plain(value.struct_value)
        case "list_value":
            return [_plain(item) for item in value.list_value.values]
    return None


def struct(values: Mapping[str, Any]) -> "Struct":
    """Return plain data as a struct."""
    from google.protobuf.struct_pb2 import Struct  # noqa: PLC0415 -- protobuf is an extra

    made = Struct()
    made.update(dict(values))
    return made


__all__ = ["plain", "struct"]
