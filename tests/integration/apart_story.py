"""Run as root in a mount namespace of its own: accounts, sudo rule and stores are real, and vanish with the namespace.

Usage: unshare --mount --propagation private PYTHON apart_story.py; prints one JSON object of what was seen.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from itmp.adapters.anchors.apart import separate
from itmp.adapters.anchors.apart.account import KEEPER
from itmp.anchors import Request
from itmp.lab.fleet import make_key

ROOM = Path("/mnt")
BIN = Path(sys.executable).parent
EXECUTOR = "lab-executor"
STORE = Path("/var/lib/itmp-anchor/anchors")


def call(
    *words: str, given: bytes = b"", env: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        words, input=given, capture_output=True, check=False, timeout=120, env=env, cwd=ROOM
    )


def cover(folder: str) -> None:
    """Lay memory over `folder`: what is written there from now on is gone with the namespace."""
    own = ROOM / "over" / folder.strip("/").replace("/", "-")
    (own / "up").mkdir(parents=True)
    (own / "work").mkdir()
    shutil.copystat(folder, own / "up")
    options = f"lowerdir={folder},upperdir={own / 'up'},workdir={own / 'work'}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, folder], check=True, timeout=60)


def furnish() -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", str(ROOM)], check=True, timeout=60)
    for folder in ("/etc", "/usr/local/lib", "/var/lib"):
        cover(folder)
    for path in map(Path, {sys.executable, os.path.realpath(sys.executable), __file__, *sys.path}):
        for above in reversed(path.parents):
            if path.exists() and not above.stat().st_mode & 0o001:
                cover(str(above))
                above.chmod(0o755)
    shutil.rmtree(
        STORE, ignore_errors=True
    )  # of logs that this machine keeps heads of; only in this namespace
    subprocess.run(["useradd", "--system", "--user-group", EXECUTOR], check=True, timeout=60)
    separate(EXECUTOR)


class Site:
    """A workspace of `user`, whose every command runs as that account."""

    def __init__(self, user: str) -> None:
        self.user, self.root = user, ROOM / user
        self.root.mkdir()
        make_key(self.root / "key", "me@example.com")
        for path in (self.root, *self.root.iterdir()):
            shutil.chown(path, user, user)
        self.itmp("init", ".", "--key", "key", "--organization", "example.com", "--signer", "me@example.com")

    def run(self, *words: str, given: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
        who = [
            "setpriv",
            "--reuid",
            self.user,
            "--regid",
            self.user,
            "--init-groups",
            "--inh-caps=-all",
            "--",
        ]
        env = {"PATH": os.environ["PATH"], "HOME": str(self.root), "LC_ALL": "C.UTF-8", "ITMP_WORKSPACE": ""}
        return subprocess.run(
            [*who, *words], input=given, capture_output=True, check=False, timeout=120, env=env, cwd=self.root
        )

    def itmp(self, *words: str) -> dict[str, Any]:
        done = self.run(str(BIN / "itmp"), *words, "--json")
        try:
            value: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            raise SystemExit(f"{words}: {done.stdout!r} {done.stderr!r}") from None
        return value

    def amend(self, remark: str) -> dict[str, Any]:
        """A signed act: another version of the policy."""
        text = self.run(str(BIN / "itmp"), "policy", "show").stdout
        (self.root / "next.yml").write_bytes(text + f"# {remark}\n".encode())
        return self.itmp("policy", "propose", "next.yml")

    def verify(self) -> dict[str, Any]:
        found = self.itmp("audit", "verify")
        (anchor,) = found["anchors"]
        names = sorted({(one["name"], one["place"]) for one in found["findings"] if one["grave"]})
        return {"exit": found["exit_code"], "anchor": anchor, "findings": names}


def held() -> dict[str, str]:
    return {str(file.relative_to(STORE)): file.read_text() for file in sorted(STORE.rglob("*.note"))}


def attacks(site: Site) -> dict[str, int]:
    """What the log's own account tries; the exit code of each."""
    (log,) = STORE.iterdir()
    note = max(log.glob("*.note"))
    keeper = ["sudo", "-n", "-u", "itmp-anchor", "--"]
    tried = {
        "overwrite": ["sh", "-c", f"echo x > {note}"],
        "remove": ["rm", "-f", str(note)],
        "rename": ["mv", str(log), f"{log}.old"],
        "add": ["touch", f"{log}/9.note"],
        "open": ["chmod", "-R", "a+w", str(STORE)],
        "keeper": ["sh", "-c", f"echo x > {KEEPER}"],
        "shell": [*keeper, "sh", "-c", "true"],
        "argument": [*keeper, str(KEEPER), str(log)],
        "root": ["sudo", "-n", "true"],
    }
    return {name: site.run(*words).returncode for name, words in tried.items()}


def forged(site: Site) -> dict[str, str]:
    """What the keeper answers to heads that do not continue, signed by the log's own key."""
    from itmp.adapters.posix_log import read_key  # noqa: PLC0415 - one caller
    from itmp.audit import Checkpoint  # noqa: PLC0415 - as above

    (ROOM / "log.key").touch(0o600)
    (ROOM / "log.key").write_bytes((site.root / ".itmp/keys/log.key").read_bytes())
    key = read_key(ROOM / "log.key")
    newest = max(int(file.stem) for file in STORE.rglob("*.note"))
    words = ["sudo", "-n", "-u", "itmp-anchor", "--", str(KEEPER)]

    def ask(size: int, old: int, note: bytes | None = None) -> str:
        text = Checkpoint(origin=key.name, size=size, root=b"\x07" * 32).to_text()
        body = Request(old=old, proof=(b"\x05" * 32,) * 3, note=note or key.sign(text)).to_bytes()
        return site.run(*words, given=b"log %s\n%s" % (key.vkey.encode(), body)).stdout.decode().strip()

    return {
        "beyond": ask(newest + 90, newest),
        "same size": ask(newest, newest),
        "before": ask(1, 0),
        "from nothing": ask(newest + 90, 0),
        "unsigned": ask(newest + 90, newest, b"%s\n9\n%s\n\nno\n" % (key.name.encode(), b"B" * 43 + b"=")),
        "noise": site.run(*words, given=b"\x00" * 9).stdout.decode().strip(),
    }


def main() -> None:
    furnish()
    site = Site(EXECUTOR)
    seen: dict[str, Any] = {"first": site.verify()}
    site.amend("one")
    shutil.copytree(site.root / ".itmp", ROOM / "backup")  # log, journal, key, head record, what was anchored
    site.amend("two")
    seen["grown"] = site.verify()
    before = held()
    seen["attacks"], seen["forged"] = attacks(site), forged(site)
    seen["separate"] = site.itmp("audit", "separate")["exit_code"]
    seen["unchanged"] = held() == before
    seen["owners"] = sorted({file.owner() for file in STORE.rglob("*")})
    shutil.rmtree(site.root / ".itmp")
    shutil.copytree(ROOM / "backup", site.root / ".itmp")
    for path in (site.root / ".itmp", *(site.root / ".itmp").rglob("*")):
        shutil.chown(path, EXECUTOR, EXECUTOR)
    seen["rolled back"], seen["act"] = site.verify(), site.amend("three")
    seen["still unchanged"] = held() == before
    shutil.rmtree(STORE)
    seen["root"] = Site("root").verify()
    sys.stdout.write(json.dumps(seen))


main()
