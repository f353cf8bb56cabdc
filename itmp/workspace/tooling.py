"""Verbs around the work: doctor, schema, lab, engine, host keys, patch resolve."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from itmp.errors import Error, InvalidInputError, NotFoundError
from itmp.workspace.place import Workspace

if TYPE_CHECKING:
    from itmp.adapters.known_hosts import PinnedKeys
    from itmp.adapters.ssh import ScannedHost
    from itmp.lab import Fleet
    from itmp.plan import Host

KINDS: Final = ("runbook", "patch-schedule", "capacity-adjustment")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFinding:
    """One needed tool: whether it is here, what it is for, and what to do when it is not."""

    name: str
    ok: bool
    what: str
    do: str = ""
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LabUp:
    """A fleet that is up: its hosts, its inventory and its pinned keys."""

    hosts: tuple[Any, ...]
    inventory: Path
    known_hosts: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKey:
    """One host's key: `state` is pinned, new, changed or unreachable."""

    host: str
    state: str
    fingerprint: str
    note: str = ""


def schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of a document kind."""
    from itmp import documents  # noqa: PLC0415 - pydantic models load late
    from itmp.workspace.planning import registry  # noqa: PLC0415 - as above

    models = {name.partition("/")[0]: model for name, model in registry().items()}
    if kind not in models:
        raise InvalidInputError(f"no document kind {kind!r:.60}", do="Kinds: " + ", ".join(KINDS))
    value: dict[str, Any] = documents.json_schema(models[kind])
    return value


def write_schemas(state: Path) -> tuple[Path, ...]:
    """Write every kind's JSON Schema below the state folder, where the documents' first line points editors."""
    folder = state / "schemas"
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for kind in KINDS:
        path = folder / f"{kind}.json"
        path.write_text(schema_text(kind))
        paths.append(path)
    return tuple(paths)


@cache
def schema_text(kind: str) -> str:
    """Return the text of a kind's JSON Schema; making it takes a tenth of a second."""
    import json  # noqa: PLC0415 - two callers, both rare

    return json.dumps(schema(kind), indent=2, sort_keys=True) + "\n"


def lab_prepare(report: Callable[[str], None]) -> tuple[str, ...]:
    """Build what the lab's Debian hosts start from, once per machine; return which kinds can run here."""
    from itmp import lab  # noqa: PLC0415 - only lab commands need it

    return lab.prepare(report)


def doctor() -> tuple[ToolFinding, ...]:
    """Say which tools are here; nothing is installed and nothing is contacted."""
    return (
        _program("ssh-keygen", "signs and checks statements", "Install OpenSSH's client programs."),
        _program("ssh", "reaches hosts", "Install OpenSSH's client programs."),
        _extra("ansible", "runs playbooks", "pip install 'itmp[ansible]'"),
        _extra("pulumi", "adjusts capacity", "pip install 'itmp[pulumi]'"),
        _extra("boto3", "reads AWS capacity", "pip install 'itmp[aws]'"),
        _engine(),
        _program(
            "sshd", "the lab's hosts", "Install openssh-server, to rehearse on this machine.", optional=True
        ),
        _program(
            "mmdebstrap",
            "the lab's Debian hosts",
            "Install mmdebstrap, to rehearse patches as root.",
            optional=True,
        ),
        *_anchors(),
        *_alerts(),
    )


def _alerts() -> tuple[ToolFinding, ...]:
    """Say which route of alerts failed the last time, where this is a workspace that has some."""
    from itmp.workspace.alerting import outcomes  # noqa: PLC0415 - only a workspace has alerts

    try:
        found = outcomes(Workspace.here())
    except Error:
        return ()
    return tuple(
        ToolFinding(
            name=f"alert {one.route}",
            ok=not one.why,
            what=one.why or "tells when auditing fails",
            do="" if not one.why else "itmp audit health --test-alert",
            optional=True,
        )
        for one in found
    )


def _anchors() -> tuple[ToolFinding, ...]:
    """Say which anchor did not remember the newest head, or is kept by this account, where this is a workspace."""
    from itmp.workspace.anchoring import last  # noqa: PLC0415 - only a workspace has anchors
    from itmp.workspace.same_user import kept_by_us, separating  # noqa: PLC0415 - as above

    try:
        place = Workspace.here()
        found, ours = last(place), kept_by_us(place)
    except Error:
        return ()
    what = dict.fromkeys(ours, "remembers heads under this same account, which could remove them")
    do = dict.fromkeys(ours, separating())
    return tuple(
        ToolFinding(
            name=f"anchor {one.name}",
            ok=one.state == "ok",
            what=one.why or what.get(one.name, "remembers heads"),
            do=do.get(one.name, "") if one.state == "ok" else "itmp audit anchor; then itmp audit verify",
            optional=True,
        )
        for one in found
    )


def lab_up(
    folder: Path,
    count: int,
    kind: str,
    report: Callable[[str], None],
    *,
    names: tuple[str, ...] = (),
    groups: Mapping[str, Sequence[str]] | None = None,
) -> LabUp:
    """Start `count` throw-away hosts and write their inventory and pinned keys."""
    from itmp import lab  # noqa: PLC0415 - only lab commands need it

    if kind not in {"auto", "loopback", "namespaces"}:
        raise InvalidInputError(f"no lab kind {kind!r:.40}", do="Kinds: auto, loopback, namespaces")
    fleet: Fleet = lab.up(folder, count, kind=kind, names=names or None, groups=groups, report=report)  # type: ignore[arg-type] # checked above
    return LabUp(
        hosts=fleet.hosts, inventory=fleet.folder / "hosts.yml", known_hosts=fleet.folder / "known_hosts"
    )


def lab_down(folder: Path) -> tuple[str, ...]:
    """Stop the hosts that were started in `folder`; return their names."""
    from itmp import lab  # noqa: PLC0415 - as above

    names = tuple(host.name for host in lab.attach(folder).hosts)
    lab.down(folder)
    return names


def lab_exec(folder: Path, host: str, argv: Sequence[str]) -> int:
    """Run a command inside a lab host with this terminal's input and output; return its exit code."""
    from itmp import lab  # noqa: PLC0415 - as above

    return lab.execute(folder, host, argv)


def engine_install(report: Callable[[str], None]) -> Any:
    """Install the pinned Pulumi engine where it is not here yet; return its status."""
    from itmp.adapters.pulumi import engine  # noqa: PLC0415 - needs the pulumi extra

    return engine.install(progress=report)


def engine_status() -> Any:
    """Return which engine would run."""
    from itmp.adapters.pulumi import engine  # noqa: PLC0415 - as above

    return engine.status()


def hosts_list(place: Workspace, inventories: Sequence[str]) -> tuple[tuple[str, str, str, str], ...]:
    """Return (name, address, groups, pinned fingerprints) of each host; no connection is made."""
    from itmp.adapters.known_hosts import PinnedKeys  # noqa: PLC0415 - as above

    pinned = PinnedKeys(_known_hosts(place))
    return tuple(
        (
            host.name,
            f"{host.address}:{host.port}",
            ",".join(host.groups),
            " ".join(pinned.fingerprints(host.address, host.port)) or "none",
        )
        for host in _hosts(place, inventories)
    )


def hosts_scan(place: Workspace, inventories: Sequence[str], *, pin: bool = False) -> tuple[HostKey, ...]:
    """Read each host's key and compare it with the pinned one; `pin` writes keys of hosts that have none yet.

    A changed key is never written: remove the old line by hand once you know why it changed.
    """
    from itmp.adapters import ssh  # noqa: PLC0415 - needs the ansible extra
    from itmp.adapters.known_hosts import PinnedKeys  # noqa: PLC0415 - as above

    hosts = _hosts(place, inventories)
    pinned = PinnedKeys(_known_hosts(place))
    found, lines = [], []
    for host, scanned in zip(
        hosts, ssh.scan([(host.name, host.address, host.port) for host in hosts]), strict=True
    ):
        key = _compare(host, scanned, pinned)
        found.append(key)
        lines += [scanned.line] if key.state == "new" else []
    if pin and lines:
        path = _known_hosts(place)
        path.parent.mkdir(parents=True, exist_ok=True)
        old = path.read_bytes() if path.is_file() else b""
        path.write_bytes(old + "".join(line.rstrip("\n") + "\n" for line in lines).encode())
        note = f"written to {place.config.known_hosts}: compare it on the host itself, then commit"
        found = [replace(key, note=note) if key.state == "new" else key for key in found]
    return tuple(found)


def _compare(host: "Host", scanned: "ScannedHost", pinned: "PinnedKeys") -> HostKey:
    if scanned.error:
        return HostKey(host=host.name, state="unreachable", fingerprint="", note=scanned.error)
    known = pinned.fingerprints(host.address, host.port)
    if not known:
        return HostKey(
            host=host.name, state="new", fingerprint=scanned.fingerprint, note="compare it on the host itself"
        )
    if scanned.fingerprint in known:
        return HostKey(host=host.name, state="pinned", fingerprint=scanned.fingerprint)
    return HostKey(
        host=host.name,
        state="changed",
        fingerprint=scanned.fingerprint,
        note=f"pinned is {' '.join(known)}: find out why",
    )


def _known_hosts(place: Workspace) -> Path:
    return place.root / place.config.known_hosts


def _hosts(place: Workspace, inventories: Sequence[str]) -> "tuple[Host, ...]":
    from itmp.plan import Needs  # noqa: PLC0415 - as above
    from itmp.workspace.sources import gather  # noqa: PLC0415 - as above

    chosen = tuple(inventories) or place.config.inventories
    if not chosen:
        raise NotFoundError("no inventory is named", do="Give -i PATH, or list inventories in itmp.yml.")
    facts = gather(place, Needs(patterns=("all",), compared=True), chosen)
    return facts.inventory.hosts if facts.inventory else ()


def _program(name: str, what: str, do: str, *, optional: bool = False) -> ToolFinding:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    return ToolFinding(name=name, ok=found is not None, what=what, do="" if found else do, optional=optional)


def _extra(name: str, what: str, do: str) -> ToolFinding:
    found = find_spec(name) is not None
    return ToolFinding(name=name, ok=found, what=what, do="" if found else do, optional=True)


def _engine() -> ToolFinding:
    try:
        status = engine_status()
    except Error as error:
        return ToolFinding(name="engine", ok=False, what=error.what, do="itmp engine install", optional=True)
    except ImportError:
        return ToolFinding(
            name="engine", ok=False, what="adjusts capacity", do="pip install 'itmp[pulumi]'", optional=True
        )
    return ToolFinding(name="engine", ok=True, what=f"{status.version} at {status.path}")
