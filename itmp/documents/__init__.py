"""What the kinds of document share: YAML with marks, inputs, `${…}`, durations, secret references, schemas.

A document is text that a person writes. It is parsed once into frozen values; every problem is reported at
once with file, line and column. Names load when they are first used: whoever reads a plan asks for guards alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

_HOME: Final = {
    "InputSpec": "inputs", "interpolate": "inputs", "resolve_inputs": "inputs",
    "Block": "model", "Document": "model", "MovedRule": "model", "Reviewed": "model",
    "Registry": "parsing", "bind": "parsing", "extended": "parsing", "json_schema": "parsing", "parse": "parsing",
    "validate": "parsing",
    "DocumentError": "problems", "Problem": "problems",
    "Node": "reading", "load": "reading",
}  # fmt: skip

__all__ = [
    "Block",
    "Document",
    "DocumentError",
    "InputSpec",
    "MovedRule",
    "Node",
    "Problem",
    "Registry",
    "Reviewed",
    "bind",
    "extended",
    "interpolate",
    "json_schema",
    "load",
    "parse",
    "resolve_inputs",
    "validate",
]

if TYPE_CHECKING:
    from itmp.documents.inputs import InputSpec, interpolate, resolve_inputs
    from itmp.documents.model import Block, Document, MovedRule, Reviewed
    from itmp.documents.parsing import Registry, bind, extended, json_schema, parse, validate
    from itmp.documents.problems import DocumentError, Problem
    from itmp.documents.reading import Node, load


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(name)
    return getattr(import_module(f"itmp.documents.{_HOME[name]}"), name)
