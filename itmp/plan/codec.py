"""Manifest to canonical JSON and back.

Rules kept here: a manifest has exactly one encoding; `decode` accepts only bytes that `encode` would have
written and that make sense (`checks.refuse`), so unknown keys, other spellings and dangling references never
get in. Every field stands in it, but for one marked `OMITTED` that has its default: plans of before it stay readable.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache, lru_cache
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from itmp import canonical
from itmp.documents.text import visible
from itmp.errors import InvalidInputError
from itmp.plan.checks import refuse
from itmp.plan.model import OMITTED, SCHEMA, Manifest

MAX_MANIFEST: Final = 64 * 1024 * 1024
"""Bytes. Ten thousand hosts in four steps take about 5 MB."""
_RECENT: Final = 4
"""Manifests that are remembered as read, by all their bytes: whoever judges a change reads its plan several times."""
_SMALL: Final = 1024 * 1024
"""Bytes of the longest that is; four of them take some 40 MB."""


def encode(manifest: Manifest) -> bytes:
    """Return the manifest's bytes; raise `InvalidInputError` when it makes no sense as a plan."""
    refuse(manifest)
    data = canonical.dumps(plain(manifest))
    if len(data) > MAX_MANIFEST:
        raise InvalidInputError(
            f"a manifest of {len(data)} bytes; the limit is {MAX_MANIFEST}", do="Plan fewer hosts."
        )
    return data


def decode(data: bytes) -> Manifest:
    """Read a manifest; raise `InvalidInputError` for anything that `encode` would not have written."""
    if len(data) > MAX_MANIFEST:
        raise InvalidInputError(f"a manifest of {len(data)} bytes; the limit is {MAX_MANIFEST}")
    return _remembered(data) if len(data) <= _SMALL else _decode(data)


def _decode(data: bytes) -> Manifest:
    value = canonical.loads(data)
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise InvalidInputError(
            f"not a manifest of {SCHEMA}", do="Compile the document again with this version."
        )
    try:
        manifest = _adapter().validate_json(data, strict=True)
    except ValidationError as error:
        raise InvalidInputError(f"not a valid manifest: {_first(error)}") from None
    again = plain(manifest)
    if again != value:
        raise InvalidInputError(f"not a valid manifest: {visible(_difference(again, value, '$'))[:200]}")
    refuse(manifest)
    return manifest


_remembered: Final = lru_cache(_RECENT)(_decode)


@cache
def _adapter() -> TypeAdapter[Manifest]:
    return TypeAdapter(Manifest)


@cache
def _names(kind: type[Any]) -> tuple[tuple[str, Any], ...]:
    """Return each field's name, and the value with which it is left out (for most: none has it)."""
    return tuple(
        (field.name, field.default if field.metadata == OMITTED else MISSING) for field in fields(kind)
    )


def plain(value: Any) -> Any:
    """Return the JSON value behind frozen values, tuples as lists."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        found = ((name, getattr(value, name), left_out) for name, left_out in _names(type(value)))
        return {name: plain(item) for name, item, left_out in found if item != left_out}
    raise InvalidInputError(f"a {type(value).__name__} cannot stand in a plan")


def _first(error: ValidationError) -> str:
    one = error.errors(include_url=False, include_input=False)[0]
    return visible(f"{'.'.join(str(part) for part in one['loc'])[:160]}: {one['msg']}")


def _difference(ours: Any, given: Any, path: str) -> str:
    """Return where two JSON values first differ."""
    if isinstance(ours, dict) and isinstance(given, dict):
        extra = sorted(given.keys() - ours.keys())
        missing = sorted(ours.keys() - given.keys())
        if extra or missing:
            return f"{path}: keys unknown {extra[:3]}, missing {missing[:3]}"
        return next(
            _difference(ours[k], given[k], f"{path}.{k}") for k in sorted(ours) if ours[k] != given[k]
        )
    if isinstance(ours, list) and isinstance(given, list) and len(ours) == len(given):
        pairs = zip(ours, given, strict=True)
        return next(_difference(a, b, f"{path}[{i}]") for i, (a, b) in enumerate(pairs) if a != b)
    return f"{path}: another form of its value"
