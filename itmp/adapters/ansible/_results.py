"""Turns Ansible's result objects into plain values for the action socket. Imports nothing of Ansible.

Rules kept here: a result says its outcome, exit code, one line for people and a few small facts; it never
carries arguments, variables or output at length, and with `no_log` it carries nothing but the outcome; what changed is
told only where the play, block or task says `diff: true` itself. Ansible calls it a failure when a signal ends the
program that carried a task (ssh, say); what the task does on its host may go on there, so that is `unknown`.
"""

import bisect
import difflib
import errno
import itertools
import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

DATA: Final = frozenset({"ignored", "rescued", "items"})
"""The data whose values are ours alone: flags and counts, never a text of the play."""
_OUTPUTS: Final = ("stderr", "module_stderr", "stdout", "module_stdout")
_PARTING: Final = re.compile(r"(?:Shared connection|Connection) to \S+ closed\.\s*")
"""What ssh says at the end of a session with a terminal, where all that the program said is in stdout."""
_EXITED: Final = "non-zero return code"
_NOT_STARTED: Final = "Error executing command."
# The executor cuts a message to one short line once it is masked: half a secret would not be found.
_MAX_MESSAGE: Final = 100_000
_MAX_ID: Final = 100
_MAX_IDS: Final = 500
_MAX_DIFF: Final = 200_000
_MAX_SIDE: Final = 60_000  # characters of whole lines that are compared: the play waits for it
_MAX_LINES: Final = 2_000
_ITEMS: Final = ("failed", "unreachable", "skipped", "changed")


def describe(result: Any, outcome: str, more: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `ActionResult` that only the result knows."""
    raw: Mapping[str, Any] = result.result
    task = result.task
    hidden = bool(task.no_log) or "censored" in raw
    data: dict[str, Any] = dict(more)
    if isinstance(raw.get("results"), list):
        data["items"] = dict(
            Counter(_item_outcome(item) for item in raw["results"] if isinstance(item, Mapping))
        )
    asks = (
        str(task.action).rpartition(".")[2] == "async_status"
    )  # about work in the background: it starts none
    if background := _background(raw, finished=asks):
        outcome = outcome if asks else "unknown"  # not known until it is checked
        data["ended" if asks else "started"] = background
    elif outcome == "failed" and any(_cut_off(item) for item in _items(raw)):
        outcome = "unknown"
    fields: dict[str, Any] = {
        "outcome": outcome,
        "data": data,
        "action": str(task.resolved_action or task.action),
    }
    if task.action == "gather_facts":
        del fields["action"]
    delegates = _delegates(result, raw)
    if len(delegates) == 1:
        fields["delegate"] = delegates[0]
    elif delegates:
        data["delegates"] = delegates
    if not hidden:
        fields["message"] = message(raw, outcome)
        if getattr(task, "diff", False) is True:
            fields["diff"] = differences(raw)[:_MAX_DIFF]
        if isinstance(raw.get("rc"), int):
            fields["rc"] = raw["rc"]
    return fields


def _cut_off(raw: Mapping[str, Any]) -> bool:
    """Tell whether a signal ended what carried the task: whatever ends on a host has no negative number.

    A module without an answer has its output, a raw command or a script Ansible's own words and no `cmd`; other modules
    tell of a command that a signal ended there.
    """
    wordless = "module_stdout" in raw or (raw.get("msg") == _EXITED and "cmd" not in raw)
    return wordless and isinstance(raw.get("rc"), int) and raw["rc"] < 0


def _delegates(result: Any, raw: Mapping[str, Any]) -> list[str]:
    """Return where a task was done: the worker's own word, or in a loop over delegates each item's."""
    said = str(result.task_fields.get("delegate_to") or "")
    if "{{" not in said:
        return [said] if said else []
    found = [item.get("_ansible_delegated_vars") for item in _items(raw)]
    names = [str(one.get("ansible_delegated_host") or "") for one in found if isinstance(one, Mapping)]
    return list(dict.fromkeys(name for name in names if name))[:_MAX_IDS]


def added(raw: Mapping[str, Any]) -> list[str]:
    """Return the names of the hosts that an `add_host` result adds, also in a loop."""
    names = [_new_name(item) for item in _items(raw)]
    return [name for name in names if name]


def _new_name(item: Mapping[str, Any]) -> str:
    new = item.get("add_host")
    return str(new.get("host_name") or "") if isinstance(new, Mapping) else ""


def _background(raw: Mapping[str, Any], *, finished: bool) -> list[str]:
    """Return the ids of work in the background that a result speaks of, in a loop too."""
    return [
        str(item["ansible_job_id"])[:_MAX_ID]
        for item in _items(raw)
        if item.get("ansible_job_id") and bool(item.get("finished")) is finished
    ][:_MAX_IDS]


def _items(raw: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    inner = raw.get("results")
    return [raw, *(item for item in inner if isinstance(item, Mapping))] if isinstance(inner, list) else [raw]


def message(raw: Mapping[str, Any], outcome: str) -> str:
    """Return one line for people: what Ansible says, and for a failure what the command said last."""
    said = str(raw.get("msg") or raw.get("reason") or "")
    if outcome == "unreachable":
        said = _reached(said)
    parts = [said]
    if outcome == "unknown" and (cut := next(filter(_cut_off, _items(raw)), None)):
        parts = [f"what carried it was ended by signal {-cut['rc']}", "it may go on there"]
    if outcome == "skipped":
        parts.append(str(raw.get("skip_reason") or ""))
    if outcome in {"failed", "unreachable"}:
        parts = _failure(raw, said)
        for item in raw.get("results") or ():
            if isinstance(item, Mapping) and item.get("failed"):
                parts.append(message(item, outcome))
                break
    seen = list(dict.fromkeys(part.strip() for part in parts if part.strip()))
    return ": ".join(seen)[:_MAX_MESSAGE]


def differences(raw: Mapping[str, Any]) -> str:
    """Return what a result says that it changed, its items' included, as a unified diff."""
    found = raw.get("diff") or ()
    entries = found if isinstance(found, list | tuple) else (found,)
    parts = [_difference(entry) for entry in entries if isinstance(entry, Mapping)]
    items = [item for item in raw.get("results") or () if isinstance(item, Mapping)]
    told = (item for item in items if not (item.get("_ansible_no_log") or "censored" in item))
    return "".join([*parts, *map(differences, told)])


def _difference(entry: Mapping[str, Any]) -> str:
    if entry.get("prepared"):
        return str(entry["prepared"])
    before, after = (_lines_of(entry.get(name)) for name in ("before", "after"))
    names = (str(entry.get("before_header") or "before"), str(entry.get("after_header") or "after"))
    return "".join(difflib.unified_diff(before, after, *names))


def _lines_of(value: Any) -> list[str]:
    text = value if isinstance(value, str) else json.dumps(value, indent=1, sort_keys=True, default=str)
    lines = [f"{line}\n" for line in text.splitlines()] if value else []
    kept = lines[: bisect.bisect(list(itertools.accumulate(map(len, lines))), _MAX_SIDE)][:_MAX_LINES]
    return kept if len(kept) == len(lines) else [*kept, f"… {len(lines) - len(kept)} more lines\n"]


def _failure(raw: Mapping[str, Any], said: str) -> list[str]:
    """Return the exit code and the last line of output; Ansible's own words only where they say more."""
    code = raw.get("rc")
    last = next((line for line in map(_last, map(raw.get, _OUTPUTS)) if line), "")
    if said == _NOT_STARTED and isinstance(code, int):  # its code is the system's error number
        return ["the command did not start", os.strerror(code) if code in errno.errorcode else f"rc {code}"]
    words = "" if said == _EXITED else said
    last = "" if last and last in words else last
    number = f"rc {code}" if isinstance(code, int) and code != 0 else ""
    return [number, words, last or ("no output" if number and not words else "")]


def _reached(text: str) -> str:
    """Return ssh's own last line instead of its banner: it says why."""
    head, _, tail = text.partition("Make sure this host can be reached over ssh:")
    return f"{head.strip()} {_last(tail)}".strip() if tail else text


def _item_outcome(item: Mapping[str, Any]) -> str:
    return next((name for name in _ITEMS if item.get(name)), "ok")


def _last(text: Any) -> str:
    lines = [line for line in str(text or "").strip().splitlines() if not _PARTING.fullmatch(line)]
    return lines[-1] if lines else ""
