"""A told story whose log has ended, the next period that lies in its place, and the story that goes on there."""

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from itmp.adapters import posix_log
from itmp.adapters.posix_log import periods
from itmp.change import time_of
from itmp.testing.periods import next_key
from itmp.testing.story import Story
from itmp.workspace import handing

_LASTING = "2026-01-01T00:00:00Z 2036-01-01T00:00:00Z"


def pass_on(story: Story, root: Path) -> None:
    """Do what `itmp audit rotate` does, for a story that was told in the workspace `root`: 2026 ends, 2027 begins."""
    state, log, new = root / ".itmp", story.log, next_key()
    lines = {"role": "owner", "valid": _LASTING, "size": str(log.size()), "from": log.vkey, "to": new.vkey}
    given = [story.sign("rotate", name, **lines).to_data() for name in ("alice", "bob")]
    proposal = {"old": log.vkey, "new": new.vkey, "size": log.size(), "reason": ""}
    folder = state / periods.ROTATION
    folder.mkdir()
    (folder / handing.NEW).write_text(new.to_text() + "\n")
    (folder / handing.NEW).chmod(0o600)
    (folder / handing.PLAN).write_text(json.dumps(proposal))
    (folder / handing.GIVEN).write_text(json.dumps(given))
    opened = posix_log.open_log(state)
    handing.end(opened, handing.read(state), state, size=opened.size())
    handing.finish(state, opened)


class Later(Story):
    """The story that goes on in the period that `pass_on` has begun in the workspace `root`."""

    def __init__(self, before: Story, root: Path) -> None:
        store = posix_log.PosixStore(root / ".itmp", boot="later")
        begun = time_of(posix_log.open_log(root / ".itmp").leaf(0))
        super().__init__(
            store=store,
            key=next_key(),
            plan=before.plan,
            policy=before.policy_bytes,
            start=begun + timedelta(hours=1),
        )

    def _found(self, roots: Sequence[str]) -> None:
        """Leave the log as it was founded."""
