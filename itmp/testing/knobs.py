"""A cloud in memory that holds knobs, for tests of whatever turns them.

Rules kept here: it keeps the contract of `itmp.adapters.aws.Aws` (reads change nothing, a write sets one
value, what does not exist is `NotFoundError`) and is as lenient as AWS's doubles: it accepts any number. It
fails in both ways: `refuse_writes` (not done, reported failed) and `lose_writes` (done, reported failed);
`lag` readings after a write still show the old value.
"""

from dataclasses import replace

from itmp.adapters.aws import Capacity, CloudError
from itmp.errors import NotFoundError


class MemoryCloud:
    """Knobs by (knob, resource id)."""

    def __init__(self) -> None:
        self.knobs: dict[tuple[str, str], Capacity] = {}
        self.writes: list[tuple[str, str, int]] = []
        self.refuse_writes = self.lose_writes = False
        self.lag = 0
        self._stale: dict[tuple[str, str], tuple[int, int]] = {}

    def add(self, knob: str, resource: str, value: int, *, floor: int = 0, ceiling: int | None = None) -> str:
        """Create a resource; return its ARN."""
        arn = f"arn:aws:double:us-east-1:123456789012:{knob}/{resource}"
        self.knobs[knob, resource] = Capacity(value=value, floor=floor, ceiling=ceiling, arn=arn)
        return arn

    def read(self, knob: str, resource: str) -> Capacity:
        """Return the present capacity."""
        if (knob, resource) not in self.knobs:
            raise NotFoundError(f"no {knob} {resource!r}")
        now = self.knobs[knob, resource]
        left, old = self._stale.get((knob, resource), (0, 0))
        if left:
            self._stale[knob, resource] = (left - 1, old)
            return replace(now, value=old)
        return now

    def write(self, knob: str, resource: str, value: int) -> None:
        """Set the value."""
        now = self.knobs.get((knob, resource))
        if now is None:
            raise NotFoundError(f"no {knob} {resource!r}")
        self.writes.append((knob, resource, value))
        if self.refuse_writes:
            raise CloudError("the write was refused")
        self._stale[knob, resource] = (self.lag, now.value)
        self.knobs[knob, resource] = replace(now, value=value)
        if self.lose_writes:
            raise CloudError("the connection was lost")


__all__ = ["MemoryCloud"]
