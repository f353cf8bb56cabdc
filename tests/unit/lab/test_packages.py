"""The lab's packages are real Debian packages, and always the same bytes."""

import gzip
import hashlib
import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from itmp.lab import _packages as packages


def members(deb: bytes) -> dict[str, bytes]:
    """Read an `ar` archive: 60-byte headers, contents padded to even length."""
    assert deb.startswith(b"!<arch>\n")
    found, at = {}, 8
    while at < len(deb):
        name, size = deb[at : at + 16].decode().strip(), int(deb[at + 48 : at + 58])
        assert deb[at + 58 : at + 60] == b"`\n"
        found[name] = deb[at + 60 : at + 60 + size]
        at += 60 + size + size % 2
    return found


def test_the_same_package_has_the_same_bytes() -> None:
    assert packages.build("itmp-lib", "1.0") == packages.build("itmp-lib", "1.0")
    assert packages.build("itmp-lib", "1.0") != packages.build("itmp-lib", "2.0")


def test_a_package_holds_its_files_for_root() -> None:
    parts = members(packages.build("itmp-demo", "2.0"))
    assert list(parts) == ["debian-binary", "control.tar.gz", "data.tar.gz"]
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(parts["data.tar.gz"]))) as data:
        assert {one.name for one in data if one.isfile()} == {
            "./usr/share/itmp-demo/VERSION",
            "./etc/itmp-demo/itmp-demo.conf",
        }
        assert {(one.uid, one.gid, one.mtime) for one in data} == {(0, 0, 0)}
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(parts["control.tar.gz"]))) as control:
        script = control.getmember("./postinst")
        assert script.mode == 0o755


@pytest.mark.parametrize("version", [packages.OLD, packages.NEW])
def test_dpkg_reads_what_we_wrote(tmp_path: Path, version: str) -> None:
    tool = shutil.which("dpkg-deb")
    if tool is None:  # the archive's own reading above stands for it on other systems
        return
    (tmp_path / "demo.deb").write_bytes(packages.build("itmp-demo", version))
    told = subprocess.run(
        [tool, "-f", str(tmp_path / "demo.deb"), "Package", "Version", "Depends"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == f"Package: itmp-demo\nVersion: {version}\nDepends: itmp-lib (>= {version})\n"


def test_the_index_names_every_package_by_digest(tmp_path: Path) -> None:
    packages.publish(tmp_path, packages.OLD)
    packages.publish(tmp_path, packages.NEW)
    index = (tmp_path / "Packages").read_text()
    for file in tmp_path.glob("*.deb"):
        assert f"Filename: ./{file.name}\n" in index
        assert hashlib.sha256(file.read_bytes()).hexdigest() in index
    assert index.count("Package: ") == 4
    assert hashlib.sha256(index.encode()).hexdigest() in (tmp_path / "Release").read_text()
