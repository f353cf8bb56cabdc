"""An execution environment for tests: the lab's Debian with ansible-core and a collection in it, built without a network.

Rules kept here: the engine's storage is this user's cache, not the engine's own; an image is built once for its recipe
and then found by its digest. Needs root, podman and the lab's base.
"""

import hashlib
import importlib.metadata
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from itmp.adapters.ansible._environments import mark
from itmp.adapters.containers import _LABEL
from itmp.execution.doors import Room
from itmp.lab._base import base, recipe

_PACKAGES: Final = (
    "ansible-core",
    "jinja2",
    "MarkupSafe",
    "PyYAML",
    "packaging",
    "resolvelib",
    "cryptography",
    "cffi",
)
_SITE: Final = "usr/local/lib/python3.11/dist-packages"
_COLLECTION: Final = "usr/share/ansible/collections/ansible_collections/lab/demo"
_LEFT_OUT: Final = (
    "./var/cache",
    "./var/lib/apt/lists",
    "./usr/share/doc",
    "./usr/share/locale",
    "./usr/share/man",
)
_MODULE: Final = """\
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = "module: hello\\nshort_description: says hello"


def main():
    module = AnsibleModule({}, supports_check_mode=True)
    module.exit_json(changed=False, msg="hello from the image")


main()
"""
_FILES: Final = {
    f"{_COLLECTION}/MANIFEST.json": json.dumps(
        {"collection_info": {"namespace": "lab", "name": "demo", "version": "1.2.3"}, "format": 1}
    ),
    f"{_COLLECTION}/plugins/modules/hello.py": _MODULE,
    f"{_COLLECTION}/roles/greet/tasks/main.yml": "- {name: Greet, ansible.builtin.debug: {msg: greetings}}\n",
    "etc/itmp-image": "",
}
_CONF: Final = """\
[containers]
default_ulimits = ["nofile=1024:4096", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "runc"
"""
"""What lets the engine run inside another sandbox too: the plain runtime, limits that any account may set."""


def why_not() -> str:
    """Return why no container can be run here; empty when one can."""
    if os.getuid() != 0:
        return "needs root"
    return "" if shutil.which("podman") and shutil.which("runc") else "needs podman and runc"


def settings() -> dict[str, str]:
    """Return the variables with which the engine finds its storage; write what they name."""
    place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "itmp" / "lab" / "podman"
    place.mkdir(parents=True, exist_ok=True)
    storage = (
        f'[storage]\ndriver = "overlay"\ngraphroot = "{place}/images"\nrunroot = "/run/itmp-lab-podman"\n'
    )
    for name, text in (("containers.conf", _CONF), ("storage.conf", storage)):
        file = place / name
        if not file.is_file() or file.read_text() != text:
            file.write_text(text)
    return {
        "CONTAINERS_CONF": str(place / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(place / "storage.conf"),
    }


def storage() -> Iterator[None]:
    """Have every engine of this process find its storage, while a fixture of this stands."""
    before = dict(os.environ)
    if not why_not():
        os.environ.update(settings())
    yield
    os.environ.clear()
    os.environ.update(before)


def image() -> str:
    """Return the image's name by digest, built now when it is not there."""
    name = tag()
    if podman("image", "exists", name, check=False).returncode:
        archive = Path(settings()["CONTAINERS_CONF"]).with_name(f"rootfs-{os.getpid()}.tar")
        try:
            _write(archive)
            podman("import", "--quiet", str(archive), name)
        finally:
            archive.unlink(missing_ok=True)
    digest = podman("image", "inspect", "--format", "{{.Digest}}", name).stdout.strip()
    return f"localhost/itmp-lab-ee@{digest}"


def tag() -> str:
    """Return the image's name by tag."""
    return f"localhost/itmp-lab-ee:{_key()}"


def containers(token: str) -> list[str]:
    """Return the names of the containers of the run with this token, running or not: others may work beside it."""
    label = f"label={_LABEL}={mark(Room(folder=Path(), token=token, run=''))}"
    return podman("ps", "--all", "--filter", label, "--format", "{{.Names}}").stdout.split()


def podman(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["podman", *words],
        env={**os.environ, **settings()},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=check,
    )


def _key() -> str:
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return hashlib.sha256(json.dumps([recipe(), versions, _FILES, _LEFT_OUT]).encode()).hexdigest()[:16]


def _write(archive: Path) -> None:
    with tarfile.open(archive, "w") as tar:
        tar.add(base(print), arcname=".", filter=_kept)
        for source, name in _site():
            tar.add(source, arcname=f"./{_SITE}/{name}", recursive=False)
        for name, text in _FILES.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))


def _kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if entry.name.startswith(_LEFT_OUT) or entry.isdev() else entry


def _site() -> Iterator[tuple[Path, str]]:
    """Yield the files of ansible-core and what it needs, where they lie and what they are called there."""
    for package in _PACKAGES:
        for file in importlib.metadata.files(package) or ():
            source: Any = file.locate()
            if ".." not in file.parts and "__pycache__" not in file.parts and Path(source).is_file():
                yield Path(source), file.as_posix()
