"""Names what would ask a person while a playbook runs, and says what to write instead.

Runs in the `inspect` child and, for tasks of files that the plan could not foresee, in Ansible's workers (`_bounds`).
Rules kept here: an approved run asks nobody. A prompt whose variable the
document gives is not asked, which is Ansible's own rule; any other way to wait for a person is refused. Whether a
variable's name promises a secret is for the executor to say: both answers are given.
"""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

_PAUSE_DO: Final = "Give it `seconds` or `minutes`, or end the step here and go on in another one."
_DEBUGGER_DO: Final = "Remove the keyword: nobody sits at a run."


def of_play(play: Any, given: AbstractSet[str]) -> Iterator[tuple[str, ...]]:
    """Yield, for each prompt of `play` whose variable is not `given`, what is wrong and what to do.

    Then, where it depends on that: the variable's name, and what to do if it promises a secret.
    """
    for prompt in play.vars_prompt or ():
        if str(prompt.get("name", "")) not in given:
            yield of_prompt(prompt)


def of_prompt(prompt: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what is wrong with one prompt and what to do; more as `of_play`."""
    name = str(prompt.get("name", ""))
    return f"vars_prompt asks a person for {name} during the run", *_declare(name, prompt)


def of_task(task: Any, action: str) -> Iterator[tuple[str, str]]:
    """Yield what is wrong and what to do when `task` would wait for a person."""
    if action == "ansible.builtin.pause" and not {"seconds", "minutes"} & set(task.args):
        yield "pause without a time waits for a person", _PAUSE_DO
    if str(task.debugger or "never") != "never":
        yield "debugger asks a person", _DEBUGGER_DO


def _declare(name: str, prompt: Any) -> tuple[str, ...]:
    secret = f"vars: {{{name}: {{secret: env:{name.upper()}}}}}"
    hashed = " (hashed already: nobody is asked, so nothing is hashed)" if prompt.get("encrypt") else ""
    as_secret = f"Give it to the step as a secret{hashed}: {secret}."
    if prompt.get("encrypt") or prompt.get("private") is True:
        return (as_secret,)
    default = prompt.get("default")
    more = (
        f", default: {str(default).lower() if isinstance(default, bool) else default!r}"
        if default is not None
        else ""
    )
    declared = f"inputs: {{{name.lower()}: {{type: {_type(default)}{more}}}}}"
    given = f'vars: {{{name}: "${{inputs.{name.lower()}}}"}}'
    as_input = f"Make it an input, {declared}, and give it to the step: {given}; if it is a secret: {secret}."
    return as_input, name, as_secret


def _type(default: Any) -> str:
    if isinstance(default, bool):
        return "boolean"
    return "integer" if isinstance(default, int) else "string"
