"""Inquiry: what an auditor asks of a whole log, beyond the proof of one change.

Where to look: `cases` (one change as an auditor reads it), `population` (which changes and runs there were, and a
sample by the auditor's own seed), `access` (who may do what, since when, by whose signatures), `exceptions` (where
somebody did alone what usually takes two, or passed a closed door), `traces` (what hosts recorded themselves),
`reconciling` (what the log and the hosts do not agree on), `contents` (what leaves commit to, and who destroyed it),
`openings` (who opened it, by whose word) and `restoring` (whether a copy of the log could take its place).
"""

from itmp.inquiry.access import Grant, access
from itmp.inquiry.cases import Case, RunCase
from itmp.inquiry.contents import Content, Redaction, contents
from itmp.inquiry.exceptions import Exceptional, exceptions
from itmp.inquiry.population import Basis, Population, Span, sample, touches
from itmp.inquiry.reconciling import Disagreement, reconcile
from itmp.inquiry.restoring import FORKS, Drill, drill
from itmp.inquiry.traces import Gap, Trace, TraceError, gaps, read_traces

__all__ = [
    "FORKS",
    "Basis",
    "Case",
    "Content",
    "Disagreement",
    "Drill",
    "Exceptional",
    "Gap",
    "Grant",
    "Population",
    "Redaction",
    "RunCase",
    "Span",
    "Trace",
    "TraceError",
    "access",
    "contents",
    "drill",
    "exceptions",
    "gaps",
    "read_traces",
    "reconcile",
    "sample",
    "touches",
]
