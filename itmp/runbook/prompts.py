"""What a play asks a person for (`vars_prompt`) becomes an input of the runbook that calls it.

Rules kept here: pure. An input is made only where the document gives the variable nothing, and nothing says that what
is typed is a secret: an input's value stands in the plan. A prompt that Ansible hashes, that asks to hide its answer,
or whose variable is named like a secret becomes none; nor does one that says nothing of hiding, because Ansible hides
then, unless it has a default, which stands in the playbook for all to read. `public_vars` lists what is no secret. What
is handed on is text, as Ansible makes of all that it asks for, defaults too; a default's type says which texts fit.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from itmp.documents import InputSpec, Problem, extended
from itmp.documents.model import Loc
from itmp.documents.secrecy import secret_like
from itmp.runbook.model import PlaybookStep, Runbook

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_TEMPLATE: Final = re.compile(r"\{\{|\{%|\{#|\$\{")
_WORDS: Final = re.compile(r"\W+")
_FORMS: Final[Mapping[type, str]] = {
    bool: "(?i)(?:y|yes|t|true|on|1|n|no|f|false|off|0)",
    int: "-?[0-9]+",
    float: r"-?[0-9]+(?:\.[0-9]+)?",
}
"""Which texts there are for a prompt with a default of a type: what Ansible itself reads as one."""
_LONGEST: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One entry of `vars_prompt`; `problem` says what to write where no input is made of it.

    `private` is `None` where the play does not say; `default` is `None` without one.
    """

    name: str
    text: str
    default: Any
    private: bool | None
    hashed: bool
    problem: Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A runbook with its prompts answered: a note on each input that was made, and the prompts that are `left`."""

    document: Runbook
    notes: tuple[str, ...]
    left: tuple[Problem, ...]


def playbooks(document: Runbook) -> tuple[str, ...]:
    """Return the playbooks that a runbook calls, each once."""
    return tuple(dict.fromkeys(step.playbook for _, step in _steps(document)))


def answer(document: Runbook, asked: Mapping[str, Iterable[Prompt]]) -> Asked:
    """Return `document` with an input for each prompt of its playbooks that can be one; `asked` by playbook."""
    more: dict[Loc, Any] = {}
    made: dict[str, tuple[Prompt, InputSpec]] = {}
    left: dict[Problem, None] = {}
    for loc, step in _steps(document):
        for prompt in asked.get(step.playbook, ()):
            if prompt.name in step.vars:
                continue
            name = _input_name(prompt, document, made)
            if not name:
                left[prompt.problem] = None
                continue
            first, other = made.get(name, (prompt, None))
            made[name] = (first, _shared(_spec(prompt), other))
            more[*loc, "vars", prompt.name] = f"${{inputs.{name}}}"
    more |= {
        ("inputs", name): spec.model_dump(exclude_none=True, exclude_defaults=True) | {"type": spec.type}
        for name, (_, spec) in made.items()
    }
    return Asked(
        document=extended(document, more) if more else document,
        notes=tuple(
            f"{prompt.problem.where} asks for {prompt.name} ({_line(prompt.text)!r}): it is the input {name}"
            for name, (prompt, _) in made.items()
        ),
        left=tuple(left),
    )


def _steps(document: Runbook) -> Iterator[tuple[Loc, PlaybookStep]]:
    yield from ((loc, step) for loc, step, _ in document.placed() if isinstance(step, PlaybookStep))


def _input_name(prompt: Prompt, document: Runbook, made: Mapping[str, tuple[Prompt, InputSpec]]) -> str:
    """Return the name of the input that a prompt becomes; nothing for a prompt that becomes none."""
    name = prompt.name.lower()
    taken = name in document.inputs or (name in made and made[name][0].name != prompt.name)
    fits = isinstance(prompt.default, str | int | float | None)
    return name if _NAME.fullmatch(name) and fits and not taken and _open(prompt, document) else ""


def _open(prompt: Prompt, document: Runbook) -> bool:
    """Whether what is typed may stand in a plan."""
    if prompt.hashed or prompt.name in document.public_vars:
        return not prompt.hashed
    if prompt.private or secret_like(prompt.name):
        return False
    unsaid = prompt.private is None
    return not unsaid or (prompt.default not in {None, ""} and not secret_like(_WORDS.sub("_", prompt.text)))


def _spec(prompt: Prompt) -> InputSpec:
    default = None if prompt.default is None else str(prompt.default)
    return InputSpec(
        type="string",
        default=None if default is None or _TEMPLATE.search(default) else default,
        description=_line(prompt.text),
        pattern=_FORMS.get(type(prompt.default)),
    )


def _shared(spec: InputSpec, other: InputSpec | None) -> InputSpec:
    """Return one input for all that ask under a name: with no default where theirs differ."""
    if other is None or (spec.default, spec.pattern) == (other.default, other.pattern):
        return other or spec
    return spec.model_copy(update={"default": None, "pattern": None})


def _line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST]


__all__ = ["Asked", "Prompt", "answer", "playbooks"]
