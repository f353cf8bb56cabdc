"""Checks of a patch schedule: what each host must answer before the next batch is patched."""

from itmp.documents import checks
from itmp.documents.scalars import Duration, Line, Name, Templated


class Check(checks.Check):
    """One check of every host, repeated until it is right or `within` has passed."""

    id: Name
    title: Line | None = None
    within: Templated[Duration] = 60

    @property
    def heading(self) -> str:
        """The check's title: the author's, or its id."""
        return self.title or f"Check {self.id}"
