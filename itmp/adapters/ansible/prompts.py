"""Reads what the plays of a playbook ask a person for: the `vars_prompt` of its own plays and of those it imports.

Rules kept here: the text alone is read, before anything of Ansible's starts, and nothing in it does anything: a tag is
text. What is not to be read like this, an import by a template above all, is left to Ansible's parser: a prompt that
nobody answers is refused there (`_questions`).
"""

import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from itmp.adapters.ansible import _questions
from itmp.documents import Problem
from itmp.documents.secrecy import secret_like
from itmp.runbook.prompts import Prompt

_IMPORTS: Final = frozenset(
    {"import_playbook", "ansible.builtin.import_playbook", "ansible.legacy.import_playbook"}
)
_ENDINGS: Final = (".yml", ".yaml", "")
_SHOWN: Final = frozenset({"n", "no", "off", "0", "false", "f"})


class _Reader(yaml.CSafeLoader):
    """Reads YAML as Ansible does, tags left aside."""


def _untagged(loader: Any, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


_Reader.add_multi_constructor("!", _untagged)


def asked(root: Path, catalog: str, playbook: str) -> tuple[Prompt, ...]:
    """Return the prompts of a playbook of the catalog, in order; none where it is not there."""
    return tuple(
        prompt for ending in _ENDINGS for prompt in _of_file(root, f"{catalog}/{playbook}{ending}", ())
    )


def _of_file(root: Path, path: str, chain: tuple[str, ...]) -> Iterator[Prompt]:
    file = root / path
    if path in chain or path.startswith("..") or not file.resolve().is_relative_to(root.resolve()):
        return
    for play in _plays(file):
        for key in _IMPORTS & play.keys():
            named = str(play[key]).split(" ")[0]
            yield from _of_file(
                root, posixpath.normpath(posixpath.join(posixpath.dirname(path), named)), (*chain, path)
            )
        prompts = play.get("vars_prompt")
        for prompt in prompts if isinstance(prompts, list) else ():
            if isinstance(prompt, Mapping) and isinstance(prompt.get("name"), str):
                yield _prompt(path, prompt)


def _plays(file: Path) -> Iterator[Mapping[str, Any]]:
    try:
        found = yaml.load(file.read_bytes(), Loader=_Reader)  # noqa: S506 -- a safe loader that leaves tags aside
    except (OSError, yaml.YAMLError, ValueError, RecursionError):
        return
    yield from (play for play in found if isinstance(play, Mapping)) if isinstance(found, list) else ()


def _prompt(path: str, prompt: Mapping[str, Any]) -> Prompt:
    name = prompt["name"]
    what, do, *more = _questions.of_prompt(prompt)
    return Prompt(
        name=name,
        text=str(prompt.get("prompt") or name),
        default=prompt.get("default"),
        private=str(prompt["private"]).lower() not in _SHOWN if "private" in prompt else None,
        hashed=bool(prompt.get("encrypt")),
        problem=Problem(
            path=path,
            line=0,
            column=0,
            message=what,
            suggestion=more[1] if more and secret_like(name) else do,
        ),
    )


__all__ = ["asked"]
