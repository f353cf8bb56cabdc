"""What the kinds of document share: YAML with marks, inputs, `${…}`, durations, secret references, schemas.

A document is text that a person writes. It is parsed once into frozen values; every problem is reported at
once with file, line and column.
"""

from itmp.documents.inputs import InputSpec, interpolate, resolve_inputs
from itmp.documents.model import Block, Document, MovedRule, Reviewed
from itmp.documents.parsing import Registry, bind, json_schema, parse, validate
from itmp.documents.problems import DocumentError, Problem
from itmp.documents.reading import Node, load

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
    "interpolate",
    "json_schema",
    "load",
    "parse",
    "resolve_inputs",
    "validate",
]
