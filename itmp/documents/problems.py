"""What is wrong with a document: every problem at once, each with file, line, column and what to do.

Rules kept here: values never enter a message (one of them may be a secret); keys and fixed words may.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from itmp.documents.text import visible
from itmp.errors import InvalidInputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong at `path`:`line`:`column` (both count from 1; 0 where there is no line)."""

    path: str
    line: int
    column: int
    message: str
    suggestion: str = ""

    @property
    def where(self) -> str:
        """The place as `file:line:column`."""
        return f"{self.path}:{self.line}:{self.column}" if self.line else self.path

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" + (f" ({self.suggestion})" if self.suggestion else "")
        return visible(text)


class DocumentError(InvalidInputError):
    """A document, or the inputs given for it, cannot be used; `problems` holds every reason in file order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems), key=lambda p: (p.path, p.line, p.column, p.message)))
        first = self.problems[0]
        super().__init__(first.message, where=first.where, do=first.suggestion)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `did you mean 'x'?` for the nearest of `known`, or an empty text."""
    near: Sequence[str] = get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else ""
