"""Secrets by reference, and the masking of their values in everything that leaves a runner.

Rules kept here: a reference (`env:NAME`, `file:PATH`, `ansible-vault:PATH#NAME`, `aws-secretsmanager:ID#NAME`)
is resolved when a slice starts and its value is kept in memory only; errors name the reference, never the value. A
masked text holds no known value in clear, nor in base64, JSON or URL encoding; overlapping values are masked whole.
"""

import base64
import json
import os
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from itmp.errors import InvalidInputError, NotFoundError, ToolMissingError
from itmp.signing.notes import PRIVATE

MASK: Final = "********"
WITHHELD: Final = "output withheld: it may hold a vaulted value"
_SHORT: Final = 4  # shorter values are masked in clear only: their encodings are too common
_MAX: Final = 1024 * 1024
_HEAD: Final = 8  # by so many characters a form is looked for before the whole of it is compared
_SOME: Final = 500  # forms up to which looking for each is the faster way
_MOST: Final = 200_000  # forms that each text is searched for
_SCHEMES: Final = "env:NAME, file:PATH, ansible-vault:PATH#NAME or aws-secretsmanager:ID#NAME"


def resolve(reference: str, *, vaults: Mapping[str, str] | None = None) -> str:
    """Return the value behind `reference`; one trailing line end of a file is not part of it.

    `vaults` maps a vault id to the reference of its password. Behind `#` stands a name in the vaulted YAML, or in the
    JSON of AWS Secrets Manager; without it the whole is the secret.

    Raises `NotFoundError` when it is not there and `InvalidInputError` for a reference that is not
    understood, or that leads to a key which signs a log: plays would be handed it.
    """
    value = _value(reference, vaults or {})
    if value.lstrip().startswith(PRIVATE):
        raise InvalidInputError(
            "a key that signs a log is no secret for a run", where=reference, do="Name another file."
        )
    return value


def _value(reference: str, vaults: Mapping[str, str]) -> str:
    scheme, colon, rest = reference.partition(":")
    if not colon or not rest:
        raise InvalidInputError(f"not a secret reference: {scheme!r:.40}", do=f"Use {_SCHEMES}.")
    match scheme:
        case "env":
            return _from_environment(rest)
        case "file":
            return _from_file(rest)
        case "ansible-vault":
            return _from_vault(rest, vaults)
        case "aws-secretsmanager":
            return _from_aws(rest)
        case _:
            raise InvalidInputError(
                f"secret references of kind {scheme!r:.40} cannot be resolved here", do=f"Use {_SCHEMES}."
            )


def _from_environment(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise NotFoundError("the secret is not set", where=f"env:{name}", do=f"Set {name} for the executor.")
    return value


def _from_file(name: str) -> str:
    path = Path(name).expanduser()
    try:
        data = path.read_bytes()
        text = data.decode()
    except OSError as error:
        reason = error.strerror or "not readable"
        raise NotFoundError(
            f"the secret cannot be read: {reason}", where=f"file:{name}", do="Put it there."
        ) from error
    except UnicodeDecodeError:
        raise InvalidInputError("the secret is not UTF-8 text", where=f"file:{name}") from None
    if len(data) > _MAX or not text.strip():
        raise InvalidInputError("the secret is empty or larger than 1 MiB", where=f"file:{name}")
    return text.removesuffix("\n").removesuffix("\r")


def _from_vault(rest: str, vaults: Mapping[str, str]) -> str:
    from itmp.adapters import vaulted  # noqa: PLC0415 -- cryptography loads late

    place, _, name = rest.partition("#")
    where = f"ansible-vault:{rest}"
    try:
        data = Path(place).expanduser().read_bytes()
    except OSError as error:
        reason = error.strerror or "not readable"
        raise NotFoundError(
            f"the secret cannot be read: {reason}", where=where, do="Put it there."
        ) from error
    asked = vaulted.label(data)
    tried = [asked] if asked in vaults else list(vaults)  # as Ansible: a name is a hint
    for number, one in enumerate(tried):
        try:
            text = vaulted.decrypt(data, resolve(vaults[one])).decode()
            return _named(text, name, where)
        except vaulted.WrongPasswordError:
            if number + 1 == len(tried):
                raise
        except UnicodeDecodeError:
            raise InvalidInputError("the secret is not UTF-8 text", where=where) from None
    raise NotFoundError("no vault password is known", where=where, do="Name it under `vault` in itmp.yml.")


def _from_aws(rest: str) -> str:
    try:
        import boto3  # noqa: PLC0415 -- an extra, and slow to load
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 -- as above
    except ImportError as error:
        raise ToolMissingError("boto3 is not installed", do="pip install 'itmp[aws]'") from error
    asked, _, name = rest.partition("#")
    where = f"aws-secretsmanager:{rest}"
    try:
        answer = boto3.client("secretsmanager").get_secret_value(SecretId=asked)
    except (BotoCoreError, ClientError) as error:
        code = getattr(error, "response", {}).get("Error", {}).get("Code", type(error).__name__)
        raise NotFoundError(
            f"AWS Secrets Manager does not give it: {code}", where=where, do="Check id, region and rights."
        ) from error
    return _named(str(answer.get("SecretString", "")), name, where)


def _named(text: str, name: str, where: str) -> str:
    """Return the value of `name` in YAML or JSON, or the whole text where no name is asked for."""
    if not name:
        return text.removesuffix("\n").removesuffix("\r")
    try:
        values = yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError:
        raise InvalidInputError("the secret is not a mapping of names", where=where) from None
    if not isinstance(values, dict) or not isinstance(values.get(name), str) or not values[name]:
        raise NotFoundError(f"it holds no text under {name!r:.60}", where=where, do="Correct the name.")
    return str(values[name])


class Masker:
    """Replaces known secret values, in every encoding that we know, by a fixed mask; it may learn more of them."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._known: set[str] = set()
        self._forms: set[str] = set()
        self._all = False
        self.learn(values)

    def learn(self, values: Iterable[str] | None) -> None:
        """Mask `values` too, from now on; None, or too many of them: withhold every text."""
        if values is None:
            self._all = True
            return
        new = set(values) - self._known
        self._known |= new
        self._forms |= {form for value in new for form in _forms(value) if form}
        self._all = self._all or len(self._forms) > _MOST

    def text(self, value: str) -> str:
        """Return `value` with every known secret masked."""
        if self._all:
            return value and WITHHELD
        if not self._forms:
            return value
        shown, end = [], 0
        for first, last in _joined(_spans(value, self._forms)):
            shown += [value[end:first], MASK]
            end = last
        return "".join([*shown, value[end:]])

    def holds(self, value: str) -> bool:
        """Tell whether `text` would mask anything of `value`, a long one: many secrets do not cost more than some."""
        if self._all:
            return bool(value)
        if len(self._forms) <= _SOME:
            return any(form in value for form in self._forms)
        heads: dict[int, dict[str, list[str]]] = {}
        for form in self._forms:
            size = min(len(form), _HEAD)
            heads.setdefault(size, {}).setdefault(form[:size], []).append(form)
        return any(
            value.startswith(form, at)
            for size, known in heads.items()
            for at in range(len(value) - size + 1)
            if value[at : at + size] in known
            for form in known[value[at : at + size]]
        )

    def value(self, value: Any) -> Any:
        """Return a JSON value with every text in it masked, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        if isinstance(value, bool) or value is None:
            return value
        return value if self.text(str(value)) == str(value) else MASK


def _spans(text: str, forms: Iterable[str]) -> Iterator[tuple[int, int]]:
    for form in forms:
        first = text.find(form)
        while first >= 0:
            yield first, first + len(form)
            first = text.find(form, first + 1)


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return `spans` in order, those that overlap as one."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if joined and first < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined


def _forms(value: str) -> Iterator[str]:
    yield value
    if len(value) < _SHORT:
        return
    for line in value.splitlines():
        if len(line.strip()) >= 2 * _SHORT:
            yield line.strip()
    quoted = json.dumps(value)[1:-1]
    yield from (
        quoted,
        json.dumps(value, ensure_ascii=False)[1:-1],
        json.dumps(quoted)[1:-1],
        repr(value)[1:-1],
    )
    yield from (urllib.parse.quote(value), urllib.parse.quote(value, safe=""), urllib.parse.quote_plus(value))
    yield from _base64_forms(value.encode(errors="replace"))


def _base64_forms(data: bytes) -> Iterator[str]:
    """Yield what base64 makes of `data` at each of its three alignments in a text, without the edges."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):
            text = encode(b"\0" * shift + data).decode()
            inner = text[(0, 2, 3)[shift] : 8 * (shift + len(data)) // 6]
            if len(inner) >= _SHORT:
                yield inner


__all__ = ["MASK", "WITHHELD", "Masker", "resolve"]
