"""The running child: `python -m itmp.adapters.ansible.child` runs one playbook through ansible-runner.

Request on stdin: `{command: [text], environment: {name: text}, folder, data}`. Answer on stdout, one
line: `{status, rc, lines}` with the last lines that Ansible printed (not masked: the executor masks
them).

Rules kept here: ansible-runner writes no event, environment or output files (they cost a third of the
wall time and would hold what must not be held); its own environment is replaced wholly.
"""

import json
import os
import sys
from collections import deque
from typing import Any, Final

from ansible_runner import Runner, RunnerConfig

_LINES: Final = 60
_LINE: Final = 20_000  # a text is cut after it is masked: half a secret is not recognised
_KILLED: Final = 137  # ansible-runner has no exit code for an Ansible that a signal ended


def main() -> int:
    """Run one request."""
    answer_to = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    status, rc, lines = run(request)
    answer_to.write(json.dumps({"status": status, "rc": rc, "lines": lines}))
    answer_to.close()
    return 0


def run(request: dict[str, Any]) -> tuple[str, int, list[str]]:
    """Run the playbook command; return ansible-runner's status, the exit code and the last lines printed."""
    lines: deque[str] = deque(maxlen=_LINES)

    def take(event: dict[str, Any]) -> bool:
        lines.extend(line[:_LINE] for line in str(event.get("stdout", "")).splitlines() if line.strip())
        return False

    config = RunnerConfig(
        request["data"],
        project_dir=request["folder"],
        playbook="unused",
        suppress_env_files=True,
        fact_cache_type="memory",
        quiet=True,
    )
    config.prepare()
    config.command = request["command"]
    config.env = request["environment"]
    config.cwd = request["folder"]
    config.suppress_output_file = True  # the constructor's value is overwritten by prepare()
    runner = Runner(config, event_handler=take)
    status, rc = runner.run()
    return status, _KILLED if rc is None else rc, list(lines)


if __name__ == "__main__":
    sys.exit(main())
