"""A real workspace of one founder with contents in it, and a hostile owner's tools."""

import base64
import json
import subprocess
import urllib.parse
from datetime import datetime
from pathlib import Path

from itmp import workspace
from itmp.adapters.clock import SystemClock, new_id
from itmp.adapters.private import PRIVATE, PrivateStore
from itmp.audit import Event, Leaf
from itmp.change import starter_policy
from itmp.testing.story import small_plan
from itmp.workspace.place import EXECUTOR

SECRET = 'hunter2 "geheim" päss/word\n+tail'
CHANGE = "CHG-0123456789"


def found(folder: Path, policy: str = "") -> workspace.Workspace:
    """Found a log for alice; `policy` is text that the starter's policy gets appended."""
    folder.mkdir(exist_ok=True)
    make_key(folder / "key")
    file = None
    if policy:
        line = (folder / "key.pub").read_text()
        file = folder / "first.yml"
        file.write_bytes(starter_policy("alice@example.com", line) + policy.encode())
    workspace.init(
        folder,
        key=str(folder / "key"),
        organization="example.com",
        signer="alice@example.com",
        policy=file,
    )
    return workspace.Workspace.here(folder)


def make_key(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)


def key_of(place: workspace.Workspace) -> str:
    return str(place.root / "key")


def again(place: workspace.Workspace) -> workspace.Workspace:
    """Open the workspace as the next process would."""
    return workspace.Workspace.here(place.root)


def store(place: workspace.Workspace) -> PrivateStore:
    return PrivateStore(place.state / PRIVATE)


def keep(
    place: workspace.Workspace,
    text: str,
    *,
    when: datetime | None = None,
    environment: str = "lab",
    change: str = CHANGE,
) -> Leaf:
    """Do what a run does with a diff: keep it, then write the leaf that commits to it; by default in the lab."""
    plan = small_plan(environment=environment, group=environment)
    place.log.put_blob(plan.manifest_bytes)
    commitment = store(place).put("/diff", text, now=when or SystemClock().now())
    event = Event(
        id=new_id(),
        type="action.finished",
        actor=dict(EXECUTOR),
        change=change,
        plan=plan.digest,
        outcome="changed",
        diff=commitment,
    )
    receipt = place.log.append(event)
    place.log.checkpoint()
    return receipt.leaf


def files(place: workspace.Workspace) -> list[Path]:
    """Return every file of the private store."""
    return [path for path in (place.state / PRIVATE).rglob("*") if path.is_file()]


def forms(secret: str) -> set[bytes]:
    """Return how a secret may be written: plain, JSON-escaped, URL-escaped, base64 at each alignment."""
    data = secret.encode()
    escaped = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    texts = {secret, *escaped, urllib.parse.quote(secret), urllib.parse.quote(secret, safe="")}
    texts |= {urllib.parse.quote_plus(secret)}
    encoded = set()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):
            text = encode(b"\0" * shift + data)
            encoded.add(text[(0, 2, 3)[shift] : 8 * (shift + len(data)) // 6])
    return {text.encode() for text in texts} | encoded | {data.hex().encode()}


def holders(folder: Path, secret: str) -> list[str]:
    """Return every file below `folder` that holds the secret in any form, in its bytes or its name."""
    wanted = forms(secret)
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and any(form in path.read_bytes() or form in path.name.encode() for form in wanted)
    )
