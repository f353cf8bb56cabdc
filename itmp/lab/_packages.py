"""Debian packages and a flat repository of them, written byte by byte: no packaging tool is needed.

Rules kept here: the same content gives the same bytes (every time stamp is the epoch), so two labs serve the
same packages. `itmp-demo` depends on `itmp-lib`; each has versions 1.0 and 2.0, a configuration file and a
`postinst` that writes to /var/log/lab-packages.log. `itmp-lib` 2.0 asks for a reboot, as a kernel would.
"""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping
from email.utils import formatdate
from pathlib import Path
from typing import Final

OLD: Final = "1.0"
NEW: Final = "2.0"
NAMES: Final = ("itmp-demo", "itmp-lib")
_DEPENDS: Final = {"itmp-demo": "itmp-lib (>= {version})"}
_EXECUTABLE: Final = 0o755
_PLAIN: Final = 0o644


def build(name: str, version: str) -> bytes:
    """Return the bytes of one `.deb`."""
    configuration = f"/etc/{name}/{name}.conf"
    control = {
        "control": (_PLAIN, _control(name, version)),
        "conffiles": (_PLAIN, configuration + "\n"),
        "postinst": (_EXECUTABLE, _postinst(name, version)),
    }
    data = {
        f"usr/share/{name}/VERSION": (_PLAIN, version + "\n"),
        configuration.lstrip("/"): (_PLAIN, f"level={version}\n"),
    }
    members = {"debian-binary": b"2.0\n", "control.tar.gz": _tar(control), "data.tar.gz": _tar(data)}
    return b"!<arch>\n" + b"".join(_member(title, content) for title, content in members.items())


def publish(repository: Path, version: str) -> None:
    """Add `version` of every package to the flat repository in `repository` and renew its index."""
    repository.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        (repository / f"{name}_{version}_all.deb").write_bytes(build(name, version))
    packages = "\n".join(_entry(path) for path in sorted(repository.glob("*.deb")))
    data = packages.encode()
    listed = f" {hashlib.sha256(data).hexdigest()} {len(data)} Packages\n"
    release = (
        f"Origin: itmp-lab\nLabel: itmp-lab\nSuite: lab\nDate: {formatdate(usegmt=True)}\nSHA256:\n{listed}"
    )
    for title, content in (("Packages", data), ("Release", release.encode())):
        (repository / f"{title}.new").write_bytes(content)
        (repository / f"{title}.new").rename(repository / title)


def _control(name: str, version: str) -> str:
    fields = {
        "Package": name,
        "Version": version,
        "Architecture": "all",
        "Maintainer": "itmp lab <lab@example.invalid>",
        "Depends": _DEPENDS.get(name, "").format(version=version),
        "Description": "a package of the itmp lab",
    }
    return "".join(f"{key}: {value}\n" for key, value in fields.items() if value)


def _postinst(name: str, version: str) -> str:
    lines = ["#!/bin/sh", "set -e", f'echo "{name} {version} $1 $2" >> /var/log/lab-packages.log']
    if (name, version) == ("itmp-lib", NEW):
        lines += [f"echo {name} >> /run/reboot-required.pkgs", "echo restart > /run/reboot-required"]
    return "\n".join([*lines, ""])


def _entry(path: Path) -> str:
    name, version, _ = path.name.split("_")
    data = path.read_bytes()
    return _control(name, version) + (
        f"Filename: ./{path.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
    )


def _tar(files: Mapping[str, tuple[int, str]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        made: set[str] = set()
        for path, (mode, text) in files.items():
            for parent in reversed(Path(path).parents):
                if str(parent) not in made:
                    made.add(str(parent))
                    archive.addfile(
                        _info("./" if str(parent) == "." else f"./{parent}/", _EXECUTABLE, tarfile.DIRTYPE)
                    )
            info = _info(f"./{path}", mode, tarfile.REGTYPE)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return gzip.compress(buffer.getvalue(), mtime=0)


def _info(name: str, mode: int, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode, info.type, info.uname, info.gname = mode, kind, "root", "root"
    return info


def _member(title: str, content: bytes) -> bytes:
    header = f"{title:<16}{0:<12}{0:<6}{0:<6}{0o100644:<8o}{len(content):<10}`\n".encode()
    return header + content + b"\n" * (len(content) % 2)
