"""Reads commands out of Markdown: ```console blocks, and comments that begin with a command (unseen preparation).

A command is a line that begins with `$ `; `# exit N` at its end names the exit code that is expected. The lines after
it must occur in its output, in order; `…` stands for anything. Ids and digests stand for those of this run: the first
one that a line shows is bound to the real one, and later commands use that. A ```yaml block whose opening fence names
a path is a file.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_TOKEN = re.compile(
    r"(?P<any>…)|(?P<bound>CHG-[0-9a-f]{10}|sha256:[0-9a-f]{64})|(?P<run>\b[0-9a-f]{32}\b)|(?P<year>/ops/\d{4})|(?P<space>\s+)"
)
_MEANS = {"any": ".*", "run": "[0-9a-f]{32}", "year": r"/ops/\d{4}", "space": r"\s+"}
_BOUND = re.compile(r"CHG-[0-9a-f]{10}|sha256:[0-9a-f]{64}")
_EXIT = re.compile(r"\s+# exit (\d+)$")
_OPENING = re.compile(r"(<!--|```)(\w*) ?(\S*)$")


@dataclass
class Command:
    """One command as a document shows it."""

    place: str
    text: str
    code: int
    shown: list[str] = field(default_factory=list)


@dataclass
class File:
    """One file that a document has its reader write."""

    place: str
    path: str
    text: str


@dataclass
class Names:
    """What the ids and digests of the documents are in this run."""

    bound: dict[str, str] = field(default_factory=dict)

    def real(self, text: str) -> str:
        return _BOUND.sub(lambda found: self.bound.get(found[0], found[0]), text)

    def missing(self, shown: list[str], output: str) -> str:
        """Return the first shown line that the output does not hold after those before it, or nothing."""
        left = iter(output.splitlines())
        for line in shown:
            if line.strip() != "…" and not any(self._is(line.strip(), actual.strip()) for actual in left):
                return line
        return ""

    def _is(self, shown: str, actual: str) -> bool:
        parts, fresh, at = list[str](), list[str](), 0
        for found in _TOKEN.finditer(shown):
            parts += [re.escape(shown[at : found.start()]), self._means(found, fresh)]
            at = found.end()
        matched = re.fullmatch("".join([*parts, re.escape(shown[at:])]), actual)
        if matched:
            self.bound |= dict(zip(fresh, matched.groups(), strict=True))
        return bool(matched)

    def _means(self, found: re.Match[str], fresh: list[str]) -> str:
        name = found["bound"]
        if name is None:
            return _MEANS[str(found.lastgroup)]
        if name in self.bound:
            return re.escape(self.bound[name])
        if name in fresh:
            return rf"\{fresh.index(name) + 1}"
        fresh.append(name)
        return f"({_BOUND.pattern})"


def steps(path: Path, name: str) -> Iterator[Command | File]:
    """Yield a document's commands and files in order."""
    kind, where, body = "", "", list[tuple[int, str]]()
    for number, line in enumerate(path.read_text().splitlines(), 1):
        opening = _OPENING.match(line)
        if kind and line in {"```", "-->"}:
            yield from _block(kind, where, body, name)
            kind, body = "", []
        elif kind:
            body.append((number, line))
        elif opening:
            kind, where = (opening[2] or "text") if opening[1] == "```" else "console", opening[3]
    assert not kind, f"{name}: a block without an end"


def _block(kind: str, path: str, body: list[tuple[int, str]], name: str) -> Iterator[Command | File]:
    if kind == "yaml" and path:
        yield File(place=f"{name}:{body[0][0]}", path=path, text="".join(f"{line}\n" for _, line in body))
    if kind != "console":
        return
    found: list[Command] = []
    for number, line in body:
        if line.startswith("$ "):
            code = _EXIT.search(line)
            text = _EXIT.sub("", line.removeprefix("$ "))
            found.append(Command(place=f"{name}:{number}", text=text, code=int(code[1]) if code else 0))
        else:
            assert found, f"{name}:{number}: output before any command"
            found[-1].shown += [line] if line.strip() else []
    yield from found
