"""Inputs of a document: their declaration, the values given for them, and `${inputs.x}`.

Rules kept here: a value that is exactly one reference keeps the input's type; a given value is data, so it
may hold no template that a later stage would run; a secret is never an input, since inputs stand in the plan.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from itmp.canonical import MAX_INT
from itmp.documents.problems import DocumentError, Problem, did_you_mean
from itmp.documents.scalars import REFERENCE, parse_seconds
from itmp.documents.text import hidden

InputName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]

_ANY: Final = re.compile(r"\$?\$\{([a-z][a-z_]*)\.([^}]*)\}")
_TEMPLATE: Final = re.compile(r"\{\{|\{%|\{#|\$\{")
_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,15})")
_MAX_TEXT: Final = 4096


def _expression(text: str) -> str:
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError):
        message = "not a regular expression"
        raise PydanticCustomError("pattern", message) from None
    return text


class InputSpec(BaseModel):
    """One input: its type, default and limits. Without a default a value must be given."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    type: Literal["string", "integer", "boolean", "duration"]
    default: str | int | bool | None = None
    description: str = ""
    minimum: int | None = None
    maximum: int | None = None
    choices: Annotated[tuple[str | int, ...], Field(min_length=1)] | None = None
    pattern: Annotated[str, AfterValidator(_expression), Field(max_length=200)] | None = None

    def problem(self, value: Any) -> str:
        """Return why `value` does not fit this input, or an empty text."""
        return _type_problem(self, value) or _limit_problem(self, value)


def resolve_inputs(spec: Mapping[str, InputSpec], given: Mapping[str, str]) -> Mapping[str, Any]:
    """Return every input's value, sorted by name; raise `DocumentError` naming each wrong or missing one.

    `given` maps names to text as written on the command line (`--set name=text`).
    """
    problems = [
        _given(name, f"there is no input {name!r:.60}", did_you_mean(name, spec) or _known(spec))
        for name in given.keys() - spec.keys()
    ]
    values: dict[str, Any] = {}
    for name, one in sorted(spec.items()):
        value = _read(one, given[name]) if name in given else one.default
        asks = f": {one.description}" if one.description else ""
        why = f"a value is missing{asks}" if value is None else one.problem(value)
        if why:
            problems.append(_given(name, why, f"give it with --set {name}=…"))
        values[name] = value
    if problems:
        raise DocumentError(problems)
    return values


def interpolate(value: Any, inputs: Mapping[str, Any]) -> Any:
    """Return `value` with each `${inputs.x}` in its texts replaced; `$${` stands for a literal `${`.

    References to unknown inputs and to other namespaces are left alone: `references` finds them beforehand.
    """
    if isinstance(value, Mapping):
        return {key: interpolate(item, inputs) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [interpolate(item, inputs) for item in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    whole = REFERENCE.fullmatch(value)
    if whole and whole[1] in inputs:
        return inputs[whole[1]]
    return replace(
        value, lambda space, name: _text(inputs[name]) if space == "inputs" and name in inputs else None
    )


def replace(text: str, lookup: Callable[[str, str], str | None]) -> str:
    """Return `text` with each `${space.name}` replaced by `lookup(space, name)`; `None` keeps it."""

    def one(found: re.Match[str]) -> str:
        if found[0].startswith("$$"):
            return found[0] if found[1] not in {"inputs", "host"} else found[0][1:]
        new = lookup(found[1], found[2])
        return found[0] if new is None else new

    return _ANY.sub(one, text)


def references(
    value: Any, loc: tuple[int | str, ...] = ()
) -> Iterator[tuple[tuple[int | str, ...], str, str]]:
    """Yield (place, namespace, name) of each `${namespace.name}` in the texts of `value`."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from references(item, (*loc, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from references(item, (*loc, index))
    elif isinstance(value, str) and "${" in value:
        for found in _ANY.finditer(value):
            if not found[0].startswith("$$"):
                yield loc, found[1], found[2]


def _known(spec: Mapping[str, Any]) -> str:
    return f"inputs of this document: {', '.join(sorted(spec)) or 'none'}"


def _given(name: str, message: str, suggestion: str) -> Problem:
    return Problem(path=f"input {name:.60}", line=0, column=0, message=message, suggestion=suggestion)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read(spec: InputSpec, text: str) -> Any:
    if spec.type == "integer" and _INTEGER.fullmatch(text):
        return int(text)
    if spec.type == "boolean" and text in {"true", "false"}:
        return text == "true"
    return text


def _type_problem(spec: InputSpec, value: Any) -> str:  # noqa: PLR0911  # a flat list of refusals reads best
    match spec.type:
        case "integer" if not isinstance(value, int) or isinstance(value, bool):
            return "not a whole number"
        case "boolean" if not isinstance(value, bool):
            return "not true or false"
        case "duration" | "string" if not isinstance(value, str):
            return "not text; quote it"
        case "duration" if not _is_duration(value):
            return "not a duration such as 30s, 15m, 4h or 7d"
        case "string" if len(value) > _MAX_TEXT:
            return f"longer than {_MAX_TEXT} characters"
        case "string" if hidden(value) is not None:
            return "it holds a control or invisible character"
        case "string" if _TEMPLATE.search(value):
            return "it holds a template ({{, {%, {# or ${): an input is data"
    return ""


def _is_duration(value: str) -> bool:
    try:
        parse_seconds(value)
    except ValueError:
        return False
    return True


def _limit_problem(spec: InputSpec, value: Any) -> str:
    if spec.choices is not None and value not in spec.choices:
        return "not one of: " + ", ".join(map(str, spec.choices))
    if spec.pattern is not None and isinstance(value, str) and not re.fullmatch(spec.pattern, value):
        return f"it does not match {spec.pattern!r:.120}"
    if spec.type == "integer":
        low = -MAX_INT if spec.minimum is None else spec.minimum
        high = MAX_INT if spec.maximum is None else spec.maximum
        if not low <= value <= high:
            return f"not within {low}..{high}"
    return ""
