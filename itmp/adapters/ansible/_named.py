"""Reads from a template which variables it is made of, through the texts of those variables too.

Rules kept here: a template that cannot be parsed, that draws by chance, looks something up or reads variables by names
that it computes is `open`: what it says is known at the run only. The functions take texts and import no Ansible.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import Environment, TemplateSyntaxError, nodes

_AT_THE_RUN: Final = frozenset({"ansible_facts", "lookup", "query", "q", "vars", "varnames", "now", "undef"})
_BY_CHANCE: Final = frozenset({"random", "shuffle", "random_mac", "password_hash"})
_MAGIC: Final = frozenset({"groups", "hostvars", "vars", "omit", "ansible_facts"})


@dataclass(frozen=True)
class Named:
    """What a template names: variables, those of `hostvars[…]`, constant groups, and whether it is open."""

    names: frozenset[str] = frozenset()
    of_hosts: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    open: bool = False

    def __or__(self, other: "Named") -> "Named":
        return Named(
            self.names | other.names,
            self.of_hosts | other.of_hosts,
            self.groups | other.groups,
            self.open or other.open,
        )


def named(
    written: Iterable[Any], values: Mapping[str, Any], of_hosts: Callable[[str], Iterable[Any]]
) -> Named:
    """Return what the values `written` name, through `values` by name and what hosts have `of_hosts`."""
    todo, met, found = list(written), set(), Named()
    while todo and not found.open:
        for text in _texts(todo.pop()):
            if text in met:
                continue
            met.add(text)
            said = _read(text)
            todo += [values[name] for name in said.names - found.names - _MAGIC if name in values]
            todo += [value for name in said.of_hosts - found.of_hosts for value in of_hosts(name)]
            found |= said
    return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if "{{" in value or "{%" in value:
            yield str(value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(key)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def _read(text: str) -> Named:
    try:
        tree = Environment(autoescape=True).parse(text)
    except TemplateSyntaxError:
        return Named(open=True)
    names = frozenset(node.name for node in tree.find_all(nodes.Name))
    filters = {node.name.rpartition(".")[2] for node in tree.find_all(nodes.Filter)}
    tests = {node.name for node in tree.find_all(nodes.Test)}
    forgiving = bool(filters & {"default", "d"} or tests & {"defined", "undefined"})
    found: list[Any] = [*tree.find_all((nodes.Getattr, nodes.Getitem))]
    parts = [(node.node, _constant(node)) for node in found]
    groups = [part for base, part in parts if _is(base, "groups")]
    hosts = [part for base, part in parts if _of_hostvars(base)]
    bare = _count(tree, "hostvars") > len(hosts)
    return Named(
        names,
        frozenset(part for part in hosts if part),
        frozenset(part for part in groups if part),
        open=bool(
            names & _AT_THE_RUN
            or filters & _BY_CHANCE
            or bare
            or "" in hosts
            or (forgiving and len([part for part in groups if part]) < _count(tree, "groups"))
        ),
    )


def _constant(node: Any) -> str:
    """Return the name that a part is asked by; "" when it is computed."""
    if isinstance(node, nodes.Getattr):
        return node.attr
    return str(node.arg.value) if isinstance(node.arg, nodes.Const) else ""


def _is(node: Any, name: str) -> bool:
    return isinstance(node, nodes.Name) and node.name == name


def _of_hostvars(node: Any) -> bool:
    return isinstance(node, nodes.Getattr | nodes.Getitem) and _is(node.node, "hostvars")


def _count(tree: nodes.Template, name: str) -> int:
    return sum(_is(node, name) for node in tree.find_all(nodes.Name))


__all__ = ["Named", "named"]
