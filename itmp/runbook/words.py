"""Steps of a runbook in which nothing acts: a question to people, a wait, a pause between batches; and guards.

    - {id: soak, wait: {for: 15m}}
    - {id: confirm, ask: {question: Is the error rate back to normal?, answer: boolean, roles: [sre]}}
    - {id: rest, playbook: rest, when: steps.confirm.answer == true}

Rules kept here: a question says what may be answered before anybody is asked; a wait has an end that is known when it
begins; a guard is read, and its names and types are checked, when the document is.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from itmp.calendars import format_time, parse_time
from itmp.documents import Block
from itmp.documents.guards import MAX_SOURCE, Guard, GuardError, Kind
from itmp.documents.scalars import Duration, Line, Templated
from itmp.errors import InvalidInputError

LONGEST_WAIT = 366 * 86400
PAUSE_QUESTION = "Go on with the next batch?"

Role = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
Roles = tuple[Role, ...]
Question = Annotated[Line, StringConstraints(pattern=r"^[^\n\t]*$", max_length=200)]
Choice = Annotated[str, StringConstraints(pattern=r"^[!-~]([ -~]{0,62}[!-~])?$")]


def _guard(text: str) -> str:
    try:
        Guard(text)
    except GuardError as error:
        message = f"not a guard: character {error.at}: {error.what}" + (f" ({error.do})" if error.do else "")
        raise PydanticCustomError("guard", "{why}", {"why": message}) from None
    return text


def _moment(text: str) -> str:
    try:
        return format_time(parse_time(text))
    except InvalidInputError as error:
        raise PydanticCustomError("moment", "{why}", {"why": f"{error.what}. {error.do}"}) from None


def _answer(value: Any) -> Any:
    if isinstance(value, list | tuple):
        if len(value) < 2:  # noqa: PLR2004 -- one choice is no question
            raise PydanticCustomError("answer", "write at least two choices")
        return tuple(value)
    if value not in ("boolean", "integer", "string"):
        raise PydanticCustomError("answer", "write boolean, integer, string, or a list of choices")
    return value


def _form(value: Any) -> str:
    return "<choices>" if isinstance(value, tuple) else "<word>"


Answer = Annotated[
    Annotated[Literal["boolean", "integer", "string"], Tag("<word>")]
    | Annotated[tuple[Choice, ...], Field(min_length=2), Tag("<choices>")],
    Discriminator(_form),
    BeforeValidator(_answer),
]
"""The type of an answer, or the only texts that it can be."""


GuardText = Annotated[
    str, AfterValidator(_guard), WithJsonSchema({"type": "string", "maxLength": MAX_SOURCE})
]
"""A guard of `when:` (`itmp.documents.guards`)."""

Moment = Annotated[str, AfterValidator(_moment)]
"""A time, RFC 3339 or local with a zone's name; held as UTC."""


class AskBlock(Block):
    """What is asked, what may be answered, and in which roles."""

    question: Question
    answer: Answer
    roles: Roles = ()

    @property
    def kind(self) -> Kind:
        """The type of the answer as a guard sees it."""
        if isinstance(self.answer, tuple):
            return Kind(type="string", choices=self.answer)
        return Kind(type=self.answer)


class WaitBlock(Block):
    """How long, or until when."""

    for_: Templated[Annotated[Duration, Field(ge=1, le=LONGEST_WAIT)]] | None = Field(None, alias="for")
    until: Moment | None = None

    @model_validator(mode="after")
    def _one(self) -> "WaitBlock":
        if (self.for_ is None) == (self.until is None):
            raise PydanticCustomError("wait", "write either for (a duration) or until (a time)")
        return self


class Pause(Block):
    """After which batches a person is asked whether the next one may begin; without `after`, each."""

    after: tuple[Annotated[int, Field(ge=1)], ...] = ()
    question: Question = PAUSE_QUESTION
    roles: Roles = ()


def _pause(value: Any) -> Any:
    if value is True:
        return {}
    if isinstance(value, dict):
        return {key: tuple(item) if isinstance(item, list) else item for key, item in value.items()}
    raise PydanticCustomError("pause", "write true, or a mapping with after and roles")


PauseRule = Annotated[
    Pause,
    BeforeValidator(_pause),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": True},
                {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "after": {"type": "array", "items": {"type": "integer", "minimum": 1}},
                        "question": {"type": "string", "maxLength": 200},
                        "roles": {"type": "array", "items": {"type": "string"}},
                    },
                },
            ]
        }
    ),
]
