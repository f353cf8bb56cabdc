"""What every document has in common: the head, its inputs, and where each value was written.

Rules kept here: models are strict, frozen and refuse unknown keys; a document knows its marks, so that a
later finding can still name file, line and column; findings are returned as `Problem`s, all at once.
"""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, WithJsonSchema
from pydantic_core import PydanticCustomError

from itmp.documents.inputs import InputName, InputSpec, references
from itmp.documents.problems import Problem, did_you_mean
from itmp.documents.reading import Node
from itmp.documents.scalars import Duration, ImageName, Line, Name, PublicName
from itmp.documents.secrecy import plaintext, secret_like

Loc = tuple[int | str, ...]

_LONGEST_REVIEW: Final = 10 * 366 * 86400
_LAST_REVIEW: Final = date(9980, 1, 1)
"""Python's calendar ends with the year 9999."""


class Block(BaseModel):
    """Base of every mapping in a document."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class Reviewed(Block):
    """When people last read the document with care, and how long that counts."""

    on: date
    every: Annotated[Duration, Field(le=_LONGEST_REVIEW)]

    @property
    def due(self) -> date:
        """The last day on which the review still counts."""
        return min(self.on, _LAST_REVIEW) + timedelta(seconds=self.every)


def _gone(value: Any) -> Any:
    if value == "refuse":
        return 0
    words = value.split(" ") if isinstance(value, str) else []
    if words[:3] == ["skip", "up", "to"] and len(words) == 4 and words[3].isascii() and words[3].isdigit():  # noqa: PLR2004  # "skip up to N" has four words
        return int(words[3][:9])
    raise PydanticCustomError("gone", "write refuse, or skip up to N")


class MovedRule(Block):
    """What the gate does when the frozen hosts are no longer those that the pattern matches.

    `gone` is how many hosts may be missing (0: refuse), written `refuse` or `skip up to N`.
    """

    gone: Annotated[
        int,
        BeforeValidator(_gone),
        WithJsonSchema({"type": "string", "pattern": "^(refuse|skip up to [0-9]+)$"}),
    ] = 0
    new: Literal["refuse", "ignore"] = "refuse"


class ExecutionEnvironment(Block):
    """The container image, by digest, in which Ansible reads and runs the document's plays."""

    image: ImageName


class Document(Block):
    """The head that every document shares. A kind adds `itmp: Literal["…/v1"]` and its own keys."""

    itmp: str
    name: Name
    title: Line
    owner: Line
    description: str = ""
    environment: Name
    risk: Literal["low", "moderate", "high"]
    reviewed: Reviewed | None = None
    inputs: dict[InputName, InputSpec] = Field(default_factory=dict)
    public_vars: tuple[PublicName, ...] = ()
    moved: MovedRule = MovedRule()

    _path: str = PrivateAttr(default="document")
    _node: Node | None = PrivateAttr(default=None)
    _bound: bool = PrivateAttr(default=False)

    @property
    def path(self) -> str:
        """The file's name as it stands in messages."""
        return self._path

    def mark(self, *loc: int | str) -> str:
        """Return `file:line:column` of the value at `loc`, such as `mark("steps", 0, "playbook")`."""
        line, column = self._node.find(loc) if self._node else (1, 1)
        return f"{self._path}:{line}:{column}"

    def problem(self, loc: Loc, message: str, suggestion: str = "") -> Problem:
        """Return a problem at the value at `loc`."""
        line, column = self._node.find(loc) if self._node else (1, 1)
        return Problem(path=self._path, line=line, column=column, message=message, suggestion=suggestion)

    def findings(self) -> Iterator[Problem]:
        """Yield what is wrong beyond the types; a kind extends it after `yield from super().findings()`.

        Called after parsing and again after `bind`: before it, `Templated` fields may hold references.
        """
        yield from self._inputs_findings()
        if not self._bound:
            yield from self._reference_findings()

    def host_references(self, loc: Loc) -> bool:
        """Say whether `${host.…}` may stand at `loc`."""
        return not loc

    def plaintext_findings(self, values: Mapping[str, Any], loc: Loc) -> Iterator[Problem]:
        """Yield a problem for each plaintext value under a secret-like name below `values` (at `loc`)."""
        for place in plaintext(values, self.public_vars):
            yield self.problem(
                (*loc, *place),
                f"{str(place[-1])!r:.60} looks like a secret and its value is written out",
                "write {secret: env:NAME}, or list the name in public_vars",
            )

    def _inputs_findings(self) -> Iterator[Problem]:
        for name, spec in self.inputs.items():
            loc = ("inputs", name)
            if secret_like(name) and name not in self.public_vars and spec.type == "string":
                message = f"{name!r} looks like a secret, and an input's value stands in the plan"
                yield self.problem(
                    loc, message, "use {secret: env:NAME} in vars, or list the name in public_vars"
                )
            why = "" if spec.default is None else spec.problem(spec.default)
            if why:
                yield self.problem((*loc, "default"), f"the default does not fit its own input: {why}")

    def _reference_findings(self) -> Iterator[Problem]:
        plain = self._node.plain() if self._node else {}
        body = {key: value for key, value in plain.items() if key != "inputs"}
        for loc, space, name in references(body):
            if space == "inputs" and name not in self.inputs:
                near = did_you_mean(name, self.inputs) or "declare it under inputs"
                yield self.problem(loc, f"there is no input {name!r:.60}", near)
            elif space == "host" and (
                name not in {"name", "address", "port"} or not self.host_references(loc)
            ):
                message = f"${{host.{name:.40}}} cannot stand here"
                yield self.problem(
                    loc, message, "host.name, host.address and host.port stand in http and tcp checks"
                )
            elif space not in {"inputs", "host"}:
                near = did_you_mean(space, ["inputs", "host"]) or "write $${ for a literal ${"
                yield self.problem(loc, f"nothing is called ${{{space:.40}.…}}", near)
