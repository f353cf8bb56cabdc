"""One workspace, opened: its folders, its configuration and its log.

Rules kept here: state lives in `.itmp/` and nowhere else, and is closed to child processes (`supervisor.custody`) from
the moment a workspace is opened, as is the user's ssh-agent; the log is opened by its normal recovery path, which
finishes a rotation that was interrupted; the log of an earlier period is read where it lies, and nothing is written to
it; who reads alone (`for_reading`) needs no private key, writes nothing and finishes nothing; the policy in force is
read from the log, never from a file of the working tree.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from itmp.errors import NotFoundError
from itmp.workspace import config as configuration

if TYPE_CHECKING:
    from itmp.audit import Log
    from itmp.canonical import Digest
    from itmp.change import PolicyHistory
    from itmp.plan import Plan
    from itmp.workspace.reading import Reading


_PLANS: Final = 64
"""Manifests that a workspace keeps in memory."""
EXECUTOR: Final[Mapping[str, str]] = {"kind": "executor", "id": "itmp"}
"""The actor of what no person did."""


def _synchronised() -> bool:
    from itmp.adapters.clock import synchronised  # noqa: PLC0415 - asked at the gate alone, where the policy says so

    return synchronised()


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """A folder of documents with its state. `Workspace.here()` finds it; everything opens lazily.

    `period` names an earlier period, for reading alone; empty for the current one. `reads` says that nothing is written
    and no private key is needed: see `for_reading`. `synchronised` is the door to what the kernel says of its clock;
    `say` is told, in words for a person, why something takes long.
    """

    root: Path
    config: configuration.Config
    period: str = ""
    reads: bool = False
    synchronised: Callable[[], bool] = field(default=_synchronised, repr=False, compare=False)
    say: "Callable[[str], None] | None" = field(default=None, repr=False, compare=False)
    _histories: dict[str, "PolicyHistory"] = field(default_factory=dict, repr=False, compare=False)
    _plans: dict[str, "Plan"] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.config.custody != "none":
            from itmp.adapters.supervisor import custody  # noqa: PLC0415 - the command line's help starts faster

            custody.close(self.state)
            custody.close_too(custody.shelter())
            if agent_socket := os.environ.get("SSH_AUTH_SOCK"):
                custody.close_too(Path(agent_socket))  # for children that are given no guard, too
        if self.config.agent_keys is not None:
            from itmp.adapters import agent  # noqa: PLC0415 - as above

            agent.allow(self.config.agent_keys)

    @classmethod
    def here(cls, start: Path | None = None, *, say: "Callable[[str], None] | None" = None) -> "Workspace":
        """Open the workspace around `start` (default: the current folder, or `ITMP_WORKSPACE`)."""
        root = configuration.find_root(start)
        return cls(root=root, config=configuration.load(root), say=say)

    def for_reading(self) -> "Workspace":
        """Return this workspace as whoever may not write it reads it: the log, or a copy of it, by its public key."""
        if self.reads:
            return self
        return self._with(period=self.period, reads=True)

    def in_period(self, name: str) -> "Workspace":
        """Return the workspace in period `name` (empty: the current one), unjudged whether it is here."""
        return self._with(period=name, reads=self.reads)

    def _with(self, *, period: str, reads: bool) -> "Workspace":
        """Return this workspace opened otherwise; what this one has read is not kept."""
        return Workspace(
            root=self.root,
            config=self.config,
            period=period,
            reads=reads,
            synchronised=self.synchronised,
            say=self.say,
        )

    @property
    def keyed(self) -> bool:
        """Whether the log's private key is here and ours to use: in a copy that somebody was given it is not."""
        return os.access(self.state / "keys" / "log.key", os.R_OK)

    @property
    def is_copy(self) -> bool:
        """Whether somebody reads a copy, which may have no journal and beside which nothing is kept."""
        return self.reads and not self.keyed

    @property
    def state(self) -> Path:
        """Everything that is not a document: log, keys, runs, engine state."""
        return self.root / configuration.STATE

    @property
    def leases(self) -> Path:
        """What changes and their targets are held by; closed to child processes, unlike `runs`."""
        return self.state / "leases"

    @property
    def runs(self) -> Path:
        """One folder per run; nothing in it is evidence."""
        return self.state / "runs"

    def facts(self, run: str) -> Path:
        """Where the attempts at one run keep the facts of its hosts."""
        return self.runs / run / "facts"

    @property
    def has_log(self) -> bool:
        """Whether `itmp init` has written a genesis here."""
        if self.reads:
            return (self.shard / "log").is_dir()
        self._settle()
        return (self.shard / "log" / "checkpoint").is_file()

    @property
    def shard(self) -> Path:
        """Where the log of this period lies, with its head record and search index."""
        if self.reads and not self.period:
            from itmp.adapters.posix_log.periods import standing  # noqa: PLC0415 - as for `log`

            return standing(self.state)
        return self.state / "periods" / self.period if self.period else self.state

    @cached_property
    def log(self) -> "Log":
        """The log, recovered (`reads`: as it would be, in memory) and checked against every head known."""
        from itmp.workspace.watched import open_watched  # noqa: PLC0415 - commands without a log start faster

        if not self.has_log:
            raise NotFoundError("this workspace has no log yet", where=str(self.root), do="Run `itmp init`.")
        return open_watched(self)

    @property
    def is_open(self) -> bool:
        """Whether the log was opened, so that asking it costs nothing more."""
        return "log" in vars(self)

    def _settle(self) -> None:
        if not self.period and (self.state / "rotation").is_dir():
            from itmp.workspace import handing  # noqa: PLC0415 - only where a rotation was begun

            handing.settle(self.state)

    def reading(self, *, behind: bool = False) -> "Reading":
        """Return the log as people read it: by its search index; nothing is judged by it.

        The index is brought up to date first, or, where that would take long and `behind` allows it, left behind:
        what it lacks is read from the journal.
        """
        from itmp.workspace.reading import Reading  # noqa: PLC0415 - as above
        from itmp.workspace.watched import telling  # noqa: PLC0415 - as above

        if not self.has_log:
            raise NotFoundError("this workspace has no log yet", where=str(self.root), do="Run `itmp init`.")
        with telling(self):
            return Reading(self.shard, alone=self.reads, keep=not self.is_copy, behind=behind, say=self.say)

    def has_change(self, change: str) -> bool:
        """Tell whether this period has the change of this id.

        A log that is open already, or a copy, is asked itself; else the index is.
        """
        if (self.is_open or self.is_copy) and self.log.head_of(change) is not None:
            return True
        return self.has_log and self.reading(behind=True).has(change)

    def history(self) -> "PolicyHistory":
        """Every policy version so far, each verified against the one before; walked again only when one is added."""
        head = self.log.policy_head()
        if head not in self._histories:
            from itmp.change import policy_history  # noqa: PLC0415 - as above

            self._histories[head] = policy_history(self.log.policy_leaves())
        return self._histories[head]

    def plan(self, digest: "Digest") -> "Plan":
        """The plan that the log keeps under this digest; the manifest stays while newer ones are few."""
        if digest not in self._plans:
            from functools import partial  # noqa: PLC0415 - as above

            from itmp.adapters import posix_log  # noqa: PLC0415 - as above
            from itmp.plan import Plan  # noqa: PLC0415 - as above
            from itmp.workspace.reading import read_blob  # noqa: PLC0415 - as above

            if len(self._plans) >= _PLANS:
                self._plans.pop(next(iter(self._plans)), None)
            blob = partial(read_blob, posix_log.open_reader(self.shard / "log"))
            self._plans[digest] = Plan.from_bytes(blob(digest), blob)
        return self._plans[digest]

    def relative(self, path: Path) -> str:
        """Return `path` as it stands in plans: relative to the root, with forward slashes."""
        absolute = path.resolve()
        if not absolute.is_relative_to(self.root.resolve()):
            raise NotFoundError(
                f"{path} is outside the workspace",
                where=str(self.root),
                do="Plans hold no machine paths: move it inside.",
            )
        return absolute.relative_to(self.root.resolve()).as_posix()
