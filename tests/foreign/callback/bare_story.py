"""Writes what bare `ansible-playbook` did, host by host, in the terms in which the log is compared with it."""

import json
import os
from collections import defaultdict
from typing import Any

from ansible.plugins.callback import CallbackBase

from itmp.adapters.ansible._tasks import INCLUDES, META, title

DOCUMENTATION = """
name: bare_story
type: aggregate
short_description: tells a comparison what happened
description: Writes results in order, host by host, and the recap, as JSON to the file that BARE_STORY names.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "bare_story"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._results: dict[str, list[str]] = defaultdict(list)
        self._recap: dict[str, dict[str, int]] = {}

    def v2_runner_on_ok(self, result: Any) -> None:
        if str(result.task.action) not in INCLUDES:  # an include counts once it was read
            self._note(result, "changed" if result.is_changed() else "ok")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:  # noqa: FBT001, FBT002 -- Ansible's signature
        self._note(result, "failed, ignored" if ignore_errors else "failed")

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._note(result, "skipped")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        ignored = result.task_fields.get("ignore_unreachable")
        self._note(result, "unreachable, ignored" if ignored else "unreachable")

    def v2_playbook_on_include(self, included_file: Any) -> None:
        for host in included_file._hosts:
            self._results[host.name].append(f"{title(included_file._task)}: ok")
        self._write()

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._recap = {host: stats.summarize(host) for host in stats.processed}
        self._write()

    def _note(self, result: Any, outcome: str) -> None:
        if result.task.action in META:
            return
        delegate = result.task_fields.get("delegate_to")
        where = (
            f" @{delegate}" if delegate and "{{" not in delegate else ""
        )  # in a loop each item has its own
        self._results[result.host.name].append(f"{title(result.task)}{where}: {outcome}")
        self._write()

    def _write(self) -> None:
        with open(os.environ["BARE_STORY"], "w") as file:  # noqa: PTH123 -- one call, no path to build
            json.dump({"results": self._results, "recap": self._recap}, file)
