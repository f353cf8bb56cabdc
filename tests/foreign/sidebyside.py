"""Runs one foreign project under bare `ansible-playbook` and under itmp, on equal fresh hosts, and compares.

Each side gets hosts whose `host_root` is a fresh folder of the same name. What is compared, key by key: every file
that the hosts hold (mode and content), the journal that they write in order, each host's results in order, its recap
and its state at the end, and whether the run ended well. `expect.yml` of a project names its feature, what the
runbook declares (`step`, `inputs`), and every difference with its reason and both of its values.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import collections_of_others
import yaml
from places import ACT, BIN, PATIENCE, Place

PROJECTS: Final = Path(__file__).parent / "projects"
CALLBACKS: Final = Path(__file__).parent / "callback"
_OWN: Final = frozenset({"act", "journal"})
_COUNTS: Final = ("ok", "changed", "unreachable", "failures", "skipped", "rescued", "ignored")


Found = dict[str, Any]
Differences = dict[str, tuple[Any, Any]]
Look = Callable[[Place], Found]
"""Reads the hosts themselves: what it sees, by names that begin with the host's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """What `expect.yml` says."""

    feature: str
    playbook: str = "site"
    playbooks: list[str] = field(default_factory=list)
    """Several instead of one: each is a step; bare Ansible gets them in one command."""
    step: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)
    set: dict[str, str] = field(default_factory=dict)
    bare: list[str] = field(default_factory=list)
    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)
    public_vars: list[str] = field(default_factory=list)
    down: list[str] = field(default_factory=list)
    ends: str = "well"
    refused: list[str] = field(default_factory=list)
    differs: dict[str, Any] = field(default_factory=dict)
    """What is not the same on both sides, by name: `why`, and the very values `bare` and `itmp`."""
    collections: list[str] = field(default_factory=list)
    """Collections of others that the project needs."""
    sources: list[str] = field(default_factory=list)
    """The project's own inventories, in order, instead of the one that is written for it (`of_the_fleet`)."""
    vault: dict[str, str] = field(default_factory=dict)
    """Passwords of ansible-vault by their ids."""
    salted: list[str] = field(default_factory=list)
    """Accounts whose password the play hashes with a salt by chance."""
    touches: list[str] = field(default_factory=list)
    """On whole hosts: everything but files that the bare run changes."""
    placed: list[str] = field(default_factory=list)
    """Files that name what only a fleet that is up has: `port of HOST`, the `key`, `user` and `known_hosts of the fleet`."""
    without: list[str] = field(default_factory=list)
    """Variables that the inventory does not give: the project says it elsewhere, and so is the way that ssh goes its own."""
    through: str = ""
    """A host that both sides must have passed through."""
    leaves: list[str] = field(default_factory=list)
    """On whole hosts: what Ansible itself leaves behind under a name of chance, which stands as `…`."""

    @classmethod
    def read(cls, folder: Path) -> "Expect":
        expect = cls(**yaml.safe_load((folder / "expect.yml").read_text()))
        for name, said in expect.differs.items():
            assert said.keys() == {"why", "bare", "itmp"}, f"{folder.name}: {name} says {sorted(said)}"
        return expect

    @property
    def explained(self) -> Differences:
        """The differences that there must be: these, with these values, and no others."""
        return {name: (said["bare"], said["itmp"]) for name, said in self.differs.items()}

    @property
    def books(self) -> list[str]:
        """The playbooks to run, in order."""
        return self.playbooks or [self.playbook]

    def runbook(self, place: Place) -> str:
        """Write the runbook."""
        document = {
            "itmp": "runbook/v1",
            "name": "foreign",
            "title": "A foreign project",
            "owner": "team-web",
            "environment": "lab",
            "risk": "low",
            "inputs": self.inputs,
            "public_vars": self.public_vars,
            "steps": [
                {"id": f"step-{n}" if n else "site", "playbook": name, **self.step}
                for n, name in enumerate(self.books)
            ],
        }
        text: str = yaml.safe_dump({key: value for key, value in document.items() if value}, sort_keys=False)
        return of_the_fleet(text, place)


def of_the_fleet(text: str, place: Place) -> str:
    """Put in what is known only once the hosts are up, for `port of HOST`, `key of the fleet` and their like."""
    login = place.fleet.login
    for host in place.fleet.hosts:
        known = {"address": host.address, "port": str(host.port), "root": str(place.on(host.name))}
        for what, value in known.items():
            text = text.replace(f"{what} of {host.name}", value)
    keys = place.root / "inventories/known_hosts"
    common = {"user": login.user, "key": login.key, "python": login.interpreter, "known_hosts": keys}
    for what, value in common.items():
        text = text.replace(f"{what} of the fleet", str(value))
    return text


def bring(place: Place, tree: Path, expect: Expect) -> Path:
    """Put the project in `tree` into the workspace's catalog, and another copy beside it for the bare run.

    A project that keeps what is run in `playbooks/` becomes the workspace itself, with all that lies beside it.
    """
    bare = place.root.parent / "bare"
    whole = _catalog(tree, expect) != tree
    for folder in (place.root if whole else place.root / "playbooks", bare):
        shutil.copytree(tree, folder, dirs_exist_ok=whole)
        collections_of_others.bring(folder, *expect.collections)
        for name in expect.placed:
            (folder / name).write_text(of_the_fleet((folder / name).read_text(), place))
    place.inventory(**expect.hosts)
    if expect.sources:
        for source in expect.sources:
            for file in (place.root / source, bare / source):
                file.write_text(of_the_fleet(file.read_text(), place))
        (place.root / "inventories" / "hosts.yml").unlink()
    elif expect.without:
        _leave_out(place.root / "inventories" / "hosts.yml", expect.without)
    _configure(place, expect)
    return bare


def _leave_out(hosts: Path, names: list[str]) -> None:
    """Take variables of every host out of the inventory that was written."""
    found = yaml.safe_load(hosts.read_text())
    for name in names:
        del found["all"]["vars"][name]
    hosts.write_text(yaml.safe_dump(found))


def _configure(place: Place, expect: Expect) -> None:
    """Have itmp.yml name the project's own inventories, and the passwords of its vault."""
    said = yaml.safe_load((place.root / "itmp.yml").read_text())
    said |= {"inventories": expect.sources} if expect.sources else {}
    said |= (
        {"vault": {name: f"file:{_password(place, name)}" for name in expect.vault}} if expect.vault else {}
    )
    place.write("itmp.yml", yaml.safe_dump(said))
    for name, word in expect.vault.items():
        _password(place, name).write_text(word)


def _password(place: Place, name: str) -> Path:
    return place.root.parent / f"password-of-{name}"


def _catalog(folder: Path, expect: Expect) -> Path:
    """Return where the playbooks that are run lie; a project may have a folder of that name for others."""
    inside = folder / "playbooks"
    return inside if any(inside.glob(f"{expect.books[0]}.y*ml")) else folder


def run_bare(place: Place, folder: Path, expect: Expect, look: Look | None = None) -> Found:
    """Run the project as anybody would; return everything that can be compared, with what `look` sees on the hosts."""
    story = folder.parent / "bare.json"
    catalog = _catalog(folder, expect)
    books = [str(next(catalog.glob(f"{name}.y*ml"))) for name in expect.books]
    inventory = place.root / "inventories"
    sources = [folder / source for source in expect.sources] or [inventory / "hosts.yml"]
    given = [word for source in sources for word in ("-i", str(source))]
    given += [word for name in expect.vault for word in ("--vault-id", f"{name}@{_password(place, name)}")]
    (folder.parent / "cp").mkdir()
    ssh = f"-F none -o UserKnownHostsFile={inventory}/known_hosts -o ControlMaster=auto -o ControlPersist=60s"
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", *given, *books, *expect.bare],
        cwd=folder,
        env={
            **place.environ,
            "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
            "ANSIBLE_CALLBACKS_ENABLED": "bare_story",
            **({} if expect.without else {"ANSIBLE_SSH_ARGS": ssh}),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder.parent / "cp"),
            "ANSIBLE_HOST_KEY_CHECKING": "True",
            # Without it ssh asks for a terminal, of which a whole host's lastlog tells; below, no file tells of it.
            **({"ANSIBLE_PIPELINING": "True"} if look else {}),
            "ANSIBLE_NOCOLOR": "True",
            "BARE_STORY": str(story),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    for line in (folder.parent / "cp").iterdir():  # else logins stay on the hosts, which tell of them
        subprocess.run(["ssh", "-S", line, "-O", "exit", "-F", "none", "x"], capture_output=True, check=False)
    (folder.parent / "bare.out").write_text(done.stdout + done.stderr)
    assert done.returncode in {0, 2, 4}, done.stdout + done.stderr
    told = json.loads(story.read_text())
    found: Found = {"ends": "well" if done.returncode == 0 else "badly"}
    for host, results in told["results"].items():
        found[f"{host} results"] = results
    for host, counts in told["recap"].items():
        found |= {f"{host} {name}": counts[name] for name in _COUNTS}
        found[f"{host} state"] = _state(counts)
    return found | (look or look_below)(place)


def renew(place: Place, name: str) -> None:
    """Keep what the bare run left under another name, and give each host a fresh folder."""
    for host in place.fleet.hosts:
        mine = place.on(host.name)
        mine.rename(mine.with_name(f"bare-{name}-{os.urandom(4).hex()}"))
        mine.mkdir()
        (mine / "act").write_text(ACT)
        (mine / "journal").touch()


def run_itmp(place: Place, expect: Expect, look: Look | None = None) -> Found:
    """Propose, approve and run the project through the command line; return what the log and the hosts say."""
    given = [word for name, value in expect.set.items() for word in ("--set", f"{name}={value}")]
    change = place.ready(expect.runbook(place), *given)
    done = place.itmp("run", change, "--key", "alice", "--json")
    assert done.rc in {0, 13, 14}, done
    found: Found = {"ends": {0: "well", 13: "badly", 14: "unknown"}[done.rc]}
    for host, state in done.json["hosts"].items():
        found[f"{host} state"] = state
    for leaf in place.leaves(change):
        if leaf.event.type == "action.finished":
            _count(found, leaf.event)
    return found | (look or look_below)(place)


def differences(bare: Found, ours: Found) -> Differences:
    """Return what is not the same on both sides, with both values."""
    both = {
        key: (bare.get(key, _silent(key)), ours.get(key, _silent(key)))
        for key in sorted(bare.keys() | ours.keys())
    }
    return {key: values for key, values in both.items() if values[0] != values[1]}


def _silent(key: str) -> Any:
    """What a side means by not naming a key: a host that it never reached has no results and no recap."""
    if key.endswith(" state"):
        return "not_reached"
    return 0 if key.rpartition(" ")[2] in _COUNTS else None


def _count(found: dict[str, Any], event: Any) -> None:
    host, data, outcome = event.target["id"], event.data, event.outcome
    more = data.get("more", {})
    for name in _COUNTS:
        found.setdefault(f"{host} {name}", 0)
    ignored = more.get("ignored") is True
    where = f" @{data['delegate']}" if data.get("delegate") else ""
    shown = f"{data['name']}{where}: {outcome}{', ignored' if ignored else ''}"
    found.setdefault(f"{host} results", []).append(shown)
    counted = {
        "ok": outcome in {"ok", "changed"} or ignored,
        "changed": outcome == "changed",
        "unreachable": outcome == "unreachable" and not ignored,
        "failures": outcome == "failed" and not ignored and more.get("rescued") is not True,
        "skipped": outcome == "skipped",
        "rescued": outcome == "failed" and more.get("rescued") is True,
        "ignored": ignored,
    }
    for name, holds in counted.items():
        found[f"{host} {name}"] += holds


def _state(recap: dict[str, int]) -> str:
    """Return the state that a recap bears."""
    for name, state in (("failures", "failed"), ("unreachable", "unreachable"), ("changed", "changed")):
        if recap[name]:
            return state
    return "ok" if recap["ok"] or recap["rescued"] else "skipped"


def look_below(place: Place) -> Found:
    """Return every file of every host, and its journal."""
    found: Found = {}
    for host in place.fleet.hosts:
        root = place.on(host.name)
        found[f"{host.name} journal"] = (root / "journal").read_text().splitlines()
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root).as_posix()
            if name not in _OWN and not path.is_symlink():
                mode = f"{path.stat().st_mode & 0o7777:04o}"
                text = path.read_text(errors="replace") if path.is_file() else "folder"
                found[f"{host.name} file {name}"] = f"{mode} {text}"
            elif path.is_symlink():
                found[f"{host.name} file {name}"] = f"link {path.readlink()}"
    return found


__all__ = ["BIN", "PROJECTS", "Expect", "bring", "differences", "renew", "run_bare", "run_itmp"]
