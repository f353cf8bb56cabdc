"""How far check mode can be trusted for an action: by what Ansible's own modules declare.

Runs in the `inspect` child only. `none`: the module does nothing in check mode, or anything. `full`: it
declares support. `unknown`: it says neither.
"""

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ansible.plugins.loader import module_loader

if TYPE_CHECKING:
    from itmp.plan.model import CheckMode

# These take a command: check mode skips them or (raw, script) cannot know what they would do.
_NONE: Final = frozenset(
    f"ansible.builtin.{name}" for name in ("command", "shell", "raw", "script", "expect", "async_status")
)
# Pure controller actions, and actions whose own code handles check mode.
_FULL: Final = frozenset(
    f"ansible.builtin.{name}"
    for name in [
        "add_host",
        "assert",
        "copy",
        "debug",
        "fail",
        "gather_facts",
        "group_by",
        "include_role",
        "include_tasks",
        "include_vars",
        "meta",
        "package",
        "pause",
        "reboot",
        "service",
        "set_fact",
        "set_stats",
        "setup",
        "template",
        "validate_argument_spec",
        "wait_for_connection",
    ]
)
_DECLARES: Final = re.compile(rb"supports_check_mode\s*=\s*(True|False)")


@functools.cache
def trust(action: str) -> "CheckMode":
    """Return the trust for a resolved action name."""
    if action in _NONE:
        return "none"
    if action in _FULL:
        return "full"
    found = module_loader.find_plugin(action) if "{{" not in action else None
    if not found or not found.endswith(".py"):
        return "unknown"
    source = Path(found).read_bytes()
    declared = set(_DECLARES.findall(source))
    if declared == {b"True"}:
        return "full"
    return "none" if declared == {b"False"} or b"AnsibleModule(" in source else "unknown"
