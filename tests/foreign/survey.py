"""Plans each playbook of a project that knows nothing of itmp, and says what became of each: nothing runs anywhere.

    python tests/foreign/survey.py PATH [--only TEXT] [--bare] [--words N]

The project becomes the catalog of a workspace that is thrown away; its inventory has one host for each group or host
that a play names. What a refusal says to declare (`delegates`, `adds`, `public_vars`, `vars`, `callbacks`) is declared,
as a person would who reads it, and asked again; hosts without a pinned key are allowed. `--bare` asks `ansible-playbook --syntax-check` about each one that is refused.
"""

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from itmp import documents, runbook
from itmp.adapters.ansible import AnsibleSources
from itmp.canonical import digest
from itmp.documents import DocumentError
from itmp.errors import Error
from itmp.plan import Source

_APART: Final = frozenset(
    {"tasks", "handlers", "defaults", "vars", "meta", "templates", "files", "group_vars", "host_vars"}
    | {"ansible_collections"}
)
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_HERE: Final = frozenset({"all", "localhost", "127.0.0.1", "ungrouped", "none"})
_ROUNDS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What became of one playbook: `planned`, `declared` (planned once that was declared), `refused` or `crashed`."""

    book: str
    verdict: str
    seconds: float
    words: tuple[str, ...] = ()
    declared: dict[str, Any] = field(default_factory=dict)
    bare: str = ""


def main() -> int:
    """Print a line for each playbook, then how many ended in which way; 1 when one crashed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--only", default="", help="only playbooks whose path holds this text")
    parser.add_argument("--bare", action="store_true", help="ask bare Ansible about what is refused")
    parser.add_argument("--words", type=int, default=6, help="problems to print of each")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="itmp-survey-") as scratch:
        found = []
        for one in survey(asked.path, Path(scratch), only=asked.only, bare=asked.bare):
            sys.stdout.writelines(f"{line}\n" for line in _lines(one, asked.words))
            sys.stdout.flush()
            found.append(one)
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    counted = Counter(one.verdict for one in found)
    told = ", ".join(f"{many} {verdict}" for verdict, many in sorted(counted.items()))
    sys.stdout.write(f"{told}; at most {peak >> 10} MiB in one process\n")
    return int("crashed" in counted)


def survey(project: Path, scratch: Path, *, only: str = "", bare: bool = False) -> Iterator[Found]:
    """Yield what becomes of each playbook of a `project`, copied into a workspace in `scratch`."""
    root = scratch / "w"
    shutil.copytree(project, root / "playbooks", symlinks=True, ignore=shutil.ignore_patterns(".git"))
    books = [path for path in playbooks(root / "playbooks") if only in path]
    (root / "inventories").mkdir()
    (root / "runbooks").mkdir()
    (root / "itmp.yml").write_text("organization: example.com\ninventories: [inventories/hosts.yml]\n")
    groups = groups_of(root / "playbooks", playbooks(root / "playbooks")) or ["web"]
    hosts = {f"h-{group}": {"ansible_host": f"127.0.1.{n % 250 + 1}"} for n, group in enumerate(groups)}
    children = {group: {"hosts": {f"h-{group}": {}}} for group in groups}
    (root / "inventories/hosts.yml").write_text(
        yaml.safe_dump({"all": {"hosts": hosts, "children": children}})
    )
    for book in books:
        one = _planned(root, book, sorted(hosts))
        if bare and one.verdict in {"refused", "crashed"}:
            one = Found(**{**{name: getattr(one, name) for name in one.__slots__}, "bare": _bare(root, book)})
        yield one


def playbooks(folder: Path) -> list[str]:
    """Return the paths of the playbooks below `folder`, without their ending."""
    found = [path for path in sorted(folder.rglob("*")) if path.suffix in {".yml", ".yaml"}]
    inner = [(path, path.relative_to(folder)) for path in found if path.is_file()]
    return [
        str(name.with_suffix(""))
        for path, name in inner
        if not _APART & set(name.parts[:-1]) and _holds_plays(path)
    ]


def groups_of(folder: Path, books: list[str]) -> list[str]:
    """Return the names that plays act on, patterns taken apart."""
    names: set[str] = set()
    for book in books:
        path = next(
            folder / f"{book}{end}" for end in (".yml", ".yaml") if (folder / f"{book}{end}").is_file()
        )
        for play in _plays(path):
            for part in re.split(r"[,:&!\s]+", _flat(play.get("hosts", ""))):
                plain = part.partition("[")[0]
                if _PLAIN.fullmatch(plain) and plain not in _HERE:
                    names.add(plain)
    return sorted(names)


def _flat(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _holds_plays(path: Path) -> bool:
    return any(
        "hosts" in play or any(str(key).endswith("import_playbook") for key in play) for play in _plays(path)
    )


class _Loader(yaml.CSafeLoader):
    """Reads what any tag stands before as the plain value."""


_Loader.add_multi_constructor(
    "!", lambda loader, _, node: loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else None
)


def _plays(path: Path) -> list[dict[str, Any]]:
    try:
        value = yaml.load(path.read_bytes(), Loader=_Loader)  # noqa: S506 -- a safe loader, for any tag
    except (yaml.YAMLError, ValueError, OSError):
        return []
    return [play for play in value if isinstance(play, dict)] if isinstance(value, list) else []


def _planned(root: Path, book: str, hosts: list[str]) -> Found:
    started, declared, words = time.monotonic(), {}, ()
    for _ in range(_ROUNDS):
        try:
            _plan(root, book, declared)
        except Error as error:
            words = tuple(map(str, error.problems)) if isinstance(error, DocumentError) else (str(error),)
            more = _declarations(error, hosts, declared)
            if more == declared:
                verdict = "crashed" if error.exit_code == Error.exit_code else "refused"
                break
            declared = more
        except Exception:  # noqa: BLE001 -- whatever comes is what this looks for
            words, verdict = (traceback.format_exc(),), "crashed"
            break
        else:
            words, verdict = (), "declared" if declared else "planned"
            break
    else:
        verdict = "refused"
    return Found(
        book=book, verdict=verdict, seconds=time.monotonic() - started, words=words, declared=declared
    )


def _plan(root: Path, book: str, declared: dict[str, Any]) -> None:
    step = {name: value for name, value in declared.items() if name not in {"public_vars", "callbacks"}}
    document = {
        "itmp": "runbook/v1",
        "name": "survey",
        "title": "Survey",
        "owner": "nobody",
        "environment": "lab",
        "risk": "low",
        "public_vars": declared.get("public_vars", []),
        "steps": [{"id": "it", "playbook": book, **step}],
    }
    text = yaml.safe_dump(document, sort_keys=False)
    (root / "runbooks/survey.yml").write_text(text)
    read = documents.parse("runbooks/survey.yml", text.encode(), {"runbook/v1": runbook.Runbook})
    callbacks = tuple(declared.get("callbacks", ()))
    sources = AnsibleSources(root, ("inventories/hosts.yml",), unpinned=True, callbacks=callbacks)
    facts = sources.gather(runbook.needs(read, {}))
    runbook.freeze(read, {}, facts, source=Source(path="runbooks/survey.yml", digest=digest(text.encode())))


_CLEAR: Final = re.compile(r"(\S+) is named like a secret and stands in clear")
_KEY: Final = re.compile(r"public_vars: \[(\S+)\]")
_OURS: Final = re.compile(r"'(\S+)' looks like a secret and its value is written out")
_CALLBACK: Final = re.compile(r"`callbacks: \[(\S+)\]`")
_ASKS: Final = re.compile(r"vars_prompt asks a person for (\w+)")
_NEEDS: Final = re.compile(r"hosts cannot be known before the run: '(\w+)' is undefined")


def _declarations(error: Error, hosts: list[str], declared: dict[str, Any]) -> dict[str, Any]:
    """Return what a person would declare who reads the problems."""
    problems = error.problems if isinstance(error, DocumentError) else ()
    more = {name: list(value) if isinstance(value, list) else dict(value) for name, value in declared.items()}
    public: set[str] = set(more.get("public_vars", ()))
    given: dict[str, Any] = dict(more.get("vars", {}))
    for one in problems:
        public.update(_CLEAR.findall(one.message), _KEY.findall(one.suggestion))
        public.update(_OURS.findall(one.message))
        given |= dict.fromkeys(_ASKS.findall(one.message), "x")
        given |= dict.fromkeys(_NEEDS.findall(one.message), "all")
        if "`delegates:` of the step" in one.suggestion and "delegate_to" in one.message and hosts:
            more["delegates"] = hosts
        if "`adds:` of the step" in one.suggestion:
            more["adds"] = [*hosts, {"name": "new-host", "address": "127.0.9.9"}]
    called = {name for one in problems for name in _CALLBACK.findall(one.suggestion)}
    more |= {"callbacks": sorted({*called, *more.get("callbacks", ())})} if called else {}
    more |= {"public_vars": sorted(public)} if public else {}
    return more | ({"vars": given} if given else {})


def _bare(root: Path, book: str) -> str:
    catalog = root / "playbooks"
    path = next(f"{book}{end}" for end in (".yml", ".yaml") if (catalog / f"{book}{end}").is_file())
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "-i", "../inventories/hosts.yml", "--list-tasks", path],
        cwd=catalog,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": f"{catalog}/collections"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return "accepts"
    return f"refuses: {next((line for line in done.stderr.splitlines() if 'ERROR' in line), '')[:200]}"


def _lines(one: Found, words: int) -> Iterator[str]:
    bare = f"  bare {one.bare}" if one.bare else ""
    said = ", ".join(sorted(one.declared))
    yield f"{one.verdict:9} {one.seconds:6.1f} s  {one.book}{f'  ({said})' if said else ''}{bare}"
    for text in one.words[:words]:
        yield from (f"            {line}" for line in text.splitlines())
    if len(one.words) > words:
        yield f"            and {len(one.words) - words} more"


if __name__ == "__main__":
    sys.exit(main())
