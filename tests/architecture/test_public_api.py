"""The public API is documented, typed, and all that the command line uses: each read from the source itself."""

import ast
import inspect
import re
import tomllib
import typing
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import TypeGuard

import pytest

from itmp import workspace
from itmp.workspace import events

ROOT = Path(__file__).parents[2]
CLI = ROOT / "itmp/cli"
APART = {"demo.py", "verify.py"}
"""The demo stands hosts up; `itmp-verify` trusts nothing of what executes."""
BESIDE = ("itmp.cli", "itmp.errors", "itmp.viewer")
"""What the command line may import besides: its own parts, the errors, and the pages (which stand on the API)."""
ROW = re.compile(r"^\| `(\w+)` \| (.+) \|$", re.MULTILINE)


def modules() -> Iterator[Path]:
    return (path for path in sorted(CLI.glob("*.py")) if path.name not in APART)


def foreign(source: str) -> list[str]:
    """Everything that a module of the command line takes from beyond the public API."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("itmp"):
            found += [
                f"{node.module}.{name.name}"
                for name in node.names
                if not _allowed(node.module or "", name.name)
            ]
        elif isinstance(node, ast.Import):
            found += [name.name for name in node.names if name.name.startswith("itmp.")]
        elif _is_verb(node) and node.attr not in workspace.__all__:
            found.append(f"workspace.{node.attr}")
    return found


def _is_verb(node: ast.AST) -> TypeGuard[ast.Attribute]:
    return (
        isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "workspace"
    )


def _allowed(module: str, name: str) -> bool:
    if module == "itmp":
        return name == "workspace"
    if module in {"itmp.workspace", "itmp.workspace.values"}:
        return name in {*workspace.__all__, "events"}
    if module == "itmp.workspace.events":
        return name in events.__all__
    return module.startswith(BESIDE)


def test_the_command_line_uses_the_public_api_and_nothing_else() -> None:
    assert {path.name: names for path in modules() if (names := foreign(path.read_text()))} == {}


@pytest.mark.parametrize(
    "line",
    [
        "from itmp.audit import Log",
        "from itmp.workspace.running import run",
        "from itmp.workspace import running",
        "from itmp import change",
        "import itmp.plan",
        "workspace.running.run(1)",
    ],
)
def test_a_module_that_takes_more_is_found(line: str) -> None:
    assert foreign(f"from itmp import workspace\n{line}\n")


def test_the_contract_names_every_module_of_the_command_line() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (api,) = [one for one in contracts if one["id"] == "api"]
    assert set(api["source_modules"]) == {
        f"itmp.cli.{path.stem}" for path in modules() if path.stem != "__init__"
    }


def test_every_public_name_stands_in_the_page_with_its_own_first_line() -> None:
    page = dict(ROW.findall((ROOT / "docs/api.md").read_text()))
    due = {name: first_line(name) for name in workspace.__all__}
    wrong = {name: line for name, line in due.items() if page.get(name) != line}
    assert not wrong, "write in docs/api.md:\n" + "\n".join(
        f"| `{n}` | {line} |" for n, line in wrong.items()
    )
    assert set(page) - {"event"} <= set(due), "the page names what is not there"


def first_line(name: str) -> str:
    value = getattr(workspace, name)
    if name.isupper():
        return "A constant."
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        return "A type's name."
    return (inspect.getdoc(value) or "").partition("\n\n")[0].replace("\n", " ").replace("|", "or")


def test_every_public_function_is_typed_and_says_what_it_does() -> None:
    for name in workspace.__all__:
        value = getattr(workspace, name)
        if not inspect.isfunction(value):
            continue
        assert inspect.getdoc(value), name
        signature = inspect.signature(value)
        bare = [
            one.name for one in signature.parameters.values() if one.annotation is inspect.Parameter.empty
        ]
        assert not bare, f"{name}: {bare}"
        assert signature.return_annotation is not inspect.Signature.empty, name
        by_position = [
            one
            for one in signature.parameters.values()
            if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        ]
        assert len(by_position) <= 5, name


def test_every_value_that_a_verb_takes_or_gives_is_frozen() -> None:
    for name in workspace.__all__:
        value = getattr(workspace, name)
        if is_dataclass(value) and inspect.isclass(value):
            assert value.__dataclass_params__.frozen, name  # type: ignore[attr-defined]  # dataclasses' own record
    assert (ROOT / "itmp/py.typed").is_file()
    assert typing.get_type_hints(workspace.statement_text)["words"]
