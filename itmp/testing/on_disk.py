"""A story told into a real log on disk, for tests of whatever reads a workspace.

Rules kept here: the log is laid out as `itmp init` lays it out, key, head record and journal included, so that every
reader opens it in its ordinary way.
"""

from pathlib import Path
from typing import Any

from itmp.adapters.posix_log import PosixStore
from itmp.adapters.posix_log import durable as files
from itmp.adapters.posix_log.files import STATE
from itmp.adapters.posix_log.heads import SqliteHeads
from itmp.adapters.posix_log.journal import PosixJournal
from itmp.adapters.posix_log.reading import HEAD, KEY, LOG
from itmp.audit import empty_head
from itmp.testing.story import ORIGIN, Story


def story_on_disk(root: Path, **options: Any) -> Story:
    """Found a log in the workspace `root` and return its story; `options` are those of `Story`."""
    state = root / ".itmp"
    (state / KEY.parent).mkdir(parents=True, mode=0o700)
    (root / "itmp.yml").write_text("organization: example.com\n")
    SqliteHeads(state / HEAD).create(empty_head(ORIGIN))
    PosixJournal.create(state / LOG / STATE)
    story = Story(store=PosixStore(state, boot="story"), **options)
    text = story.key.to_text().encode() + b"\n"
    files.place(state / KEY, text, temporary=state / "key.new", mode=0o600)
    story.log.checkpoint()
    return story
