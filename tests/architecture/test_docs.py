"""The documents say what the code says: every verb, option, key, event, act, check, rule and exit code; links; words."""

import re
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import typer

from itmp import errors
from itmp.audit.event import TYPES, Event
from itmp.change import _shape
from itmp.change.gate import NAMES
from itmp.change.permit import _KEYS
from itmp.change.statements import TYPE_OF
from itmp.cli.main import app
from itmp.cli.verify import _parser
from itmp.evidence import REQUIRABLE
from itmp.evidence.rules import TEXTS
from itmp.evidence.trust import FILES
from itmp.execution.progress import RunEvent
from itmp.plan import model
from itmp.signing import ACTS
from itmp.signing import fields as grammar
from itmp.workspace import planning
from itmp.workspace.config import Config

ROOT = Path(__file__).parents[2]
FORMATS = ROOT / "docs/formats"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
OURS = [page for page in PAGES if "plan" not in page.relative_to(ROOT).parent.parts]

FORBIDDEN = re.compile(
    r"\b(jobs?|tickets?|workflows?|managers?|helpers?|utils?|simply|powerful)\b", re.IGNORECASE
)
ELSEWHERE = re.compile(
    r"/(work|root|home|tmp|Users)/|\b(pypi|pythonhosted|files\.python|registry\.)", re.IGNORECASE
)


def read(name: str) -> str:
    return (FORMATS / name).read_text()


def section(text: str, heading: str) -> str:
    """Return what stands under a heading, up to the next one of its level or above."""
    level = heading.partition(" ")[0]
    start = re.search(rf"^{re.escape(heading)}\s*$", text, re.MULTILINE)
    assert start, f"no heading {heading!r}"
    rest = text[start.end() :]
    end = re.search(rf"^#{{1,{len(level)}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def rows(text: str) -> list[list[str]]:
    """Return the cells of every table's rows, without headers."""
    cells = [
        [cell.strip() for cell in line.strip("|\n").split(" | ")]
        for line in text.splitlines()
        if line.startswith("| ")
    ]
    return [
        row
        for row in cells
        if row[0] not in {"key", "code", "n", "rule", "line", "act", "path", "member", "file"}
    ]


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def keys(text: str) -> set[str]:
    """Return every name in the first cells of the tables in `text`."""
    return {name for row in rows(text) for name in named(row[0])}


def prose(page: Path) -> str:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`]*`", "", text)


# The command line.


def verbs(command: Any, path: str = "itmp") -> Iterator[tuple[str, set[str]]]:
    """Yield each verb with its options."""
    inner = getattr(command, "commands", None)
    if inner is None:
        options = [p for p in command.params if p.param_type_name == "option"]
        yield path, {name for option in options for name in option.opts} - {"--json", "--help", "-h"}
        return
    for name, one in inner.items():
        yield from verbs(one, f"{path} {name}")


def documented() -> dict[str, str]:
    """Return the text of each verb's section in cli.md."""
    parts = re.split(r"^###? ", read("cli.md"), flags=re.MULTILINE)
    found = {}
    for part in parts:
        heading, _, text = part.partition("\n")
        words = [word for word in heading.split() if re.fullmatch(r"[a-z][a-z-]*", word)]
        if heading.startswith("itmp"):
            found[" ".join(words)] = text
    return found


VERBS = dict(verbs(typer.main.get_command(app)))
VERBS["itmp-verify"] = {name for action in _parser()._actions for name in action.option_strings} - {
    "--json",
    "--help",
    "-h",
}


def test_every_verb_is_documented_and_nothing_else_is() -> None:
    assert documented().keys() == VERBS.keys()


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_verbs_options_are_documented_and_no_others(verb: str) -> None:
    told = {word for span in named(documented()[verb]) for word in re.findall(r"(?<!\S)--?[a-z-]+", span)}
    assert told - {"--json"} == VERBS[verb]


def test_exit_codes_are_those_of_the_errors() -> None:
    def all_of(kind: type[errors.Error]) -> Iterator[int]:
        yield kind.exit_code
        for one in kind.__subclasses__():
            yield from all_of(one)

    table = {int(row[0]) for row in rows(section(read("cli.md"), "## Exit codes"))}
    assert table == {0, 130, *all_of(errors.Error)}


def test_configuration_keys_are_documented() -> None:
    told = keys(section(read("cli.md"), "## Finding things"))
    assert {name.partition(".")[0] for name in told} == {one.name for one in fields(Config)}


# Documents and the policy.


def properties(schema: Any) -> set[str]:
    """Return every property name of a JSON Schema."""
    found: set[str] = set()
    if isinstance(schema, dict):
        found |= set(schema.get("properties", {}))
        inner = {**schema, **schema.get("properties", {})}
        for key, value in inner.items():
            found |= properties(value) if key != "required" else set()
    for value in schema if isinstance(schema, list) else ():
        found |= properties(value)
    return found


@pytest.mark.parametrize("kind", ["runbook/v1", "patch-schedule/v1", "capacity-adjustment/v1"])
def test_a_documents_keys_are_documented_and_no_others(kind: str) -> None:
    known = properties(planning.registry()[kind].model_json_schema())
    text = read("documents.md")
    own = section(text, "## The head") + section(text, "## Inputs") + section(text, f"## {kind}")
    assert {part for name in keys(own) for part in name.split(".")} <= known
    assert not known - {word for span in named(own) for word in re.findall(r"[a-z_]+", span)}


def test_policy_keys_are_documented_and_no_others() -> None:
    def walk(kind: Any, path: str = "") -> Iterator[str]:
        for name, one in kind.model_fields.items():
            here = f"{path}{one.alias or name}"
            yield here
            inner = [
                part
                for part in (one.annotation, *getattr(one.annotation, "__args__", ()))
                if hasattr(part, "model_fields")
            ]
            for part in inner:
                yield from walk(part, f"{here}.")

    known = set(walk(_shape.Document))
    told = keys(read("policy.md"))
    assert known - told <= {"amend.roles", "amend.count", "limits"}
    assert told <= known


# Plan, gate, permit.


def test_every_value_of_a_manifest_is_documented() -> None:
    text = read("plan.md")
    top = {one.name for one in fields(model.Manifest)}
    assert keys(section(text, "## Manifest")) == top
    kinds = (
        model.AnsibleStep, model.CheckStep, model.PulumiStep, model.RollingStep, model.ExpectedTask, model.Operation,
        model.Present, model.Host, model.Added, model.Inventory, model.Moved, model.Review, model.HttpProbe, model.TcpProbe,
    )  # fmt: skip
    words = set(re.findall(r"[a-z_]+", " ".join(named(text))))
    assert not {one.name for kind in kinds for one in fields(kind)} - words


def test_the_gates_checks_and_the_permit_are_documented() -> None:
    text = read("gate.md")
    checks = {int(row[0]): row[1] for row in rows(section(text, "## Checks")) if row[0].isdigit()}
    assert checks == dict(NAMES)
    assert keys(section(text, "## Permit")) == set(_KEYS)


# Log, events, statements, evidence.


def test_every_event_type_is_documented_and_nothing_else_is() -> None:
    assert set(re.findall(r"^### (\S+)$", read("events.md"), re.MULTILINE)) == TYPES


def test_every_event_type_is_written_by_some_code() -> None:
    readers = {"audit/event.py", "change/fold.py", "export/ocsf.py", "export/ecs.py"}
    code = "\n".join(
        path.read_text()
        for path in (ROOT / "itmp").rglob("*.py")
        if path.relative_to(ROOT / "itmp").as_posix() not in readers and "testing" not in path.parts
    )
    assert {name for name in TYPES if f'"{name}"' not in code} == set()


def test_an_events_keys_are_documented() -> None:
    text = read("events.md").partition("## Types")[0]
    assert keys(text) == {one.metadata.get("key", one.name) for one in fields(Event)}


def test_every_act_is_documented_with_its_lines() -> None:
    table = {
        named(row[0])[0]: (row[1], row[2])
        for row in rows(section(read("statements.md"), "## Acts"))
        if len(row) == 3
    }
    shared = {"log", "signer", "role", "policy", "valid", "seen", "nonce"}
    own = {act: " ".join(line for line in grammar.lines_of(act) if line not in shared) for act in ACTS}
    special = {"enrol": "log.created", "policy": "policy.changed"}
    assert table == {
        act: (own[act], TYPE_OF.get(act, special.get(act, "statement.recorded"))) for act in ACTS
    }
    assert keys(section(read("statements.md"), "## Lines of every act")) == shared


def test_the_logs_rules_are_documented() -> None:
    told = {int(row[0]) for row in rows(section(read("log.md"), "## Verification"))}
    rules = {
        int(number)
        for number in re.findall(r"^ ?(\d+) ", import_module("itmp.audit.verify").__doc__ or "", re.MULTILINE)
    }
    assert told == {*rules, 14}


def test_the_logs_findings_are_documented() -> None:
    files = (
        "itmp/audit/verify.py",
        "itmp/audit/_stories.py",
        "itmp/workspace/auditing.py",
        "itmp/workspace/chain.py",
        "itmp/workspace/strict.py",
    )
    brought = (ROOT / "itmp/workspace/trusted.py").read_text()
    code = "".join((ROOT / file).read_text() for file in files)
    found = set(re.findall(r'(?:_find|_attempt)\(\s*\d+,\s*"([a-z-]+)"|name="([a-z-]+)"', code))
    names = {name for pair in found for name in pair if name} | {
        *re.findall(r'_finding\("([a-z-]+)"', brought),
        "note-invalid",
        "journal-torn",
        "journal-damaged",
    }
    table = rows(section(read("log.md"), "## Verification"))
    assert {name for row in table for name in named(row[2])} == names


def test_the_rules_of_evidence_are_documented() -> None:
    text = read("evidence.md")
    table = {int(row[0]): (row[1], row[2], row[3]) for row in rows(section(text, "## itmp-verify"))}
    found = {n: [f"`{name}`" for name in (rule.broken, rule.absent) if name] for n, rule in TEXTS.items()}
    assert table == {n: (rule.name, rule.holds, ", ".join(found[n])) for n, rule in TEXTS.items()}
    assert not {*REQUIRABLE, *FILES} - set(named(text))


# All pages.


def promised(page: Path) -> Iterator[tuple[str, str, set[str]]]:
    """Yield each command that a page names in its prose: its words, its verb, its options."""
    groups = {" ".join(verb.split()[:count]) for verb in VERBS for count in (1, 2, 3)}
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for span in named(text):
        words = span.split()
        count = max((n for n in range(1, 4) if " ".join(words[:n]) in groups), default=0)
        if count and words[0] in {"itmp", "itmp-verify"}:
            verb = " ".join(words[:count])
            yield span, verb, set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", span)) - {"--json", "--help", "-h"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_and_options_that_are_promised_exist(page: Path) -> None:
    own = {"--version", "--install-completion", "--show-completion"}
    for span, verb, options in promised(page):
        assert options <= VERBS.get(verb, own), span
        rest = span.split()[len(verb.split()) :]
        assert verb in VERBS or not rest or rest[0].startswith(("-", "…")), f"{span}: no such command"


def test_names_in_the_changelog_exist() -> None:
    """A kebab-case word in it is a finding, a state or a key: the code, or the page that holds its list, knows it."""
    files = [*(ROOT / "itmp").rglob("*.py"), ROOT / "Makefile", *FORMATS.glob("*.md")]
    known = "\n".join(path.read_text() for path in files)
    words = {
        word for word in named((ROOT / "CHANGELOG.md").read_text()) if re.fullmatch(r"[a-z]+(-[a-z]+)+", word)
    }
    assert len(words) > 3
    assert not {word for word in words if not re.search(rf"\b{word}\b", known)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_resolve(page: Path) -> None:
    targets = re.findall(r"\]\(([^)]+)\)", page.read_text())
    dead = [t for t in targets if "://" not in t and not (page.parent / t.partition("#")[0]).exists()]
    assert not dead


def test_every_page_is_reachable_from_the_readme() -> None:
    seen, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop().resolve()
        if page not in seen and page.suffix == ".md":
            seen.add(page)
            links = re.findall(r"\]\(([^)]+)\)", page.read_text())
            waiting += [page.parent / link.partition("#")[0] for link in links if "://" not in link]
    assert set(OURS) <= seen


@pytest.mark.parametrize("page", OURS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_words_are_the_projects_own(page: Path) -> None:
    assert not FORBIDDEN.findall(prose(page))
    assert not ELSEWHERE.findall(page.read_text())


def test_the_api_names_every_event_of_a_run_with_its_values() -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    rows = re.findall(r"^\| (`[a-z]+\.[a-z]+`.*?) \| (.*) \|$", text, re.MULTILINE)
    told = {
        name: re.findall(r"`(\w+)`", values)
        for names, values in rows
        for name in re.findall(r"`(\S+)`", names)
    }
    assert told == {
        name: [field.name for field in fields(kind) if field.name != "event"]
        for kind in get_args(RunEvent)
        for name in get_args(get_type_hints(kind)["event"])
    }
