"""Asks Ansible's own parser, in a child process, what the plays of a layout come to.

Rules kept here: the parser reads the layout alone, here or in a container of the execution environment's image; what it
says of versions is what it ran with.
"""

import json
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from itmp.adapters import supervisor
from itmp.adapters.ansible import _environments, _versions, layout
from itmp.adapters.containers import Image
from itmp.errors import Error
from itmp.plan.sources import Needs, PlayNeed

_TIMEOUT: Final = 600.0


def ask(
    scratch: Path, environment: Mapping[str, str], needs: Needs, where: str, image: Image | None
) -> dict[str, Any]:
    """Return the parser's answer for the layout in `scratch`/layout (`inspect` gives its form)."""
    folder = scratch / "layout"
    argv, variables = [sys.executable, "-P", "-m", "itmp.adapters.ansible.inspect"], dict(environment)
    if image:
        argv, variables = _environments.parse_command(image, scratch, environment)
    done = supervisor.run(
        argv,
        token=secrets.token_hex(16),
        environment=variables,
        folder=folder,
        data=json.dumps(_request(folder, needs)).encode(),
        timeout=_TIMEOUT,
        uncovered=image is not None,
    )
    if done.rc != 0:
        text = done.stderr.decode(errors="replace").replace(str(folder), "").strip()
        inside = f" in {image.name}" if image else ""
        raise Error(f"Ansible's parser{inside} ended with {done.rc}: {text[-800:]}", where=where)
    answer: dict[str, Any] = json.loads(done.stdout)
    if image:
        answer["versions"][_versions.ENVIRONMENT] = image.name
    return answer


def _request(folder: Path, needs: Needs) -> dict[str, Any]:
    project = (folder / "project").rglob("*")
    artifacts = {str(path.relative_to(folder)): b"" for path in project if path.is_file()}
    return {
        "root": str(folder),
        "ssh": dict(layout.settings(folder).ssh),
        "inventory": str(layout.inventory(folder)),
        "patterns": sorted(set(needs.patterns) | {need.pattern for need in needs.plays if need.pattern}),
        "plays": [
            {
                "id": need.id,
                "playbook": find(need, artifacts) if need.rendered is None else artifact_path(need),
                "mark": need.mark,
                "pattern": need.pattern,
                "vars": dict(need.vars),
                "secrets": sorted(need.secrets),
                "delegates": list(need.delegates),
                "sliced": need.sliced,
                "per_slice": need.per_slice,
                "tags": list(need.tags),
                "skip_tags": list(need.skip_tags),
                "adds": list(need.adds),
                "new": [one.name for one in need.new],
            }
            for need in needs.plays
        ],
    }


def artifact_path(need: PlayNeed) -> str:
    """Return where the playbook of `need` stands among the artifacts."""
    if need.rendered is not None:
        return f"project/playbooks/_itmp_{need.id}.yml"
    return f"project/playbooks/{need.playbook}.yml"


def find(need: PlayNeed, collected: Mapping[str, bytes]) -> str | None:
    """Return the path among the `collected` artifacts of the playbook that `need` names."""
    stem = f"project/playbooks/{need.playbook}"
    return next((path for path in (f"{stem}.yml", f"{stem}.yaml", stem) if path in collected), None)


__all__ = ["artifact_path", "ask", "find"]
