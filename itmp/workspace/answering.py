"""Answering a run's questions, and how a run waits for it.

Rules kept here: what counts as an answer is judged by the fold of the log alone, the same for the run that waits, for
the person who asks where things stand, and for the verifier; an answer that would count for nothing is refused before
it is signed.
"""

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from itmp.adapters.clock import SystemClock
from itmp.change import ChangeRecord, RunRecord, fold
from itmp.errors import BusyError, InvalidInputError, NotFoundError, RefusedError
from itmp.plan import AskStep, Plan, answer_value, is_no, meant, questions
from itmp.workspace import changes, planning
from itmp.workspace.noticing import Notice
from itmp.workspace.place import Workspace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from itmp.canonical import Digest
    from itmp.execution.doors import Answer, Slice


class LogPatience:
    """Waits over the log (door: `itmp.execution.doors.Patience`); it looks only when the change has moved.

    It is entered for as long as the run goes on, and wakes when the log grows.
    """

    def __init__(self, place: Workspace, change: str, run: str, plan: Plan) -> None:
        self._place, self._change, self._run, self._plan = place, change, run, plan
        self._head: Digest | None = None
        self._found: dict[str, Answer] = {}
        self._notice: Notice | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._notice is not None:
            self._notice.__exit__(kind, error, trace)

    def answer(self, part: "Slice") -> "Answer | None":
        """Return the first answer that counts; see the door's contract."""
        return self._standing().get(part.key)

    def noes(self) -> frozenset[str]:
        """Return the questions to which a no stands; see the door's contract."""
        asked = questions(self._plan.manifest)
        return frozenset(key for key, one in self._standing().items() if is_no(asked[key], one.value))

    def sleep(self, seconds: float) -> None:
        """Let time pass, until something is written to the log."""
        self._notice = self._notice or Notice(self._place)  # most runs never wait
        self._notice.wait(seconds)

    def _standing(self) -> "dict[str, Answer]":
        head = self._place.log.head_of(self._change)
        if head != self._head:
            self._found, self._head = self._read(), head
        return self._found

    def _read(self) -> "dict[str, Answer]":
        from itmp.execution.doors import Answer  # noqa: PLC0415 - only a run waits like this

        place, now = self._place, SystemClock().now()
        leaves = place.log.of_change(self._change)
        record = fold(leaves, place.history(), manifest=self._plan.manifest, now=now, blob=place.log.blob)
        run = next((one for one in record.runs if one.id == self._run), None)
        return {
            key: Answer(value=given.statement.fields["value"], leaf=given.leaf, signer=given.signer)
            for key, given in (run.answers if run else {}).items()
        }


def role_to_answer(place: Workspace, signer: str, question: AskStep) -> str:
    """Return the role in which `signer` may answer `question`; refuse when there is none."""
    policy = place.history().latest.policy
    held = getattr(policy.signer(signer), "roles", ())
    roles = [role for role in held if policy.may(role, "answer") and role in (question.roles or held)]
    if not roles:
        wanted = ", ".join(question.roles) or "a role that may answer"
        raise RefusedError(
            f"{signer} holds {', '.join(held) or 'no role'}, and {question.id} asks {wanted}",
            do="Ask somebody in one of these roles to answer.",
        )
    return str(roles[0])


def to_answer(place: Workspace, record: ChangeRecord, step: str, value: str) -> tuple[RunRecord, AskStep]:
    """Return the newest run and its question `step`, which `value` answers; raise for any other step or value."""
    run, asked = record.run, asking(place, record)
    if run is None or step not in asked:
        others = f"It asks: {', '.join(asked)}." if asked else f"See: itmp status {record.id}"
        if run and step in run.answers:
            raise BusyError(f"{run.answers[step].signer} has answered {step} already", do=others)
        raise NotFoundError(f"{record.id} does not ask {step!r:.60} now", do=others)
    if answer_value(asked[step], value) is None:
        raise InvalidInputError(f"{value!r:.60} does not answer {step}", do=f"Allowed: {meant(asked[step])}.")
    return run, asked[step]


def asking(place: Workspace, record: ChangeRecord) -> dict[str, AskStep]:
    """Return the questions that the newest run has asked and nobody has answered, by their slices' keys."""
    if record.run is None or record.run.state in {"succeeded", "undone"}:
        return {}
    plan = planning.logged_plan(place, changes.request_of(record).plan)
    return {key: step for key, step in questions(plan.manifest).items() if key in record.run.asks}


def told(asked: "Mapping[str, AskStep]") -> tuple[dict[str, Any], ...]:
    """Return open questions as a result shows them."""
    return tuple(
        {"step": key, "question": one.question, "answer": meant(one), "roles": list(one.roles)}
        for key, one in asked.items()
    )


def commands(change: str, asked: "Mapping[str, AskStep]") -> tuple[str, ...]:
    """Return the commands that answer open questions."""
    return tuple(f"itmp answer {change} {key} VALUE" for key in asked)
