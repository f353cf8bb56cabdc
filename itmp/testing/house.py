"""A whole run over the real log, the real gate, the real record and real evidence; only what it acts on is scripted.

Rules kept here: whoever answers does it by a signed statement, and what counts is what the record says; a `House` can
be killed and taken up again, because its log and its world outlive the process.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from itmp.audit import Event
from itmp.change import Permit, Refusal, RunRecord
from itmp.errors import Error
from itmp.evidence import Trust, verify
from itmp.execution import Author, Reprise, RunStory, RunSummary, Wiring, execute, resume, undo
from itmp.execution.doors import Answer, Room, Slice
from itmp.execution.progress import RunEvent
from itmp.plan import Plan, is_no, questions, targets
from itmp.testing.runners import Fuse, Killed, ScriptedProber, ScriptedRunner, World
from itmp.testing.story import EXECUTOR, Story


class House:
    """An approved change over a plan, and a world to run it in.

    `answers` are given at the first look at their questions (`true` where nothing else is said); who wants it otherwise
    replaces `looked`, which is called after each look that found nothing. `stopping` is asked between actions,
    `listener` is told what happens.
    """

    def __init__(
        self,
        made: Plan,
        script: Mapping[tuple[str, str], Iterable[Any]] | None = None,
        answers: Mapping[str, str] | None = None,
    ) -> None:
        self.story = Story(plan=made)
        self.story.open()
        self.story.act("approve", "bob")
        self.world, self.fuse = World(), Fuse()
        self.looked: Callable[[Slice], object] = self._answered
        self.stopping: Callable[[], bool] = bool
        self.listener: Callable[[RunEvent], object] = id
        self._script = {key: list(endings) for key, endings in (script or {}).items()}
        self._answers = dict(answers or {})

    @property
    def run_record(self) -> RunRecord:
        """What the record says of the run."""
        return self.story.record.runs[-1]

    def wiring(self, permit: Permit) -> Wiring:
        """Return what a run needs."""
        runner = ScriptedRunner(self.world, script=self._script, fuse=self.fuse)
        runner._script = self._script  # noqa: SLF001 - what an attempt has used is used for the next
        return Wiring(
            journal=self.story.log,
            runners=dict.fromkeys(("ansible", "check"), runner),
            recheck=self._recheck,
            patience=self,
            room=Room(folder=Path("/nowhere"), token="token", run=permit.run),  # noqa: S106 - nothing is started
            progress=self,
            stopping=self._stops,
            ids=self.story.id,
            now=self.story.clock.now,
            author=Author(actor=EXECUTOR, on_behalf_of="alice@example.com"),
        )

    def answer(self, part: Slice) -> Answer | None:
        """Return the answer that the record counts."""
        given = self.run_record.answers.get(part.key)
        if given is None:
            self.looked(part)
            return None
        return Answer(value=given.statement.fields["value"], leaf=given.leaf, signer=given.signer)

    def noes(self) -> frozenset[str]:
        """Return the questions to which the record counts a no."""
        asked = questions(self.story.plan.manifest)
        found = self.run_record.answers.items()
        return frozenset(key for key, given in found if is_no(asked[key], given.line("value")))

    def say(self, key: str, value: str) -> None:
        """Have somebody answer a question, whether that counts or not."""
        self.story.act("answer", "alice", run="run-1", step=key, value=value)

    def sleep(self, seconds: float) -> None:
        """Let no time pass."""
        del seconds

    def on_event(self, event: RunEvent, /) -> None:
        """Pass on what happens."""
        self.listener(event)

    def run(self) -> RunSummary | None:
        """Run the plan; `None` when it was killed."""
        permit = self.story.permit()
        with suppress(Killed):
            return execute(permit, self.story.plan, wiring=self.wiring(permit))
        return None

    def resume(self, retry: Iterable[str] = (), skip: Iterable[str] = ()) -> RunSummary | None:
        """Take the run up; `None` when it was killed."""
        reprise = Reprise(retry=frozenset(retry), skip=frozenset(skip), reason="so")
        line = ",".join([*(f"!{host}" for host in sorted(skip)), *(f"+{state}" for state in sorted(retry))])
        permit = self.story.permit(mode="resume", limit=line or "-")
        blind = targets(self.story.plan.manifest)  # the plans name no probes
        with suppress(Killed):
            return resume(
                permit,
                self.story.plan,
                wiring=self.wiring(permit),
                story=self.told(),
                prober=ScriptedProber(self.world, blind=blind, fuse=self.fuse),
                reprise=reprise,
            )
        return None

    def undo(self) -> None:
        """Undo what was begun."""
        permit = self.story.permit(mode="undo")
        with suppress(Killed, Error):
            undo(permit, self.story.plan, wiring=self.wiring(permit), story=self.told())

    def reconcile(self, outcome: str) -> None:
        """Have somebody say of everything that is not known that its outcome is `outcome`."""
        for key, target in self.told().unknown():
            begun = self.told().slices[key]
            step, phase = (
                key.removeprefix("undo:").partition("@")[0],
                "undo" if key.startswith("undo:") else "do",
            )
            lines = {
                "run": "run-1",
                "host": target,
                "outcome": outcome,
                "role": "sre",
                "change": self.story.change,
            }
            signed = self.story.sign("reconcile", "alice", **lines, reason="somebody looked")
            self.story.write(
                Event(
                    id=self.story.id(), type="action.reconciled", actor={"kind": "human", "id": "alice@example.com"},
                    change=self.story.change, plan=self.story.plan.digest, run="run-1", step=step, phase=phase,
                    intent=begun.intents[target], target={"kind": "host", "id": target}, outcome=outcome,
                    data=signed.to_data(),
                )
            )  # fmt: skip

    def told(self) -> RunStory:
        """Return what the log tells."""
        leaves = self.story.log.of_change(self.story.change)
        return RunStory.from_leaves(leaves, plan=self.story.plan, blob=self.story.log.blob, run="run-1")

    def state(self) -> str:
        """Return how the run stands."""
        return self.run_record.state

    def verdict(self) -> tuple[int, str]:
        """Return the verifier's exit code, and which rule is broken and why."""
        report = verify(self.story.evidence(), Trust.from_files(self.story.trust()))
        return report.exit_code, f"{report.broken.n}: {report.broken.why}" if report.broken else ""

    def _stops(self) -> bool:
        return self.stopping()

    def _answered(self, part: Slice) -> None:
        self.say(part.key, self._answers.get(part.key, "true"))

    def _recheck(self, part: Slice, *, exempt: bool) -> None:
        del part
        answer = self.story.ask("always" if exempt else "slice")
        if isinstance(answer, Refusal):
            raise answer.to_error(self.story.change)
