"""The door through which records leave."""

from collections.abc import Sequence
from typing import Protocol

from itmp.errors import Error


class SinkError(Error):
    """A receiver did not take records; what was accepted before it was counted."""

    exit_code = 13
    retryable = True


class Sink(Protocol):
    """A receiver of records.

    Contract: `send` returns once the receiver has taken all of `records`, as far as its protocol can say: a file has
    them on disk, HTTPS has answered 2xx, syslog has read to the connection's end and closed it too. It raises
    `SinkError` when that is not so; the receiver may then hold some of them, and gets them again: every record names
    its leaf, so that a receiver can drop what it has. One thread at a time.
    """

    def send(self, records: Sequence[bytes]) -> None:
        """Hand over records, each one line of JSON without its end, in the log's order."""

    def close(self) -> None:
        """Let go of the receiver."""
