"""Anchors on real ground: folders, witnesses, time stamp authorities, git repositories, S3 buckets.

Rules kept here: every exchange is bounded in bytes and seconds; an answer counts only after it has been verified; what
an anchor holds is never overwritten by a head that does not continue it. Who is trusted: see each module.
"""

from itmp.adapters.anchors.apart import AccountAnchor
from itmp.adapters.anchors.folder import FolderAnchor
from itmp.adapters.anchors.git import GitAnchor
from itmp.adapters.anchors.s3 import S3Anchor
from itmp.adapters.anchors.stamps import StampAnchor, verify_stamp
from itmp.adapters.anchors.witness import WitnessAnchor

__all__ = [
    "AccountAnchor",
    "FolderAnchor",
    "GitAnchor",
    "S3Anchor",
    "StampAnchor",
    "WitnessAnchor",
    "verify_stamp",
]
