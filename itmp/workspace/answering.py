"""Answering a run's questions, and how a run waits for it.

Rules kept here: what counts as an answer is judged by the fold of the log alone, the same for the run that waits, for
the person who asks where things stand, and for the verifier; an answer that would count for nothing is refused before
it is signed.
"""

import time
from typing import TYPE_CHECKING, Any

from itmp.adapters.clock import SystemClock
from itmp.change import ChangeRecord, RunRecord, fold
from itmp.errors import RefusedError
from itmp.execution.doors import Answer, Slice
from itmp.plan import AskStep, Plan, meant, questions
from itmp.workspace import changes, planning
from itmp.workspace.place import Workspace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from itmp.canonical import Digest


class LogPatience:
    """Waits over the log (door: `itmp.execution.doors.Patience`); it looks only when the change has moved."""

    def __init__(self, place: Workspace, change: str, run: str, plan: Plan) -> None:
        self._place, self._change, self._run, self._plan = place, change, run, plan
        self._head: Digest | None = None
        self._found: dict[str, Answer] = {}

    def answer(self, part: Slice) -> Answer | None:
        """Return the first answer that counts; see the door's contract."""
        head = self._place.log.head_of(self._change)
        if head != self._head:
            self._found = self._read()
            self._head = head
        return self._found.get(part.key)

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)

    def _read(self) -> dict[str, Answer]:
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


def asking(place: Workspace, record: ChangeRecord) -> dict[str, AskStep]:
    """Return the questions that the newest run has asked and nobody has answered, by their slices' keys."""
    if record.run is None or record.run.state in {"succeeded", "undone"}:
        return {}
    plan = planning.logged_plan(place, changes.request_of(record).plan)
    return {key: step for key, step in questions(plan.manifest).items() if _is_asked(record.run, key)}


def told(asked: "Mapping[str, AskStep]") -> tuple[dict[str, Any], ...]:
    """Return open questions as a result shows them."""
    return tuple(
        {"step": key, "question": one.question, "answer": meant(one), "roles": list(one.roles)}
        for key, one in asked.items()
    )


def commands(change: str, asked: "Mapping[str, AskStep]") -> tuple[str, ...]:
    """Return the commands that answer open questions."""
    return tuple(f"itmp answer {change} {key} VALUE" for key in asked)


def _is_asked(run: RunRecord, key: str) -> bool:
    return key not in run.answers and any(part.key == key and not part.passed for part in run.slices)
