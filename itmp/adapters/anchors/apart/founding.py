"""Root's act that makes an account keep heads: the account, its folder, its program, the sudo rule, who may use it.

Rules kept here: only root does it, when asked to; doing it again changes nothing that stands; the rule allows one
program without arguments, and is installed only when sudo finds it sound; each file that the account runs is root's.
"""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from itmp.adapters.anchors.apart.account import DEFAULT, KEEPER, SOURCE, find_account, python
from itmp.errors import InvalidInputError, RefusedError, ToolMissingError

HOME: Final = Path("/var/lib")
SUDOERS: Final = Path("/etc/sudoers.d")
_SECONDS: Final = 60
_RULE: Final = '%{name} ALL=({name}) NOPASSWD: {keeper} ""\nDefaults!{keeper} !requiretty, env_reset\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Separated:
    """What stands now: the account, its store, whether a sudo rule is there, and for whom."""

    account: str
    store: Path
    rule: Path | None
    user: str


def separate(user: str = "", *, name: str = DEFAULT) -> Separated:
    """Have account `name` keep heads, and let `user` hand them over (nobody but root without one).

    Raises `RefusedError` unless root asks, `ToolMissingError` where the machine lacks the means.
    """
    if os.geteuid() != 0:
        raise RefusedError(
            "only root can make another account keep heads", do="As root, once: itmp audit separate"
        )
    if user and user not in {entry.pw_name for entry in pwd.getpwall()}:
        raise InvalidInputError(f"no account {user!r:.60} on this machine")
    _make_account(name)
    entry = pwd.getpwnam(name)
    store = Path(entry.pw_dir) / "anchors"
    if store.is_symlink():  # the account must not lead root elsewhere
        raise RefusedError("the account's store is a link", where=str(store), do="Remove it, then try again.")
    store.mkdir(exist_ok=True)
    os.chown(store, entry.pw_uid, entry.pw_gid, follow_symlinks=False)
    _install_keeper()
    rule = _install_rule(name)
    if user and user != "root":
        if rule is None:
            raise ToolMissingError(
                "there is no sudo here, so only root could hand heads over", do="Install sudo."
            )
        _call("gpasswd", "--add", user, name)
    found = find_account(name)
    assert found is not None  # noqa: S101 - root may act as an account that it has just made
    return Separated(account=name, store=found.store, rule=rule, user=user)


def _make_account(name: str) -> None:
    home = HOME / name
    if name not in {entry.pw_name for entry in pwd.getpwall()}:
        _call(
            "useradd",
            "--system",
            "--user-group",
            "--home-dir",
            str(home),
            "--shell",
            "/usr/sbin/nologin",
            name,
        )
    home = Path(pwd.getpwnam(name).pw_dir)
    home.mkdir(exist_ok=True)
    home.chmod(0o755)
    shutil.chown(home, name, name)


def _install_keeper() -> None:
    KEEPER.parent.mkdir(parents=True, exist_ok=True)
    text = SOURCE.read_text().partition("\n")[2]
    draft = KEEPER.with_suffix(".new")
    draft.write_text(f"#!{python()} -I\n{text}")
    draft.chmod(0o755)
    draft.rename(KEEPER)


def _install_rule(name: str) -> Path | None:
    if not SUDOERS.is_dir() or shutil.which("visudo") is None:
        return None
    rule, draft = SUDOERS / name, SUDOERS / f".{name}.new"
    draft.write_text(_RULE.format(name=name, keeper=KEEPER))
    draft.chmod(0o440)
    try:
        _call("visudo", "--check", "--quiet", "--file", str(draft))
        draft.rename(rule)
    finally:
        draft.unlink(missing_ok=True)
    return rule


def _call(*words: str) -> None:
    try:
        done = subprocess.run(list(words), capture_output=True, text=True, timeout=_SECONDS, check=False)
    except FileNotFoundError as error:
        raise ToolMissingError(f"{words[0]} is not installed", do="Install it, then try again.") from error
    if done.returncode:
        raise RefusedError(f"{words[0]} refuses: {(done.stderr or done.stdout).strip()[-200:]!r}")
