"""An executor in its own process, for tests that kill it: runs a plan and prints every intent.

`python pulumi_executor.py FOLDER TOKEN ENDPOINT PLAN.tar`
"""

import sys
from pathlib import Path

from pulumi_rig import Stacks, part

from itmp.execution.doors import Action, ActionResult, Room
from itmp.plan import from_tar
from itmp.testing.rig import Rig


class Speaker:
    """Says what it is told."""

    def before(self, action: Action) -> None:
        print("before", action.name, flush=True)  # noqa: T201 -- the test reads it

    def after(self, result: ActionResult) -> None:
        print("after", result.name, result.outcome, flush=True)  # noqa: T201 -- the test reads it


def main() -> None:
    folder, token, endpoint, file = sys.argv[1:]
    stacks = Stacks(Path(folder), endpoint)
    plan = from_tar(Path(file).read_bytes())
    room = Room(folder=Path(folder) / "room", token=token, run="RUN-1")
    stacks.runner.run(Rig(plan).permit(), plan, part(plan), room=room, observer=Speaker())


if __name__ == "__main__":
    main()
