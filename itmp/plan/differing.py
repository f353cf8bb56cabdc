"""What a new plan changes against an older one, for people who approved the older.

Rules kept here: two plans with different digests never compare as equal; every cell is one visible line,
except that text artifacts carry a unified diff whose lines are visible each by themselves.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from itmp.documents.text import visible
from itmp.plan.bundle import Plan
from itmp.plan.codec import plain
from itmp.plan.showing import Section, show

How: TypeAlias = Literal["added", "removed", "changed"]

_MAX_DIFF: Final = 256 * 1024
_SHOWN_APART: Final = frozenset({"artifacts"})
_KEY_CELLS: Final = {
    "tasks": 4,
    "variables": 2,
    "checks": 2,
    "operations": 3,
    "present": 2,
    "delegates": 2,
    "outside": 2,
    "unknown": 2,
    "guards": 1,
}
"""How many leading cells of a row say which thing it is about; elsewhere it is the first alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not the same: in `section`, `subject` was `before` and is `after` (empty: not there).

    `text` is a unified diff for text artifacts.
    """

    section: str
    how: How
    subject: str
    before: str = ""
    after: str = ""
    text: str = ""


def diff(old: Plan, new: Plan) -> tuple[Difference, ...]:
    """Return what `new` changes against `old`; empty exactly when their digests are equal."""
    if old.digest == new.digest:
        return ()
    found = [*_sections(old, new), *_artifacts(old, new)]
    return tuple(found) if any(one.section != "plan" for one in found) else (*found, *_rest(old, new))


def _sections(old: Plan, new: Plan) -> Iterator[Difference]:
    before = {section.key: section for section in show(old)}
    after = {section.key: section for section in show(new)}
    for key in dict.fromkeys((*after, *before)):
        if key not in _SHOWN_APART:
            yield from _compare(key, _rows(before.get(key)), _rows(after.get(key)))


def _rows(section: Section | None) -> Mapping[str, str]:
    """Return subject to value of each row; repeated subjects are numbered."""
    rows: dict[str, str] = {}
    for row in section.rows if section else ():
        cut = _KEY_CELLS.get(section.key if section else "", 1)
        subject, number = " ".join(row[:cut]).strip(), 1
        while (name := subject if number == 1 else f"{subject} #{number}") in rows:
            number += 1
        rows[name] = " | ".join(row[cut:])
    return rows


def _compare(section: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Difference]:
    for subject in dict.fromkeys((*old, *new)):
        before, after = old.get(subject), new.get(subject)
        if before != after:
            how = _how(before, after)
            yield Difference(
                section=section, how=how, subject=subject, before=before or "", after=after or ""
            )


def _how(before: object, after: object) -> How:
    return "added" if before is None else "removed" if after is None else "changed"


def _artifacts(old: Plan, new: Plan) -> Iterator[Difference]:
    before, after = old.manifest.artifacts, new.manifest.artifacts
    for path in sorted({*before, *after}):
        one, two = before.get(path), after.get(path)
        if one != two:
            text = _text(path, old.artifact(path) if one else b"", new.artifact(path) if two else b"")
            subject, how = visible(path), _how(one, two)
            yield Difference(
                section="artifacts", how=how, subject=subject, before=one or "", after=two or "", text=text
            )


def _text(path: str, old: bytes, new: bytes) -> str:
    if max(len(old), len(new)) > _MAX_DIFF or b"\0" in old or b"\0" in new:
        return ""
    try:
        before, after = old.decode().split("\n"), new.decode().split("\n")
    except UnicodeDecodeError:
        return ""
    lines = difflib.unified_diff(before, after, path, path, lineterm="")
    return "\n".join(visible(line) for line in lines)


def _rest(old: Plan, new: Plan) -> Iterator[Difference]:
    """Yield the top-level keys that differ although nothing that is shown does."""
    before, after = plain(old.manifest), plain(new.manifest)
    for key in sorted(before):
        if before[key] != after[key]:
            yield Difference(section="manifest", how="changed", subject=key)
