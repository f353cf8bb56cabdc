"""Evidence: one file that proves the story of one change offline, and the rules by which it is judged.

Where to look: `bundle` (what the file holds), `archive` (its one form), `trust` (what the auditor brings),
`rules` (their names and findings), `verify` (the
rules judged), `conduct` (rules 10 to 15), `report` (what comes out). `verify.sh` beside
this file is the same check, as far as a shell can go, for people who run nothing of ours.
"""

from itmp.evidence.archive import ArchiveError
from itmp.evidence.bundle import Trail, build
from itmp.evidence.moments import Interval
from itmp.evidence.report import Report, Rule, Told
from itmp.evidence.rules import RULES
from itmp.evidence.stamps import Stamps
from itmp.evidence.trust import LogPolicy, Trust
from itmp.evidence.verify import REQUIRABLE, verify

__all__ = [
    "REQUIRABLE",
    "RULES",
    "ArchiveError",
    "Interval",
    "LogPolicy",
    "Report",
    "Rule",
    "Stamps",
    "Told",
    "Trail",
    "Trust",
    "build",
    "verify",
]
