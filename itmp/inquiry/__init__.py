"""Inquiry: what an auditor asks of a whole log, beyond the proof of one change.

Where to look: `cases` (one change as an auditor reads it), `population` (which changes and runs there were, and a
sample by the auditor's own seed), `access` (who may do what, since when, by whose signatures), `exceptions` (where
somebody did alone what usually takes two, or passed a closed door), `traces` (what hosts recorded themselves) and
`reconciling` (what the log and the hosts do not agree on).
"""

from itmp.inquiry.access import Grant, access
from itmp.inquiry.cases import Case, RunCase
from itmp.inquiry.exceptions import Exceptional, exceptions
from itmp.inquiry.population import Population, population, sample
from itmp.inquiry.reconciling import Disagreement, reconcile
from itmp.inquiry.traces import Trace, TraceError, read_traces

__all__ = [
    "Case",
    "Disagreement",
    "Exceptional",
    "Grant",
    "Population",
    "RunCase",
    "Trace",
    "TraceError",
    "access",
    "exceptions",
    "population",
    "read_traces",
    "reconcile",
    "sample",
]
