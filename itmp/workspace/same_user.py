"""Anchors that the log's own account keeps, and could empty: which ones, and what root types once to change that.

Rules kept here: only what `itmp audit separate` would change is named; a folder that somebody chose, and an account
that was declined (`none`), are their owner's decision; nothing is opened or asked for it, and no exit code rests on it.
"""

import os
import pwd

from itmp.workspace.place import Workspace


def kept_by_us(place: Workspace) -> tuple[str, ...]:
    """Return the names of the anchors that this account keeps for itself."""
    from itmp.adapters.anchors.apart import find_account, named_account  # noqa: PLC0415 - few commands ask

    found = []
    for setting in place.config.anchors:
        if setting.kind == "directory" and not setting.path:
            account = named_account(os.environ, setting.account)
            if account and find_account(account) is None:
                found.append(setting.name or setting.kind)
    return tuple(found)


def separating() -> str:
    """Return the command by which root has another account keep heads, and lets this one hand them over."""
    if os.geteuid() == 0:
        return "itmp audit separate"
    return f"sudo itmp audit separate --for {pwd.getpwuid(os.geteuid()).pw_name}"
