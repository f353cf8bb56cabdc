"""The small types that all documents use: names, durations, percentages, references to inputs.

Rules kept here: a duration is whole seconds once parsed; where a document may write a reference to an input
instead of a value (`Templated`), the model holds the reference as text until `bind` has replaced it.
"""

import ipaddress
import re
from typing import Annotated, Any, Final, TypeVar

from pydantic import (
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

REFERENCE: Final = re.compile(r"\$\{inputs\.([a-z][a-z0-9_]*)\}")
"""One reference to an input; a value that is exactly one keeps the input's type."""

_DURATION: Final = re.compile(r"(0|[1-9][0-9]{0,8})([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PART: Final = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*"
IMAGE: Final = re.compile(
    rf"(?P<name>(?:[a-z0-9][a-z0-9.-]*(?::[0-9]{{1,5}})?/)?{_PART}(?:/{_PART})*)@(?P<digest>sha256:[0-9a-f]{{64}})"
)
"""A container image by digest, without a tag: a tag can move, and beside a digest it says nothing."""

_TAGGED: Final = re.compile(r"(?P<name>[^@\s]*[^@\s/:]):(?P<tag>[^@/\s]+)(?P<digest>@sha256:[0-9a-f]{64})?")
_PERCENT: Final = re.compile(r"(100|[1-9][0-9]?)%")
_HOST: Final = re.compile(r"\w[\w.@+-]*\Z")
_NO_HOST: Final = r"""\s,:!&~*?\[\]{}()'"\\/\x00-\x1f\x7f"""
_LONGEST_HOST: Final = 253

LONGEST_IMAGE: Final = 400
_DIGEST_OF: Final = "podman image inspect --format '{{{{.Digest}}}}' {}"

T = TypeVar("T")


def parse_seconds(text: Any) -> int:
    """Return the seconds of a duration such as `30s` or `4h`; raise `ValueError` for another form."""
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if not found:
        raise PydanticCustomError(
            "duration", "not a duration: write a whole number and s, m, h or d, such as 30s or 4h"
        )
    return int(found[1]) * _SECONDS[found[2]]


def parse_percent(text: Any) -> str:
    """Return a percentage from `1%` to `100%` as it stands; raise `ValueError` for anything else."""
    if not isinstance(text, str) or not _PERCENT.fullmatch(text):
        raise PydanticCustomError("percent", "write a whole number, or a percentage from 1% to 100%")
    return text


def parse_image(text: Any) -> str:
    """Return a container image's name by digest; raise `ValueError` that says what to write instead of a tag."""
    if isinstance(text, str) and len(text) <= LONGEST_IMAGE:
        if IMAGE.fullmatch(text):
            return text
        if found := _TAGGED.fullmatch(text):
            tagged = f"{found['name']}:{found['tag']}"
            known = found["digest"] or "@sha256:… with what this prints: " + _DIGEST_OF.format(tagged)
            line = f"a tag can move: write image: {found['name']}{known}"
            raise PydanticCustomError("image", "{line}", {"line": line})
    raise PydanticCustomError("image", "write a container image by digest: image: NAME@sha256:DIGEST")


def is_host(name: str) -> bool:
    """Say whether an inventory may hold this name: nothing in it means something else in a host pattern."""
    return bool(_HOST.match(name)) or _is_ipv6(name)


def _is_ipv6(name: str) -> bool:
    try:
        ipaddress.IPv6Address(name)
    except ValueError:
        return False
    return "%" not in name


def parse_host(text: Any) -> str:
    """Return a host's name as it stands; raise `ValueError` for what no inventory holds as one."""
    if not isinstance(text, str) or len(text) > _LONGEST_HOST or not is_host(text):
        raise PydanticCustomError(
            "host",
            "not a host's name: letters and digits, inside also . @ + -, or an IPv6 address without brackets",
        )
    return text


def parse_address(text: Any) -> str:
    """Return a DNS name or an address as it stands; raise `ValueError` for anything else."""
    name = parse_host(text)
    if not name.isascii() or {"@", "+"} & set(name):
        raise PydanticCustomError(
            "address", "not an address: write a DNS name, or an IP address without brackets"
        )
    return name


class _OrReference:
    """Lets a reference to an input stand where a value of another type belongs."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def validate(value: Any, inner: core_schema.ValidatorFunctionWrapHandler) -> Any:
            return value if isinstance(value, str) and REFERENCE.fullmatch(value) else inner(value)

        return core_schema.no_info_wrap_validator_function(validate, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        inner = handler(schema["schema"])
        return {"anyOf": [inner, {"type": "string", "pattern": f"^{REFERENCE.pattern}$"}]}


Templated = Annotated[T, _OrReference()]
"""`Templated[int]`: an integer, or one reference to an input until `bind` replaces it. For scalars only."""

Duration = Annotated[
    int,
    BeforeValidator(parse_seconds),
    WithJsonSchema(
        {"type": "string", "pattern": f"^{_DURATION.pattern}$", "examples": ["30s", "15m", "4h", "7d"]}
    ),
]
"""Whole seconds, written `30s`, `15m`, `4h` or `7d`."""

ImageName = Annotated[
    str,
    BeforeValidator(parse_image),
    WithJsonSchema({"type": "string", "pattern": r"^[a-z0-9][a-z0-9._:/-]*@sha256:[0-9a-f]{64}$"}),
]
"""A container image by digest."""

Percent = Annotated[
    str,
    BeforeValidator(parse_percent),
    WithJsonSchema({"type": "string", "pattern": f"^{_PERCENT.pattern}$"}),
]
"""Text from `1%` to `100%`."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
"""A lower-case name: letters, digits and hyphens."""

Line = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\n\t]*$")]
"""One line of text for people."""

VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""The name of an Ansible variable."""

PublicName = Annotated[
    str, StringConstraints(max_length=400, pattern=r"^(?:[A-Za-z_][A-Za-z0-9_]*|[\w@+. -]+(?:/[\w@+. -]+)+)$")
]
"""What looks like a secret and is none: a variable's name, or a file's path in the workspace."""

Port = Annotated[int, Field(ge=1, le=65535)]

HostName = Annotated[
    str,
    BeforeValidator(parse_host),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": _LONGEST_HOST,
            "pattern": rf"^([^{_NO_HOST}@+.-][^{_NO_HOST}]*|[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)$",
        }
    ),
]
"""The name of one host, as an inventory may hold it."""

HostAddress = Annotated[
    str,
    BeforeValidator(parse_address),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": _LONGEST_HOST,
            "pattern": r"^([A-Za-z0-9_][A-Za-z0-9_.-]*|[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)$",
        }
    ),
]
"""Where a host answers: a DNS name or an IP address."""

HostPattern = Annotated[str, StringConstraints(pattern=r"^[^\s@-][^\n\t]*$", max_length=500)]
"""An Ansible host pattern that is neither a file nor an option."""


def _batch(value: Any) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool) and value > 0
    if whole or (isinstance(value, str) and REFERENCE.fullmatch(value)):
        return value
    return parse_percent(value)


BatchSize = Annotated[
    int | str,
    BeforeValidator(_batch),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "%$"}]}),
]
"""A number of hosts, a percentage of all, or one reference to an input until `bind` replaces it."""
