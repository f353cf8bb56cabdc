"""Whether an answer counts.

Rules kept here: its question was asked in that run (its slice was intended, and not passed over) before the answer was
given; nobody's answer has counted before, since it was last asked anew; its signer speaks in a role that was asked; its
value is of the type that was asked for.
"""

from collections.abc import Mapping

from itmp.change._drafts import RunDraft
from itmp.change.statements import Given
from itmp.plan import AskStep, answer_value, meant


def answer_problem(given: Given, run: RunDraft, questions: Mapping[str, AskStep]) -> str:
    """Return why `given` is no answer that counts in `run`; empty when it is one."""
    key, value, who = given.line("step"), given.statement.fields["value"], given.signer
    step = questions.get(key)
    if step is None or not any(part.fixed["key"] == key and not part.fixed["passed"] for part in run.slices):
        return f"{who} answered {key}, which was not asked"
    if key in run.answers:
        return f"{run.answers[key].signer} had answered {key} before {who}"
    if step.roles and given.role not in step.roles:
        return f"{who} answered {key} as {given.role}, which was not asked"
    if answer_value(step, value) is None:
        return f"{who} answered {key} with {value!r:.60}; allowed: {meant(step)}"
    return ""
