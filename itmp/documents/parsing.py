"""From bytes to a valid document, or to every problem that it has.

Rules kept here: the first key says which kind of document it is; a document is parsed once into frozen
values; the rooms that own the kinds hand in their models, since this room knows none of them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic.json_schema import SkipJsonSchema

from itmp.documents.inputs import interpolate
from itmp.documents.model import Document, Loc
from itmp.documents.problems import DocumentError, Problem, did_you_mean
from itmp.documents.reading import Node, load

D = TypeVar("D", bound=Document)
M = TypeVar("M", bound=BaseModel)
Registry = Mapping[str, type[Document]]

_MESSAGES: Final = {
    "missing": "the key {key!r} is missing",
    "string_type": "text expected; quote it",
    "int_type": "a whole number expected",
    "bool_type": "true or false expected",
    "model_type": "a mapping of keys and values expected",
    "dict_type": "a mapping of keys and values expected",
    "tuple_type": "a list expected",
    "list_type": "a list expected",
    "too_short": "it may not be empty",
    "string_too_short": "it may not be empty",
    "date_from_datetime_parsing": "not a date: write 2026-10-01",
    "date_type": "not a date: write 2026-10-01",
    "date_parsing": "not a date: write 2026-10-01",
}


def parse(path: str, data: bytes, registry: Registry) -> Document:
    """Read a document of a kind in `registry` (`runbook/v1` → its model).

    Raises `DocumentError` with every problem.
    """
    root = load(path, data)
    if not isinstance(root.value, Mapping):
        raise DocumentError([_problem(path, root, (), "a document is a mapping of keys and values")])
    keys = list(root.value)
    kind = root.value["itmp"].value if "itmp" in root.value else None
    if kind is None or keys[0] != "itmp":
        message = "the first key of a document is itmp"
        raise DocumentError(
            [_problem(path, root, (), message, f"begin with itmp: {' | '.join(sorted(registry))}")]
        )
    if not isinstance(kind, str) or kind not in registry:
        near = did_you_mean(str(kind), registry) or f"known: {', '.join(sorted(registry))}"
        raise DocumentError([_problem(path, root, ("itmp",), "no such kind of document", near)])
    return _document(path, root, root.plain(), registry[kind], bound=False)


def bind(document: D, inputs: Mapping[str, Any]) -> D:
    """Return `document` with every `${inputs.x}` replaced, checked again (inputs: `resolve_inputs`)."""
    node = _parsed(document)
    plain = node.plain()
    bound = {key: value if key == "inputs" else interpolate(value, inputs) for key, value in plain.items()}
    return _document(document.path, node, bound, type(document), bound=True)


def extended(document: D, more: Mapping[Loc, Any]) -> D:
    """Return `document` as if `more`, values by their place, stood in it too; checked again.

    What is around such a value is made where it is not there. Problems with it stand at what is around it in the text.
    """
    node = _parsed(document)
    for loc, value in more.items():
        node = node.grown(loc, value)
    return _document(document.path, node, node.plain(), type(document), bound=False)


def _parsed(document: Document) -> Node:
    node = document._node  # noqa: SLF001  # marks are private to this room, which this module belongs to
    if node is None:
        raise DocumentError(
            [Problem(path=document.path, line=0, column=0, message="the document was not parsed from text")]
        )
    return node


def validate(path: str, node: Node, model: type[M], plain: Any = None) -> M:
    """Return `node`, from any YAML, as `model`; raise `DocumentError` with every problem."""
    text = json.dumps(node.plain() if plain is None else plain, ensure_ascii=True)
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise DocumentError(list(_translate(path, node, model, error))) from None


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a kind of document."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()}


def _document(path: str, node: Node, plain: Any, model: type[D], *, bound: bool) -> D:
    document = validate(path, node, model, plain)
    document._path, document._node, document._bound = path, node, bound  # noqa: SLF001  # set once
    problems = list(document.findings())
    if problems:
        raise DocumentError(problems)
    return document


def _problem(
    path: str, node: Node, loc: Sequence[int | str], message: str, suggestion: str = "", *, key: bool = False
) -> Problem:
    line, column = node.find_key(loc) if key else node.find(loc)
    return Problem(path=path, line=line, column=column, message=message, suggestion=suggestion)


def _translate(path: str, node: Node, model: type[BaseModel], error: ValidationError) -> Iterator[Problem]:
    errors = error.errors(include_url=False, include_input=False)
    for one in errors:
        if one["type"] == "too_short" and any(_below(other["loc"], one["loc"]) for other in errors):
            continue  # pydantic counts only the items that are valid
        loc = [part for part in one["loc"] if not str(part).startswith("<")]
        key = str(loc[-1]) if loc else ""
        if one["type"] == "extra_forbidden":
            known = _fields_at(model, one["loc"][:-1])
            yield _problem(path, node, loc, f"unknown key {key!r:.60}", _near(key, known), key=True)
            continue
        if key == "[key]":
            yield _problem(
                path, node, loc[:-1], f"the key {loc[-2]!r:.60} is not a valid name here", key=True
            )
            continue
        message = (
            _MESSAGES.get(one["type"], one["msg"]).format(key=key) if one["type"] in _MESSAGES else one["msg"]
        )
        yield _problem(path, node, loc, message, _nearest_choice(node, loc, one))


def _below(loc: Sequence[int | str], around: Sequence[int | str]) -> bool:
    return len(loc) > len(around) and loc[: len(around)] == around


def _near(key: str, known: Sequence[str]) -> str:
    return did_you_mean(key, known) or (f"known here: {', '.join(known)}" if known else "")


def _nearest_choice(node: Node, loc: Sequence[int | str], one: Any) -> str:
    if one["type"] != "literal_error":
        return ""
    for part in loc:
        inner = node.value
        if isinstance(inner, Mapping) and part in inner:
            node = inner[str(part)]
        elif isinstance(inner, tuple) and isinstance(part, int) and part < len(inner):
            node = inner[part]
    choices = [word.strip("'") for word in str(one["ctx"]["expected"]).replace(" or ", ", ").split(", ")]
    return did_you_mean(node.value, choices) if isinstance(node.value, str) else ""


def _fields_at(model: Any, loc: Sequence[int | str]) -> tuple[str, ...]:
    """Return the keys that the model at `loc` knows, following the annotations down."""
    at: Any = model
    for part in loc:
        at = _step(at, part)
    at = _model_in(at)
    fields = at.model_fields if at else {}
    return tuple(
        field.alias or name for name, field in fields.items() if not any(map(_is_hidden, field.metadata))
    )


def _is_hidden(metadata: Any) -> bool:
    return isinstance(metadata, SkipJsonSchema)  # type: ignore[misc]  # a plain class at run time


def _step(at: Any, part: int | str) -> Any:
    origin, args = get_origin(at), get_args(at)
    if origin is Annotated:
        return _step(args[0], part)
    if origin in (Union, UnionType):
        tagged = [arg for arg in args if _tag(arg) == part or getattr(_model_in(arg), "__name__", "") == part]
        return (
            tagged[0] if tagged else next((_step(arg, part) for arg in args if arg is not type(None)), None)
        )
    if isinstance(at, type) and issubclass(at, BaseModel):
        fields = {field.alias or name: field for name, field in at.model_fields.items()}
        return _whole(fields[str(part)]) if part in fields else at
    return args[-1] if origin is dict else (args[0] if args else at)


def _whole(field: Any) -> Any:
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


def _tag(annotation: Any) -> str:
    tags = [meta.tag for meta in getattr(annotation, "__metadata__", ()) if isinstance(meta, Tag)]
    return tags[0] if tags else ""


def _model_in(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        models = [one for one in map(_model_in, get_args(annotation)) if one]
        return models[0] if len(models) == 1 else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
