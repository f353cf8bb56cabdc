"""Secrets stand in documents by reference alone; plaintext under a secret-like name is found here.

Rules kept here: a value is never printed; a name is secret-like when one of its words says so, unless its
last word says that it only describes a secret (`password_length`, `token_file`); `public_vars` lists the
exceptions.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from itmp.errors import InvalidInputError

KINDS: Final = ("env", "file", "ansible-vault", "aws-secretsmanager")
_SECRET: Final = re.compile(
    r"(^|_)(password|passwd|passphrase|pwd|pass|secret|secrets|token|credential|credentials|api_?key|apikey"
    r"|private_?key|access_?key|secret_?key|auth_?key|encryption_?key|vault_?key)(_|$)",
)
_DESCRIBES: Final = re.compile(
    r"_(length|len|ttl|file|files|path|dir|name|names|min|max|age|days|policy|timeout|count|id|ids|url|uri|enabled|required|ref"
    r"|reference|algorithm|type|size|seconds|expiry|rotation|user|owner|group|mode)$",
)
_ENV: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TEMPLATE: Final = re.compile(r"\s*\{\{(?:(?!\}\}).)+\}\}\s*", re.DOTALL)
_LITERAL: Final = re.compile(r"\{\{\s*['\"]")


def secret_like(name: str) -> bool:
    """Say whether `name` promises a secret (`dbPassword`, `api-key`, `AUTH_TOKEN`)."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").lower()
    return bool(_SECRET.search(words)) and not _DESCRIBES.search(words)


def is_reference(value: Any) -> bool:
    """Say whether `value` is written as a secret reference: a mapping with the one key `secret`."""
    return isinstance(value, Mapping) and set(value) == {"secret"}


def holds_reference(value: Any) -> bool:
    """Say whether a secret reference stands anywhere in `value`."""
    if is_reference(value):
        return True
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return any(holds_reference(item) for item in items)


def parse_reference(text: Any) -> str:
    """Return a reference; raise `InvalidInputError` for any other text."""
    kind, colon, rest = text.partition(":") if isinstance(text, str) else ("", "", "")
    do = "Write env:NAME, file:PATH, ansible-vault:PATH#NAME or aws-secretsmanager:ID#NAME."
    if kind not in KINDS or not colon or not rest:
        raise InvalidInputError("not a secret reference", do=do)
    if kind == "env" and not _ENV.fullmatch(rest):
        raise InvalidInputError("not the name of an environment variable", do=do)
    return str(text)


def plaintext(
    values: Any, public: Collection[str], loc: tuple[int | str, ...] = ()
) -> Iterator[tuple[int | str, ...]]:
    """Yield the place of each value under a secret-like name that is written out, below `values`.

    Booleans, nulls, secret references and values that are one Jinja expression over variables do not count.
    """
    if isinstance(values, Mapping):
        for key, value in values.items():
            here = (*loc, str(key))
            if is_reference(value):
                continue
            if secret_like(str(key)) and not {str(key), ".".join(map(str, here))} & set(public):
                if not harmless(value):
                    yield here
            else:
                yield from plaintext(value, public, here)
    elif isinstance(values, list | tuple):
        for index, value in enumerate(values):
            yield from plaintext(value, public, (*loc, index))


def harmless(value: Any) -> bool:
    """Say whether `value` gives nothing away under such a name: nothing, a flag, or one expression over variables."""
    if value is None or isinstance(value, bool) or value in ("", [], {}):
        return True
    return isinstance(value, str) and bool(_TEMPLATE.fullmatch(value)) and not _LITERAL.match(value.strip())
