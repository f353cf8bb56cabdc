"""A plan made harmless for a preview, and the request that previews it.

Rules kept here: what of a project runs on the executor's machine (plugins), reaches into Ansible's modules, or stands
in for them is left out of the layout; a module of the project's own becomes one that does nothing. What the plan says
of its hosts and their interpreters stays.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Final

from itmp.adapters.ansible import _config, layout
from itmp.adapters.ansible._preview import CANNOT_KNOW, ON
from itmp.plan import Plan

_CODE: Final = re.compile(r"\w+_plugins\Z|module_utils\Z")
_SAYS: Final = json.dumps({"skipped": True, "skip_reason": f"{CANNOT_KNOW}a module of the project's own"})
_STUB: Final = f"#!/usr/bin/python\nprint({_SAYS!r})\n".encode()


def harmless(plan: Plan) -> Plan:
    """Return the plan without the project's own plugins, its modules replaced by ones that do nothing."""
    kept = {path: data for path in plan.manifest.artifacts if (data := _kept(path, plan)) is not None}
    return Plan.build(replace(plan.manifest, artifacts={}), kept)


def _kept(path: str, plan: Plan) -> bytes | None:
    parts = PurePosixPath(path).parts[1:-1]
    if any(_CODE.match(part) for part in parts) or ("ansible_collections" in parts and "plugins" in parts):
        return None
    if "library" in parts:
        return _STUB if path.endswith(".py") else None
    data = plan.artifact(path)
    if path in _config.FILES:
        return b"".join(line for line in data.splitlines(keepends=True) if b"interpreter_python" not in line)
    return data


def into(request: dict[str, Any], plan: Plan) -> None:
    """Make the child's request one that previews; interpreters that the inventory itself names stay usable."""
    request["command"] += ["--check", "--diff"]
    request["environment"][ON] = json.dumps(sorted(_interpreters(plan)))


def _interpreters(plan: Plan) -> set[str]:
    frozen = json.loads(plan.artifact(layout.SNAPSHOT)) if layout.SNAPSHOT in plan.manifest.artifacts else {}
    groups = [group.get("vars", {}) for group in frozen.values() if isinstance(group, Mapping)]
    hosts = frozen.get("_meta", {}).get("hostvars", {}).values()
    return {
        str(own["ansible_python_interpreter"])
        for own in (*groups, *hosts)
        if "ansible_python_interpreter" in own
    }
