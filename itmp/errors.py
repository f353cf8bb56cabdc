"""One root for every error that itmp raises on purpose, sorted by who must act.

Rules kept here: an error says what is wrong, where, and what to do next; its exit code is part of the
contract with pipelines (docs/formats/cli.md); only `itmp.cli` catches the root. An exception that is not an
`Error` is our bug and ends with exit code 70.
"""

from typing import ClassVar


class Error(Exception):
    """Root. `what` is one sentence, `where` a place (file:line:column, host, leaf), `do` the next action."""

    exit_code: ClassVar[int] = 70
    retryable: ClassVar[bool] = False

    def __init__(self, what: str, *, where: str = "", do: str = "") -> None:
        self.what, self.where, self.do = what, where, do
        super().__init__(what)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.what}" + (f"\n  {self.do}" if self.do else "")


# The author of a document or the person at the keyboard must act.


class InvalidInputError(Error):
    """A document, argument, key or configuration is wrong."""

    exit_code = 2


class NotFoundError(InvalidInputError):
    """The named thing (change, plan, host, file) does not exist here."""


# An approver must act.


class NotApprovedError(Error):
    """The plan has not been approved yet by a valid quorum."""

    exit_code = 10
    retryable = True


class OutsideWindowError(Error):
    """Now lies outside the approved window, or inside a freeze."""

    exit_code = 11
    retryable = True


class StaleError(Error):
    """The world or the plan's bytes are not those that were approved."""

    exit_code = 12


class RefusedError(Error):
    """The policy forbids it."""

    exit_code = 15


class RejectedError(Error):
    """A person rejected or revoked it, or canceled the change."""

    exit_code = 18


# The operator must act.


class RunFailedError(Error):
    """The run finished and at least one target failed."""

    exit_code = 13


class UnknownOutcomeError(Error):
    """The outcome for at least one target is not known; probe or reconcile."""

    exit_code = 14


class UnsynchronisedClockError(Error):
    """The policy asks for a clock that the kernel calls synchronised; the log itself can be written."""

    exit_code = 16


class LogUnavailableError(Error):
    """The log cannot be written or read (full disk, read-only, damaged)."""

    exit_code = 16


class ToolMissingError(Error):
    """Something that is needed of this machine is not there: a program, an extra, room for temporary files."""

    exit_code = 17


class BusyError(Error):
    """Another run holds the change or a host."""

    exit_code = 19
    retryable = True


class UndoneError(Error):
    """The run failed and was undone."""

    exit_code = 20


# An auditor must act: somebody may be lying.


class EvidenceInvalidError(Error):
    """A log, a statement or a bundle contradicts itself or its proofs."""

    exit_code = 40


class EvidenceIncompleteError(Error):
    """The evidence is sound as far as it goes but something required is absent."""

    exit_code = 41


class ForkError(Error):
    """Two histories exist: a fork, or a rollback to an older one."""

    exit_code = 42


class RolledBackError(ForkError):
    """Somebody knew more leaves than there are now."""
