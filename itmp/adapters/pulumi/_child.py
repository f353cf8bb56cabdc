"""The stack program's process: `python -I -B _child.py` under the supervisor, never beside the log key.

It runs one stack program inline through Pulumi's automation API and obeys JSON lines on its standard input,
one answer line each on its standard output: first `{program, work, stack}`, then `{do: preview | up |
cancel, plan}`. Rules kept here: it imports the Pulumi SDK and the standard library only; the program's own
prints go to standard error, so that they cannot pass for an answer; event handlers only queue, because the
engine swallows what they raise; judgement happens in the executor.
"""

import json
import os
import runpy
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from pulumi import automation
from pulumi.automation import EngineEvent, LocalWorkspace, Stack
from pulumi.automation._stack import StackInitMode  # not public; the SDK is pinned to one version
from semver import VersionInfo

DIAGNOSTICS = ("error", "warning")


def main() -> None:
    """Obey until the end of the input."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    requests = iter(sys.stdin.readline, "")
    first = json.loads(next(requests))
    try:
        stack = select(first)
        _answer(answers, {"ok": True})
        for line in requests:
            _answer(answers, obey(stack, json.loads(line)))
    except (automation.CommandError, automation.InvalidVersionError, OSError) as error:
        _answer(answers, {"ok": False, "error": str(error), "steps": [], "diagnostics": [], "summary": None})
        sys.exit(1)


def _answer(answers: IO[str], value: dict[str, Any]) -> None:
    answers.write(json.dumps(value, default=str) + "\n")
    answers.flush()


def select(first: dict[str, Any]) -> Stack:
    """Return the stack, created when it does not exist yet."""
    folder = Path(first["program"])
    sys.path.insert(0, str(folder.parent))

    def program() -> None:
        runpy.run_path(str(folder / "__main__.py"), run_name="__main__")

    command = _Command(first["version"])
    workspace = _Workspace(work_dir=first["work"], program=program, pulumi_command=command)
    mode = StackInitMode.SELECT if first["exists"] else StackInitMode.CREATE
    return _Stack(first["stack"], workspace, mode)


class _Command(automation.PulumiCommand):
    """The engine on PATH, whose version the executor knows: it is not asked again."""

    def __init__(self, version: str) -> None:
        self.command, self.version = "pulumi", VersionInfo.parse(version)


class _Workspace(LocalWorkspace):
    """Every call of the engine names its stack, so none needs to be selected."""

    def select_stack(self, stack_name: str) -> None:
        """Do nothing."""


class _Stack(Stack):
    """What an update gave is read from its events and from the cloud, not from three more engine calls."""

    def outputs(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def info(self, show_secrets: bool = False) -> automation.UpdateSummary:  # noqa: FBT001, FBT002, ARG002 -- the base's signature
        """Return an empty summary."""
        return automation.UpdateSummary(
            kind="update",
            start_time=datetime.now(UTC),
            message="",
            environment={},
            config={},
            result="unread",
        )


def obey(stack: Stack, request: dict[str, Any]) -> dict[str, Any]:
    """Carry out one request; a failure of the engine is an answer too."""
    events: list[EngineEvent] = []
    error = ""
    try:
        match request["do"]:
            case "preview":
                stack.preview(refresh=True, plan=request["plan"], on_event=events.append, color="never")
            case "up":
                stack.up(refresh=True, plan=request["plan"], on_event=events.append, color="never")
            case "cancel":
                stack.cancel()
            case other:
                error = f"no request {other!r}"
    except automation.CommandError as failed:
        error = str(failed)
    except RuntimeError as failed:
        error = f"the engine ended without a summary: {failed}"
    return {"ok": not error, "error": error, **report(events)}


def report(events: list[EngineEvent]) -> dict[str, Any]:
    """Return the events as data: steps, diagnostics, the engine's own summary."""
    steps: list[dict[str, Any]] = []
    diagnostics: list[dict[str, str]] = []
    summary = None
    for event in events:
        if event.resource_pre_event:
            steps.append(_step("pre", event.resource_pre_event.metadata))
        elif event.res_outputs_event:
            steps.append(_step("done", event.res_outputs_event.metadata))
        elif event.res_op_failed_event:
            steps.append(_step("failed", event.res_op_failed_event.metadata))
        elif event.summary_event:
            summary = {
                str(getattr(op, "value", op)): n for op, n in event.summary_event.resource_changes.items()
            }
        elif event.diagnostic_event and event.diagnostic_event.severity in DIAGNOSTICS:
            found = event.diagnostic_event
            diagnostics.append({"urn": found.urn or "", "severity": found.severity, "message": found.message})
    return {"steps": steps, "diagnostics": diagnostics, "summary": summary}


def _step(stage: str, metadata: Any) -> dict[str, Any]:
    return {
        "stage": stage,
        "op": metadata.op.value,
        "urn": metadata.urn,
        "type": metadata.type,
        "old": metadata.old.inputs if metadata.old else None,
        "new": metadata.new.inputs if metadata.new else None,
        "diffs": metadata.diffs or [],
    }


if __name__ == "__main__":
    main()
