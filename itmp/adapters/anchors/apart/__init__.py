"""A folder anchor that another account of this machine keeps, so that the log's own account cannot make it forget.

Rules kept here: heads are written by a program of that account alone (`keep`), as which nobody but root and whom root
allowed by a sudo rule may act; anybody may read them; making the account is root's act, never done on the way. Who is
trusted: that account and root. Where the log's own account is root, the folder finds restored backups and every account
but root.
"""

from itmp.adapters.anchors.apart.account import DEFAULT, Account, AccountAnchor, find_account, named_account
from itmp.adapters.anchors.apart.founding import Separated, separate

__all__ = [
    "DEFAULT",
    "Account",
    "AccountAnchor",
    "Separated",
    "find_account",
    "named_account",
    "separate",
]
