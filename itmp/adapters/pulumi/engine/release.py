"""The engine from its official release archive.

Rules kept here: the archive's sha256 must stand in the release's checksums file; only the one member
`pulumi/pulumi` is read out of it, as bytes, so that no path of the archive is ever used; sizes are limited
before reading; a network that is refused or silent fails within seconds.
"""

import hashlib
import http.client
import os
import platform
import re
import tarfile
import threading
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Final

from itmp.adapters.pulumi.engine import store
from itmp.errors import Error, InvalidInputError, ToolMissingError

OFFICIAL: Final = "https://github.com/pulumi/pulumi/releases/download/v{version}"
VARIABLE: Final = "ITMP_ENGINE_RELEASES"
MEMBER: Final = "pulumi/pulumi"

_PLATFORMS: Final[Mapping[tuple[str, str], str]] = {
    ("Linux", "x86_64"): "linux-x64",
    ("Linux", "aarch64"): "linux-arm64",
    ("Darwin", "x86_64"): "darwin-x64",
    ("Darwin", "arm64"): "darwin-arm64",
}
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_CONTACT_SECONDS: Final = 8.0
_STALL_SECONDS: Final = 5.0
_MAX_SUMS: Final = 1 << 20
_MAX_ARCHIVE: Final = 600 << 20
_MAX_ENGINE: Final = 600 << 20
_CHUNK: Final = 1 << 20


def install(version: str, tell: Callable[[str], None], releases: str = "") -> None:
    """Fetch, check and place the engine; raise `Error` saying what was wrong with which file."""
    base = (releases or os.environ.get(VARIABLE, "") or OFFICIAL).format(version=version).rstrip("/")
    name = f"pulumi-v{version}-{this_platform()}.tar.gz"
    tell(f"looking for {name} at {base}")
    expected = checksum(_contact(f"{base}/pulumi-{version}-checksums.txt"), name)
    with store.staging(version) as folder:
        archive = folder / name
        _fetch(f"{base}/{name}", archive, expected, tell)
        engine = folder / store.NAME
        extract(archive, engine)
        store.place(engine, version, f"release archive {name} sha256:{expected}")


def this_platform(system: str = "", machine: str = "") -> str:
    """Return this platform's name in the release's files; raise `ToolMissingError` when there is none."""
    system, machine = system or platform.system(), machine or platform.machine()
    try:
        return _PLATFORMS[system, machine]
    except KeyError:
        raise ToolMissingError(
            f"there is no release archive for {system} {machine}",
            do="It is built from its Go modules instead.",
        ) from None


def checksum(sums: bytes, name: str) -> str:
    """Return the sha256 of file `name` in a checksums file (`<hex>  <name>` per line)."""
    for line in sums.decode("ascii", "replace").splitlines():
        value, _, listed = line.strip().partition("  ")
        if listed.lstrip("*") == name and _SHA256.fullmatch(value):
            return value
    raise InvalidInputError(f"the checksums file does not name {name}", do="Is it that version's file?")


def extract(archive: Path, target: Path) -> None:
    """Write the engine out of the archive; raise `InvalidInputError` when it is not a release's."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                _refuse_odd(member)
                if member.name.removeprefix("./") == MEMBER:
                    _copy(tar, member, target)
                    return
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise InvalidInputError(f"the archive cannot be read: {error}", where=archive.name) from error
    raise InvalidInputError(f"the archive holds no {MEMBER}", where=archive.name)


def _refuse_odd(member: tarfile.TarInfo) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise InvalidInputError(f"the archive holds a path outside itself: {member.name!r:.120}")


def _copy(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    source = tar.extractfile(member) if member.isreg() and member.size <= _MAX_ENGINE else None
    if source is None:
        raise InvalidInputError(f"{MEMBER} in the archive is no ordinary file, or too large")
    with source, target.open("xb") as out:
        while chunk := source.read(_CHUNK):
            out.write(chunk)


def _fetch(url: str, target: Path, expected: str, tell: Callable[[str], None]) -> None:
    seen, size = hashlib.sha256(), 0
    with _translated(url), _open(url) as answer, target.open("xb") as out:
        declared = int(getattr(answer, "headers", {}).get("Content-Length") or 0)
        tell(f"downloading {declared >> 20 or '?'} MiB")
        for chunk in _chunks(answer):
            size += len(chunk)
            if size > _MAX_ARCHIVE:
                raise InvalidInputError(f"larger than {_MAX_ARCHIVE >> 20} MiB", where=url)
            seen.update(chunk)
            out.write(chunk)
    if declared and size != declared:
        raise InvalidInputError(f"cut off after {size} of {declared} bytes", where=url, do="Try again.")
    if seen.hexdigest() != expected:
        raise InvalidInputError(
            f"its sha256 is {seen.hexdigest()}, the checksums file says {expected}",
            where=url,
            do="Do not use it; try again, or another mirror.",
        )


def _chunks(answer: IO[bytes]) -> Iterator[bytes]:
    while chunk := answer.read(_CHUNK):
        yield chunk


def _contact(url: str) -> bytes:
    """Read the first, small file; give up after a few seconds, even where name resolution hangs."""
    found: list[bytes | Error] = []

    def read() -> None:
        try:
            with _translated(url), _open(url) as answer:
                found.append(answer.read(_MAX_SUMS + 1))
        except Error as error:
            found.append(error)

    thread = threading.Thread(target=read, daemon=True, name="engine-contact")
    thread.start()
    thread.join(_CONTACT_SECONDS)
    if not found:
        raise ToolMissingError(f"no answer within {_CONTACT_SECONDS:.0f} s", where=url)
    if isinstance(found[0], Error):
        raise found[0]
    if len(found[0]) > _MAX_SUMS:
        raise InvalidInputError("too large for a checksums file", where=url)
    return found[0]


def _open(url: str) -> IO[bytes]:
    if not url.startswith(("https://", "http://", "file://")):
        raise InvalidInputError("not a https, http or file address", where=url)
    answer: IO[bytes] = urllib.request.urlopen(url, timeout=_STALL_SECONDS)  # noqa: S310 -- schemes checked above
    return answer


class _translated:  # noqa: N801 -- reads as a clause of `with`
    """Turn every network error into an `Error` that names the address."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
            raise ToolMissingError(f"the server says {error.code} {error.reason}", where=self._url) from error
        if isinstance(error, urllib.error.URLError):
            raise ToolMissingError(f"cannot be reached: {error.reason}", where=self._url) from error
        if isinstance(error, OSError | ValueError | http.client.HTTPException):
            raise ToolMissingError(f"the download failed: {error}", where=self._url) from error


__all__ = ["MEMBER", "OFFICIAL", "VARIABLE", "checksum", "extract", "install", "this_platform"]
