"""Anchors: places outside the log that remember its heads, so that a rollback or a fork shows from outside.

Rules kept here: this room judges and speaks protocols, it opens nothing; an anchor can only add knowledge, never make
a log valid; a head that an anchor holds and the log does not continue is a fork or a rollback, named as such. Who is
trusted: each anchor alone. Whoever controls one can forget heads, but cannot invent one without the log's key.
"""

from itmp.anchors.doors import Anchor, AnchorError, AnchorFloodedError, Head, LocalAnchor, Prove, Seen
from itmp.anchors.judging import Coverage, cover, judge, judge_others
from itmp.anchors.request import MAX_REQUEST, Request, RequestError
from itmp.anchors.witness import Reply, Witness

__all__ = [
    "MAX_REQUEST",
    "Anchor",
    "AnchorError",
    "AnchorFloodedError",
    "Coverage",
    "Head",
    "LocalAnchor",
    "Prove",
    "Reply",
    "Request",
    "RequestError",
    "Seen",
    "Witness",
    "cover",
    "judge",
    "judge_others",
]
