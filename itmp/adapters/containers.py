"""Container engines: an execution environment's image, found by its digest, and the command that runs a program in it.

Rules kept here: an image is named by digest alone, must be here already (nothing is pulled), and runs by the id under
which it was found. A container sees of this machine what is mounted by name and the network that it must reach targets
over; it gets no more rights than the engine gives by itself. Values of variables stand in the engine's environment,
never in its arguments. The engine is a program of this machine, like ssh: podman where it has the image, else docker.

Who is trusted: the engine, and whoever may write its storage. It is found on the executor's PATH and reads its own
configuration; a service elsewhere (CONTAINER_HOST, DOCKER_HOST) is not used, because nothing of this machine is there.
"""

import csv
import io
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from itmp.adapters import supervisor
from itmp.documents.scalars import IMAGE, LONGEST_IMAGE
from itmp.errors import Error, InvalidInputError, StaleError, ToolMissingError

ENGINES: Final = ("podman", "docker")
_LABEL: Final = "itmp.run"
_PATIENCE: Final = 60.0
_OWN: Final = (
    *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME"),
    *("CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF", "DBUS_SESSION_BUS_ADDRESS"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image that is here: `name` as the plan says it, `engine` the program that has it, `id` its name there."""

    name: str
    engine: str
    id: str

    @property
    def kind(self) -> str:
        """Which engine it is: its program's name."""
        return Path(self.engine).name


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """What one container gets: its `name`, the run's `mark`, where it works, what it sees and which variables.

    `seen` maps a path of this machine to whether it may be written; it is there under the same path.
    `also` maps further paths inside to what of this machine can be read there.
    """

    name: str
    mark: str
    folder: Path
    seen: Mapping[Path, bool]
    also: Mapping[Path, Path]
    variables: tuple[str, ...]


def find(name: str) -> Image:
    """Return the image called `name` (`NAME@sha256:…`).

    Raises `ToolMissingError` with the command to type where no engine or no such image is here, `StaleError` when an
    engine answers with another image, `InvalidInputError` for a name that is none.
    """
    wanted = IMAGE.fullmatch(name) if len(name) <= LONGEST_IMAGE else None
    if wanted is None:
        raise InvalidInputError(f"not an image by digest: {name!r:.120}", do="Write NAME@sha256:DIGEST.")
    engines = installed()
    if not engines:
        raise ToolMissingError(
            f"the plan runs in the container image {name}, and there is neither podman nor docker",
            do=f"Install one (Debian: apt-get install podman), then type: podman pull {name}",
        )
    said: list[str] = []
    for engine in engines:
        done = _ask(engine, "image", "inspect", name)
        if done.rc == 0:
            return _image(engine, name, wanted["digest"], done.stdout)
        said.append(f"{Path(engine).name}: {_last(done.stderr)}")
    here = sorted({found for engine in engines for found in _digests(engine, wanted["name"])})
    other = f"; {wanted['name']} is here as {', '.join(here)}, which is another image" if here else ""
    raise ToolMissingError(
        f"the container image {name} is not here{other} ({'; '.join(said)})",
        do=f"Type: {Path(engines[0]).name} pull {name}",
    )


def installed() -> tuple[str, ...]:
    """Return the programs of the engines that are here, in the order in which they are asked."""
    return tuple(path for kind in ENGINES if (path := shutil.which(kind)))


def environment() -> dict[str, str]:
    """Return the variables of our own that an engine needs for itself."""
    return {name: os.environ[name] for name in _OWN if name in os.environ}


def command(image: Image, container: Container, program: Sequence[str]) -> list[str]:
    """Return the command line that runs `program` in a container, and removes the container when it ends."""
    first, *rest = program
    # A peer of the action socket must have our uid: the root of podman's container is whoever started it.
    user = "0:0" if image.kind == "podman" else f"{os.getuid()}:{os.getgid()}"
    return [
        *(image.engine, "run", "--rm", "--interactive", "--pull=never", "--network=host"),
        *("--security-opt=label=disable", f"--name={container.name}", f"--label={_LABEL}={container.mark}"),
        *(f"--user={user}", f"--workdir={container.folder}"),
        *(word for mount in _mounts(container) for word in ("--mount", mount)),
        *(word for name in sorted(container.variables) for word in ("--env", name)),
        *(f"--entrypoint={first}", image.id, *rest),
    ]


def fresh_name() -> str:
    """Return a name that no container has."""
    return f"itmp-{secrets.token_hex(8)}"


def remove(engine: str, name: str) -> None:
    """End and remove the container `name`, if it is there."""
    _remove(engine, [name])


def sweep(engine: str, mark: str) -> tuple[str, ...]:
    """End and remove every container of the run with `mark`; return the name of each that was found."""
    done = _ask(engine, "ps", "--all", f"--filter=label={_LABEL}={mark}", "--format={{.Names}}", "--no-trunc")
    names = done.stdout.decode(errors="replace").split() if done.rc == 0 else []
    _remove(engine, names)
    return tuple(names)


def _remove(engine: str, names: Sequence[str]) -> None:
    more = ("--time=0", "--ignore") if Path(engine).name == "podman" else ()
    if names:
        with suppress(Error):  # what stays is an entry without a process: a later sweep finds it
            _ask(engine, "rm", "--force", *more, *names)


def _mounts(container: Container) -> Iterable[str]:
    """Yield each mount in the engines' own form, which is a line of comma separated values."""
    places = [(path, path, writable) for path, writable in container.seen.items()]
    places += [(path, target, False) for target, path in container.also.items()]
    for source, target, writable in sorted(places, key=lambda place: str(place[1])):
        line = io.StringIO()
        words = ["type=bind", f"source={source}", f"target={target}", *([] if writable else ["readonly"])]
        csv.writer(line, lineterminator="").writerow(words)
        yield line.getvalue()


def _image(engine: str, name: str, digest: str, data: bytes) -> Image:
    try:
        (told,) = json.loads(data)
        known = {str(told.get("Digest")), *(str(one).rpartition("@")[2] for one in told["RepoDigests"] or ())}
        found = str(told["Id"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ToolMissingError(
            f"{Path(engine).name} tells nothing usable of {name}", do="Look at: podman image inspect."
        ) from error
    if digest not in known:
        raise StaleError(
            f"the container image that {Path(engine).name} has for {name} has another digest",
            where=", ".join(sorted(known))[:200],
            do=f"Remove it, then type: {Path(engine).name} pull {name}",
        )
    return Image(name=name, engine=engine, id=found)


def _digests(engine: str, name: str) -> list[str]:
    done = _ask(engine, "image", "ls", "--digests", "--format={{.Digest}}", name)
    return done.stdout.decode(errors="replace").split() if done.rc == 0 else []


def _ask(engine: str, *words: str) -> supervisor.Completed:
    return supervisor.run(
        [engine, *words],
        token=secrets.token_hex(16),
        environment=environment(),
        timeout=_PATIENCE,
        uncovered=True,
    )


def _last(data: bytes) -> str:
    lines: list[Any] = data.decode(errors="replace").strip().splitlines()
    return str(lines[-1])[:200] if lines else "no answer"


__all__ = [
    "Container",
    "Image",
    "command",
    "environment",
    "find",
    "fresh_name",
    "installed",
    "remove",
    "sweep",
]
