"""The plays of a patch schedule, with the locked versions written out: what the approver reads is what runs.

Rules kept here:
- Every task is known statically; there is no include, role or handler.
- Nothing is installed before the host was found to be of the lock's platform, to have versions that the lock
  knows, and apt was asked what it would do and answered with nothing outside the lock.
- Only packages that a host has are upgraded; new packages come only with an upgrade that needs them.
- Versions are proved in dpkg's own database, a reboot by the kernel's boot id.
"""

from collections.abc import Mapping
from typing import Any, Final

from itmp.patching.lock import Lock
from itmp.plan.rendering import render

_LIST: Final = ["dpkg-query", "-W", "-f", "${Package}:${Architecture}=${Version} ${db:Status-Status}\\n"]
_DPKG_OPTIONS: Final = "force-confdef,force-confold"
_LOCK_TIMEOUT: Final = 120
_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
_FLAG: Final = "/var/run/reboot-required"

Task = Mapping[str, Any]


def apply_play(title: str, pattern: str, lock: Lock, *, allow_removals: bool, become: bool) -> bytes:
    """Return the play that brings each host's locked packages to their new versions."""
    known = {
        "itmp_platform": str(lock.platform),
        "itmp_upgrades": {f"{name}={one.old}": f"{name}={one.new}" for name, one in lock.upgrades.items()},
        "itmp_additions": [f"{name}={one.new}" for name, one in lock.additions.items()],
        "itmp_reached": [f"{name}={one.new}" for name, one in lock.packages.items()],
        "itmp_removals": list(lock.removals) if allow_removals else [],
        **_installed(list(lock.packages)),
        "itmp_todo": "{{ itmp_installed | intersect(itmp_upgrades.keys())"
        " | map('extract', itmp_upgrades) | list }}",
        "itmp_install": "{{ itmp_todo"
        " + ((itmp_additions if itmp_todo else []) | difference(itmp_installed)) }}",
    }
    tasks = [*_look(), *_refusals(), _refresh(), *_ask(), _install(allow_removals=allow_removals)]
    return _play(title, pattern, known, tasks, become=become)


def verify_play(title: str, pattern: str, lock: Lock, *, become: bool) -> bytes:
    """Return the play that proves the new versions in dpkg's database."""
    wanted = {name: f"{name}={one.new}" for name, one in lock.upgrades.items()}
    additions = [f"{name}={one.new}" for name, one in lock.additions.items()]
    known = {
        "itmp_wanted": wanted,
        "itmp_additions": additions,
        **_listed(lock),
        "itmp_wrong": "{{ ((itmp_here | map('extract', itmp_wanted) | list)"
        " + (itmp_additions if itmp_here else [])) | difference(itmp_listed) }}",
    }
    return _play(title, pattern, known, _proof("The locked versions are installed"), become=become)


def reboot_play(title: str, pattern: str, *, always: bool, timeout: int, become: bool) -> bytes:
    """Return the play that restarts hosts (all, or those that ask for it) and proves it by the boot id."""
    needed = True if always else "itmp_flag.stat.exists"
    tasks: list[Task] = [
        {
            "name": "Look whether a reboot is asked for",
            "ansible.builtin.stat": {"path": _FLAG},
            "register": "itmp_flag",
        },
        {"name": "Read the boot id", "ansible.builtin.slurp": {"src": _BOOT_ID}, "register": "itmp_before"},
        {
            "name": "Restart the host",
            "ansible.builtin.reboot": {
                "reboot_timeout": timeout,
                "connect_timeout": 5,
                "post_reboot_delay": 0,
                "msg": title,
            },
            "when": needed,
        },
        {
            "name": "Read the boot id again",
            "ansible.builtin.slurp": {"src": _BOOT_ID},
            "register": "itmp_after",
        },
        {
            "name": "Prove the restart by the boot id",
            "ansible.builtin.assert": {
                "that": ["itmp_before.content != itmp_after.content"],
                "fail_msg": "the boot id is the same: this host did not restart",
                "quiet": True,
            },
            "when": [needed, "not ansible_check_mode"],
        },
    ]
    return _play(title, pattern, {}, tasks, become=become)


def undo_play(title: str, pattern: str, lock: Lock, *, become: bool) -> bytes:
    """Return the play that installs the earlier versions of what was upgraded, and proves it."""
    back = {f"{name}={one.new}": f"{name}={one.old}" for name, one in lock.upgrades.items()}
    known = {
        "itmp_back": back,
        "itmp_wanted": {name: f"{name}={one.old}" for name, one in lock.upgrades.items()},
        **_installed(list(lock.packages)),
        **_listed(lock),
        "itmp_install": "{{ itmp_installed | intersect(itmp_back.keys())"
        " | map('extract', itmp_back) | list }}",
        "itmp_wrong": "{{ itmp_here | map('extract', itmp_wanted) | list | difference(itmp_listed) }}",
    }
    install = _apt("Install the earlier versions", allow_downgrade=True, keep=True)
    tasks = [_packages(), install, *_proof("The earlier versions are installed")]
    return _play(title, pattern, known, tasks, become=become)


def _play(title: str, pattern: str, known: Mapping[str, Any], tasks: list[Task], *, become: bool) -> bytes:
    play = {"name": title, "hosts": pattern, "gather_facts": False}
    if become:
        play["become"] = True
    if known:
        play["vars"] = dict(known)
    return render([{**play, "tasks": tasks}])


def _installed(names: list[str]) -> dict[str, Any]:
    """Variables: the locked packages that this host has, as name=version."""
    return {
        "itmp_names": names,
        "itmp_present": "{{ itmp_names | intersect(ansible_facts.packages.keys()) }}",
        "itmp_versions": "{{ itmp_present | map('extract', ansible_facts.packages) | map('first')"
        " | map(attribute='version') | list }}",
        "itmp_installed": "{{ itmp_present | zip(itmp_versions) | map('join', '=') | list }}",
    }


def _listed(lock: Lock) -> dict[str, Any]:
    """Variables: dpkg's lines as name=version, and which upgraded packages are there in whatever state."""
    own = f":({lock.platform.architecture}|all)="
    return {
        "itmp_lines": "{{ itmp_dpkg.stdout_lines | default([]) | map('regex_replace', '"
        + own
        + "', '=') | list }}",
        "itmp_listed": "{{ itmp_lines | select('search', ' installed$')"
        " | map('regex_replace', ' installed$', '') | list }}",
        "itmp_here": "{{ itmp_lines | reject('search', ' (config-files|not-installed)$')"
        " | map('regex_replace', '=.*$', '') | intersect(itmp_wanted.keys()) }}",
    }


def _packages() -> Task:
    return {"name": "Read the installed packages", "ansible.builtin.package_facts": {"manager": "apt"}}


def _look() -> list[Task]:
    subset = ["!all", "!min", "distribution"]
    return [{"name": "Read the platform", "ansible.builtin.setup": {"gather_subset": subset}}, _packages()]


def _refusals() -> list[Task]:
    platform = (
        "(ansible_facts.distribution | lower) ~ ' ' ~ ansible_facts.distribution_release ~ ' ' ~"
        " ansible_facts.packages.dpkg[0].arch"
    )
    return [
        _assert(
            "Refuse another platform",
            f"{platform} == itmp_platform",
            "this host is not the lock's platform, {{ itmp_platform }}",
        ),
        _assert(
            "Refuse versions that the lock does not know",
            "itmp_installed | difference(itmp_upgrades.keys()) | difference(itmp_reached) | length == 0",
            "other versions than the lock's: {{ itmp_installed | difference(itmp_upgrades.keys())"
            " | difference(itmp_reached) | join(', ') }}",
        ),
    ]


def _assert(name: str, that: str, message: str, **more: Any) -> Task:
    return {
        "name": name,
        "ansible.builtin.assert": {"that": [that], "fail_msg": message, "quiet": True},
        **more,
    }


def _refresh() -> Task:
    return {
        "name": "Refresh the package index",
        "ansible.builtin.apt": {"update_cache": True, "lock_timeout": _LOCK_TIMEOUT},
        "changed_when": False,
        "when": "itmp_todo | length > 0",
    }


def _ask() -> list[Task]:
    announced = (
        "itmp_apt.stdout_lines | default([]) | select('match', '^Inst ')"
        r" | map('regex_replace', '^Inst (\\S+) (?:\\[\\S+\\] )?\\((\\S+) .*$', '\\1=\\2')"
        " | difference(itmp_reached)"
    )
    removed = (
        "itmp_apt.stdout_lines | default([]) | select('match', '^(Remv|Purg) ')"
        r" | map('regex_replace', '^\\S+ (\\S+).*$', '\\1') | difference(itmp_removals)"
    )
    outside = f"({announced} + {removed})".replace("\\\\", "\\")
    return [
        {
            "name": "Ask apt what it would do",
            "ansible.builtin.command": {"argv": "{{ itmp_simulate + itmp_install }}"},
            "vars": {"itmp_simulate": ["apt-get", "-s", "-y", "-o", "Debug::NoLocking=true", "install"]},
            "environment": {"LC_ALL": "C"},
            "register": "itmp_apt",
            "changed_when": False,
            "when": "itmp_todo | length > 0",
        },
        {
            **_assert(
                "Refuse anything outside the lock",
                "itmp_outside | length == 0",
                "apt would also touch: {{ itmp_outside | join(', ') }}",
            ),
            "vars": {"itmp_outside": "{{ " + outside + " }}"},
        },
    ]


def _install(*, allow_removals: bool) -> Task:
    return _apt("Install the locked versions", allow_downgrade=False, keep=not allow_removals)


def _apt(name: str, *, allow_downgrade: bool, keep: bool) -> Task:
    return {
        "name": name,
        "ansible.builtin.apt": {
            "name": "{{ itmp_install }}",
            "state": "present",
            "allow_downgrade": allow_downgrade,
            "allow_change_held_packages": False,
            "install_recommends": False,
            "fail_on_autoremove": keep,
            "dpkg_options": _DPKG_OPTIONS,
            "lock_timeout": _LOCK_TIMEOUT,
        },
        "when": "itmp_install | length > 0",
    }


def _proof(name: str) -> list[Task]:
    return [
        {
            "name": "Read dpkg's database",
            "ansible.builtin.command": {"argv": _LIST},
            "register": "itmp_dpkg",
            "changed_when": False,
        },
        _assert(
            name,
            "itmp_wrong | length == 0",
            "not as locked: {{ itmp_wrong | join(', ') }}",
            when="itmp_dpkg is not skipped",
        ),
    ]
