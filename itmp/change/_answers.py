"""The questions of a run, and whether an answer counts.

Rules kept here: an answer counts where its question stands open in that run, its signer speaks in a role that was
asked, and its value is of the type that was asked for; the first one counts. A question stands open from its intent
until its slice has ended with an answer, or until something that a pause rests on begins again: then it must be asked
anew, and a yes that no slice has ended with yet is past, since it spoke of the world before. A no stands, whatever
begins. An answer that a slice has ended with is past once its question is asked anew; one that came too late for the
slice that ended without it answers the next.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from itmp.change.statements import Given
from itmp.plan import AskStep, answer_value, is_no, meant

_UNSETTLED: Final = "not_reached"


@dataclass(slots=True)
class Words:
    """What was asked and answered in a run: `open` are the questions that may be answered now.

    `answers` maps a question's key to the answer that counts, `used` are the answers (their leaves) that slices have
    ended with.
    """

    answers: dict[str, Given] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    open: set[str] = field(default_factory=set)

    def ask(self, key: str) -> None:
        """Take the intent of a question."""
        self.open.add(key)
        if key in self.answers and self.answers[key].leaf in self.used:
            del self.answers[key]

    def end(self, key: str, states: Collection[str]) -> None:
        """Take the end of a slice, whatever it is."""
        if key in self.open and set(states) != {_UNSETTLED}:
            self.open.discard(key)
            self.used.update(given.leaf for given in (self.answers.get(key),) if given)

    def overtake(self, keys: Iterable[str], questions: Mapping[str, AskStep]) -> None:
        """Take that something begins on which a yes to each of `keys` rests."""
        for key in keys:
            self.open.discard(key)
            given = self.answers.get(key)
            if given and given.leaf not in self.used and not is_no(questions[key], given.line("value")):
                del self.answers[key]


def answer_problem(given: Given, words: Words, questions: Mapping[str, AskStep]) -> str:
    """Return why `given` is no answer that counts in the run whose `words` these are; empty when it is one."""
    key, value, who = given.line("step"), given.statement.fields["value"], given.signer
    step = questions.get(key)
    if key in words.answers:
        return f"{words.answers[key].signer} had answered {key} before {who}"
    if step is None or key not in words.open:
        return f"{who} answered {key}, which was not asked"
    if step.roles and given.role not in step.roles:
        return f"{who} answered {key} as {given.role}, which was not asked"
    if answer_value(step, value) is None:
        return f"{who} answered {key} with {value!r:.60}; allowed: {meant(step)}"
    return ""
