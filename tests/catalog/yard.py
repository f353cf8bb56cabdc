"""A workspace with the whole catalog over lab hosts of either kind, driven by the real `itmp` process.

What a runbook did is read on the hosts themselves, past `itmp`. `there_and_back` is the one law of the catalog: a run does
what it says, a second one finds nothing to do, and undo leaves what was there before.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from places import BIN

from itmp.change import team_policy
from itmp.lab.fleet import Fleet, make_key
from itmp.workspace import init_roots, seal

ROOT: Final = Path(__file__).parents[2]
PATIENCE: Final = 1800.0
"""Seconds after which a command is given up: on a busy machine a rolling restart of twenty hosts takes its time."""
OPERATE: Final = "runbooks/operate/"
PEOPLE: Final = {"alice": ("sre", "owner"), "bob": ("sre", "approver", "owner")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Yard:
    """A workspace that two people founded, with every example, over a fleet."""

    root: Path
    fleet: Fleet
    environ: dict[str, str]

    @classmethod
    def found(cls, root: Path, fleet: Fleet, variables: Mapping[str, Any]) -> "Yard":
        """Found it in `root`; `variables` are those of all hosts, over the example inventory's."""
        (root / "home/tmp").mkdir(parents=True)
        environ = {
            **os.environ,
            "HOME": str(root / "home"),
            "TMPDIR": str(root / "home/tmp"),
            "NO_COLOR": "1",
        }
        environ |= {"PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}", "PYTHONWARNINGS": ""}
        for name in ("ITMP_KEY", "ITMP_WORKSPACE", "SSH_AUTH_SOCK"):
            environ.pop(name, None)
        yard = cls(root=root / "w", fleet=fleet, environ=environ)
        yard._begin(variables)
        return yard

    def _begin(self, variables: Mapping[str, Any]) -> None:
        for part in ("playbooks", "runbooks"):
            shutil.copytree(ROOT / part, self.root / part)
        keys = {
            f"{name}@example.com": (make_key(self.root / name, f"{name}@example.com"), roles)
            for name, roles in PEOPLE.items()
        }
        (self.root / "policy.yml").write_bytes(team_policy(keys))
        (self.root / "itmp.yml").write_text(
            "organization: example.com\nlog: ops\ninventories: [inventories/hosts.yml]\n"
        )
        pubs = tuple(self.root / f"{name}.pub" for name in PEOPLE)
        texts = init_roots(self.root, pubs, organization="example.com", policy=self.root / "policy.yml")
        for name, text in zip(PEOPLE, texts, strict=True):
            argv = ["ssh-keygen", "-q", "-Y", "sign", "-n", "itmp-enrol@example.com"]
            subprocess.run([*argv, "-f", str(self.root / name), str(text.path)], check=True, timeout=PATIENCE)
        seal(self.root, tuple(Path(f"{text.path}.sig") for text in texts))
        (self.root / "inventories/group_vars").mkdir(parents=True)
        self.fleet.write_inventory(self.root / "inventories/hosts.yml")
        (self.root / "inventories/known_hosts").write_text(self.fleet.known_hosts)
        self.variables("all", variables)

    def variables(self, group: str, values: Mapping[str, Any]) -> None:
        """Write the variables of a group."""
        (self.root / f"inventories/group_vars/{group}.yml").write_text(yaml.safe_dump(dict(values)))

    def host_variables(self, of_host: Mapping[str, Mapping[str, Any]]) -> None:
        """Add variables to single hosts."""
        path = self.root / "inventories/hosts.yml"
        tree = yaml.safe_load(path.read_text())
        for name, values in of_host.items():
            tree["all"]["hosts"][name] |= values
        path.write_text(yaml.safe_dump(tree))

    def itmp(self, *words: str, expect: int = 0) -> dict[str, Any]:
        """Type a command with `--json`, require its exit code, return its object."""
        done = subprocess.run(
            ["itmp", *words, "--json"], executable=str(BIN / "itmp"), cwd=self.root, env=self.environ,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert done.returncode == expect, f"itmp {' '.join(words)}: {done.stdout}{done.stderr}"
        value = json.loads(done.stdout)
        assert isinstance(value, dict)
        return value

    def ready(self, document: str, *inputs: str, words: tuple[str, ...] = ()) -> str:
        """Propose as alice, approve as bob; each time over a plan of its own."""
        path = self.root / document
        path.write_text(path.read_text() + "# once more\n")
        sets = [word for one in inputs for word in ("--set", one)]
        opened = self.itmp("propose", document, *sets, "--reason", "catalog", "--key", "alice", *words)
        self.itmp("approve", opened["change"], "--key", "bob", "--yes")
        return str(opened["change"])

    def run(self, change: str, expect: int = 0) -> dict[str, str]:
        """Run a change and return each host's outcome."""
        hosts = self.itmp("run", change, "--key", "alice", expect=expect)["hosts"]
        return {name: str(outcome) for name, outcome in hosts.items()}

    def undo(self, change: str, expect: int = 0) -> None:
        """Take a change back."""
        self.itmp("undo", change, "--key", "alice", expect=expect)

    def failures(self, change: str) -> str:
        """Return what the hosts said in a change's log."""
        return json.dumps(self.itmp("logs", change))

    def there_and_back(self, document: str, *inputs: str, state: Callable[[], Any], done: Any) -> None:
        """Run until the hosts' own `state` is `done`, run again and find nothing to do, undo to what was before."""
        before = state()
        assert before != done
        first = self.ready(document, *inputs)
        assert state() == before, "a plan and its approval touch no host"
        assert "changed" in self.run(first).values()
        assert state() == done
        again = self.run(self.ready(document, *inputs))
        assert set(again.values()) == {"ok"}, "a second run must find nothing to do"
        assert state() == done
        self.undo(first)
        assert state() == before

    def inside(self, host: str, script: str) -> str:
        """Run a script on a host, past itmp."""
        argv = self.fleet.inside(host, ["sh", "-c", script])
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{host}: {script}: {done.stdout}{done.stderr}"
        return done.stdout
