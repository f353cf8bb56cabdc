"""How the engine gets here: PATH, a release archive from a loopback server, or its own modules."""

import hashlib
import io
import os
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from itmp.adapters.pulumi import engine
from itmp.adapters.pulumi.engine import build, release, store
from itmp.errors import InvalidInputError, ToolMissingError

VERSION = "9.8.7"
ENGINE = f"#!/bin/sh\necho v{VERSION}\n".encode()
NAME = f"pulumi-v{VERSION}-{release.this_platform()}.tar.gz"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", os.defpath)
    monkeypatch.delenv(release.VARIABLE, raising=False)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        return


class Mirror:
    """A folder of release files, by file and by HTTP."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def put(self, data: bytes, *, checksum: str = "", name: str = NAME) -> None:
        (self.folder / NAME).write_bytes(data)
        value = checksum or hashlib.sha256(data).hexdigest()
        (self.folder / f"pulumi-{VERSION}-checksums.txt").write_text(f"{'0' * 64}  other\n{value}  {name}\n")


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    made = Mirror(tmp_path / "mirror")
    yield made
    made.stop()


def archive(*members: tuple[str, bytes], link: str = "") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in members or ((release.MEMBER, ENGINE),):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        if link:
            info = tarfile.TarInfo(release.MEMBER)
            info.type, info.linkname = tarfile.SYMTYPE, link
            tar.addfile(info)
    return out.getvalue()


def install(releases: str) -> engine.EngineStatus:
    return engine.install(VERSION, ways=("path", "release"), releases=releases)


def refused(mirror: Mirror) -> str:
    with pytest.raises(ToolMissingError) as caught:
        install(mirror.url)
    assert not store.executable(VERSION).exists()
    assert not [path for path in store.folder().iterdir() if path.is_dir() and path.name.startswith(".v")]
    assert "ITMP_ENGINE_RELEASES" in caught.value.do
    return str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_installs_from_a_mirror(mirror: Mirror, scheme: str) -> None:
    mirror.put(archive(("pulumi/other", b"x"), (release.MEMBER, ENGINE)))
    lines: list[str] = []
    base = mirror.url if scheme == "http" else f"file://{mirror.folder}"
    found = engine.install(VERSION, lines.append, ways=("release",), releases=base)
    assert (found.path, found.source) == (store.executable(VERSION), "cache")
    assert found.origin.startswith(f"release archive {NAME} sha256:")
    assert engine.find(VERSION).read_bytes() == ENGINE
    assert found.to_json()["path"] == str(found.path)
    assert any(NAME in line for line in lines)
    assert [
        path.name for path in found.path.parent.iterdir() if path.name not in {"pulumi", "origin.json"}
    ] == []


def test_the_variable_names_the_mirror(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.put(archive())
    monkeypatch.setenv(release.VARIABLE, f"{mirror.url}/")
    assert install("").version == VERSION


def test_what_is_there_is_not_fetched_again(mirror: Mirror) -> None:
    mirror.put(archive())
    first = install(mirror.url)
    mirror.stop()
    assert install(mirror.url) == first


def test_a_fitting_engine_on_path_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "bin" / "pulumi"
    tool.parent.mkdir()
    tool.write_bytes(ENGINE)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.defpath}")
    assert (install("").path, install("").source) == (tool, "path")
    with pytest.raises(ToolMissingError):
        engine.find("9.8.6")


def test_a_wrong_checksum(mirror: Mirror) -> None:
    mirror.put(archive(), checksum="1" * 64)
    assert "the checksums file says 111" in refused(mirror)


def test_a_changed_byte(mirror: Mirror) -> None:
    mirror.put(archive())
    data = bytearray((mirror.folder / NAME).read_bytes())
    data[len(data) // 2] ^= 1
    (mirror.folder / NAME).write_bytes(data)
    assert "the checksums file says" in refused(mirror)


def test_a_truncated_archive_whose_checksum_was_taken_afterwards(mirror: Mirror) -> None:
    data = archive()
    mirror.put(data[: len(data) // 2])
    assert "cannot be read" in refused(mirror)


def test_a_download_that_is_cut_off() -> None:
    data = archive()
    sums = f"{hashlib.sha256(data).hexdigest()}  {NAME}\n".encode()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for body in (sums, data):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                sent = body if body is sums else body[: len(body) // 2]
                connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + sent)

    thread = threading.Thread(target=serve)
    thread.start()
    with pytest.raises(ToolMissingError, match=r"cut off|download failed"):
        install(f"http://127.0.0.1:{listener.getsockname()[1]}")
    thread.join()
    listener.close()


@pytest.mark.parametrize("name", ["../../../evil", "/srv/evil", "pulumi/../../evil"])
def test_a_path_that_leads_outside(mirror: Mirror, tmp_path: Path, name: str) -> None:
    mirror.put(archive((name, b"x"), (release.MEMBER, ENGINE)))
    assert "outside itself" in refused(mirror)
    assert not list(tmp_path.rglob("evil"))


def test_an_engine_that_is_a_link(mirror: Mirror) -> None:
    mirror.put(archive(("pulumi/x", b"x"), link="/bin/sh"))
    assert "no ordinary file" in refused(mirror)


def test_an_archive_without_an_engine(mirror: Mirror) -> None:
    mirror.put(archive(("pulumi/other", b"x")))
    assert "holds no pulumi/pulumi" in refused(mirror)


def test_an_engine_of_another_version(mirror: Mirror) -> None:
    mirror.put(archive((release.MEMBER, b"#!/bin/sh\necho v1.0.0\n")))
    assert "'v1.0.0' instead of v9.8.7" in refused(mirror)


def test_a_platform_without_an_archive(mirror: Mirror) -> None:
    mirror.put(archive(), name=f"pulumi-v{VERSION}-plan9-mips.tar.gz")
    assert f"does not name {NAME}" in refused(mirror)
    with pytest.raises(ToolMissingError, match="Plan9 mips"):
        release.this_platform("Plan9", "mips")
    assert release.this_platform("Linux", "aarch64") == "linux-arm64"


def test_a_file_that_is_missing(mirror: Mirror) -> None:
    assert "404" in refused(mirror)


def test_a_refused_network_goes_on_to_the_next_way() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ToolMissingError, match="cannot be reached") as caught:
        engine.install(VERSION, ways=("release", "build"), releases=f"http://127.0.0.1:{port}")
    assert "build: only v3.259.0 has pinned modules" in str(caught.value)


@pytest.mark.parametrize("base", ["ftp://127.0.0.1", "/etc", "data:text/plain,x"])
def test_only_known_schemes(base: str) -> None:
    with pytest.raises(ToolMissingError, match="not a https, http or file address"):
        install(base)


@pytest.mark.parametrize("version", ["../../x", "3.259", "v3.259.0", "3.259.0 ", ""])
def test_a_version_is_three_numbers(version: str) -> None:
    with pytest.raises(InvalidInputError):
        engine.install(version)


@pytest.mark.parametrize(
    "text", ["", "\0\xff", f"{'0' * 63}  {NAME}", f"{'g' * 64}  {NAME}", f"{'0' * 64} {NAME}"]
)
def test_odd_checksum_files(text: str) -> None:
    with pytest.raises(InvalidInputError):
        release.checksum(text.encode("latin-1"), NAME)


def test_an_unwritable_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ToolMissingError, match="cannot be written") as caught:
        install("")
    assert "XDG_CACHE_HOME" in caught.value.do


def test_several_at_once_install_it_once(mirror: Mirror) -> None:
    mirror.put(archive())
    script = (
        "import sys; from itmp.adapters.pulumi import engine;"
        f"print(engine.install({VERSION!r}, ways=('path', 'release'), releases=sys.argv[1]).path)"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", script, mirror.url], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert {process.communicate()[0].strip() for process in running} == {str(store.executable(VERSION))}


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("go version go1.27 linux/amd64", (1, 27, 0)),
        ("go version go1.19.8 linux/amd64", (1, 19, 8)),
        ("gccgo", ()),
        ("", ()),
    ],
)
def test_reads_the_toolchains_version(text: str, version: tuple[int, ...]) -> None:
    assert build.go_version(text) == version


def test_the_pinned_modules_and_the_command_are_those_of_the_sdk() -> None:
    modules = (Path(build.__file__).parent / "go.mod").read_text()
    assert f"github.com/pulumi/pulumi/pkg/v3 v{engine.VERSION}" in modules
    assert "replace github.com/atotto/clipboard" in modules
    assert f"pulumi=={engine.VERSION}" in (Path(__file__).parents[3] / "pyproject.toml").read_text()
    command = build.arguments(Path("/go"), Path("/out"), engine.VERSION)
    assert {"-trimpath", "-mod=readonly"} <= {*command}


def go_tool(folder: Path, body: str) -> None:
    tool = folder / "bin" / "go"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\n[ "$1" = version ] && {{ echo go version go1.26.8 x/y; exit; }}\n{body}\n')
    tool.chmod(0o755)


def test_a_build_is_placed_when_it_is_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine_text = f"#!/bin/sh\\necho v{engine.VERSION}\\n"
    go_tool(
        tmp_path, f"""while [ "$1" != -o ]; do shift; done; printf '{engine_text}' > "$2"; test -f go.sum"""
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.defpath}")
    found = engine.install(ways=("build",))
    assert "built from its Go modules with Go 1.26.8 from PATH" in found.origin


def test_a_build_that_fails_says_the_end_of_its_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_tool(tmp_path, "echo dial tcp: refused >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.defpath}")
    with pytest.raises(ToolMissingError, match=r"go build failed \(1\): dial tcp: refused") as caught:
        engine.install(ways=("build",))
    assert "GOPROXY" in str(caught.value)
    assert not store.executable(engine.VERSION).exists()
