"""The door `ExternalRecord`: the change record that an outside system (an ITSM) keeps about the same change.

Contract:
- `read(reference)` looks the record up now and returns it, or raises: `NotFoundError` when the system
  answered that there is none, any other `Error` when it could not be asked. It never returns a remembered
  answer, because the gate would run on it.
- `write(reference, note)` appends `note` to the record and returns once the system has confirmed. It may be
  repeated: `note.id` is the leaf hash that the note tells of, and a system that has it already does
  nothing. An error says nothing about whether the note arrived; the caller repeats it later and no run
  waits for it.
- Neither call changes our log, and no answer widens anything: the gate only ever refuses because of this
  door.
- Whoever controls the outside system can refuse our runs and cannot cause one.
"""

from dataclasses import dataclass
from typing import Protocol

from itmp.calendars import Window
from itmp.canonical import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalState:
    """The outside record as it is now. `implement` says that its own state allows the work."""

    reference: str
    implement: bool
    state: str
    window: Window | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What the outside record is told: `id` is the leaf it stands for, `text` one paragraph for people."""

    id: Digest
    text: str


class ExternalRecord(Protocol):
    """Reads and annotates records of one outside system; see the module's contract."""

    def read(self, reference: str) -> ExternalState:
        """Return the record as it is now."""

    def write(self, reference: str, note: Note) -> None:
        """Append a note."""
