"""The play of `ara_play.py` as a change: opened, and run by `itmp run` with its gate, its callback and its log."""

import json
import os
import subprocess
import sys
from itertools import count
from pathlib import Path

from ara_play import HOSTS, TASKS
from run_overhead import BIN, PLAY, RUNBOOK, TASK, Measured, itmp, timed


class OwnPlay:
    """A workspace for the same hosts; each measurement runs a change of its own."""

    def __init__(self, root: Path) -> None:
        self._root, self._numbers = root, count(1)
        os.environ |= {"XDG_STATE_HOME": f"{root}/state", "ITMP_ANCHOR_ACCOUNT": "none"}
        for folder in ("playbooks", "inventories"):
            (root / folder).mkdir(parents=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", root / "key"], check=True)
        itmp(root, "init", "--key", "key", "--organization", "example.com", "--signer", "bench@example.com")
        shared = f"{{ansible_connection: local, ansible_python_interpreter: {sys.executable}}}"
        hosts = "".join(f"        h{n}: {{}}\n" for n in range(HOSTS))
        fleet = f"all:\n  children:\n    lab:\n      vars: {shared}\n      hosts:\n{hosts}"
        (root / "inventories/hosts.yml").write_text(fleet)
        (root / "inventories/known_hosts").touch()
        (root / "itmp.yml").write_text("organization: example.com\ninventories: [inventories/hosts.yml]\n")

    def spent(self) -> tuple[float, float]:
        """Return the processor seconds that `itmp run` itself spends on the play's results, and on starting.

        A play of one task tells the two apart: what a run costs before and after is the same however long it is.
        """
        one, all_ = self._run(1).alone, self._run(TASKS).alone
        each = (all_ - one) / (TASKS - 1)
        return each * TASKS, one - each

    def _run(self, tasks: int) -> Measured:
        play = PLAY + "".join(TASK.format(n=n) for n in range(tasks))
        (self._root / "playbooks/tasks.yml").write_text(play)
        (self._root / "runbook.yml").write_text(RUNBOOK.format(n=next(self._numbers)))
        said = itmp(self._root, "propose", "runbook.yml", "--reason", "bench", "--json")
        return timed([str(BIN / "itmp"), "run", json.loads(said)["change"]], self._root, {})
