"""Guards of `when:`: a closed part of CEL, typed before anything runs, evaluated by run and verifier alike.

    steps.confirm.answer == true && inputs.depth > 2 ? steps["shift-load"].outcome == "failed" : !inputs.quick

Rules kept here:
1. What is accepted is CEL and means what it means in CEL: literals of booleans, whole numbers and text, lists of
   literals, `! && || == != < <= > >= in ?:`, parentheses, `size()`, `startsWith`, `endsWith`, `contains`. There is no
   arithmetic, no loop and no call outward: every guard ends, in time proportional to its length.
2. Names are `inputs.NAME`, `steps.ID.outcome` and `steps.ID.answer`; an id with a hyphen is written `steps["my-id"]`.
3. Types are known beforehand (`check`); comparing with a word that can never stand there is a problem too.
4. An answer that nobody has given is CEL's error value: `&&` and `||` absorb it as CEL does, and a guard that comes
   out as one does not hold.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from itmp.documents._guard_text import MAX_SOURCE, METHODS, GuardError, Reader, Term
from itmp.documents.problems import did_you_mean

OUTCOMES: Final = ("succeeded", "failed", "unknown", "skipped", "pending")
"""What `steps.ID.outcome` can be."""

Type: TypeAlias = Literal["boolean", "integer", "string"]
Value: TypeAlias = bool | int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """The type of a name, and the only texts that it can be (empty: any)."""

    type: Type
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What a guard may speak of: inputs, and earlier steps with the kind of their answer (`None`: no question)."""

    inputs: Mapping[str, Kind]
    steps: Mapping[str, Kind | None]
    later: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known when a guard is evaluated. A step that is absent from `outcomes` is `pending`."""

    inputs: Mapping[str, Any] = field(default_factory=dict)
    outcomes: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, Value] = field(default_factory=dict)


class _Missing:
    """CEL's error value: an answer that is not there."""


_MISSING: Final = _Missing()


@dataclass(frozen=True, slots=True)
class Guard:
    """A guard that was read; `source` is its text."""

    source: str
    _term: Term = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_term", Reader(self.source).read())

    def names(self) -> Iterator[tuple[str, str]]:
        """Yield (`input`, `outcome` or `answer`; name) of each name in it."""
        yield from _names(self._term)

    @property
    def settled(self) -> bool:
        """Whether it speaks of inputs alone, so that it is decided when the plan is made."""
        return all(space == "input" for space, _ in self.names())

    def check(self, names: Names) -> None:
        """Return when every name is known and every type fits; raise `GuardError` for the first that does not."""
        found = _kind(self._term, names)
        if found.type != "boolean":
            raise GuardError(
                f"a guard is true or false, and this is {_a(found)}", self._term.at, "compare it"
            )

    def holds(self, known: Known) -> bool:
        """Whether it is true; what nobody has answered makes it untrue."""
        return _value(self._term, known) is True

    def why_not(self, known: Known) -> str:
        """Return one line that says why it does not hold."""
        if _value(self._term, known) is not _MISSING:
            return f"guard: {self.source}"
        lost = sorted(
            {name for space, name in self.names() if space == "answer" and name not in known.answers}
        )
        return f"guard: {self.source} (no answer of {', '.join(lost)})"


def _names(term: Term) -> Iterator[tuple[str, str]]:
    if term.op in {"input", "outcome", "answer"}:
        yield term.op, str(term.value)
    for inner in term.args:
        yield from _names(inner)


def _kind(term: Term, names: Names) -> Kind:
    match term.op:
        case "lit":
            return _literal(term.value)
        case "input":
            return _input(term, names)
        case "outcome" | "answer":
            return _step(term, names)
        case "list":
            raise GuardError("a list stands on the right of `in` only", term.at)
        case "in":
            return _within(term, names)
    return _operation(term, names)


def _operation(term: Term, names: Names) -> Kind:
    if term.op in {"!", "&&", "||", "size", *METHODS}:
        for inner in term.args:
            _want(inner, names, "boolean" if term.op in {"!", "&&", "||"} else "string")
        return Kind(type="integer" if term.op == "size" else "boolean")
    if term.op == "?:":
        _want(term.args[0], names, "boolean")
        return _alike(term, _kind(term.args[1], names), _kind(term.args[2], names))
    _alike(term, left := _kind(term.args[0], names), _kind(term.args[1], names))
    if term.op not in {"==", "!="} and left.type != "integer":
        raise GuardError(f"{term.op} compares whole numbers, and this is {_a(left)}", term.at)
    return Kind(type="boolean")


def _literal(value: Value) -> Kind:
    if isinstance(value, bool):
        return Kind(type="boolean")
    return Kind(type="integer") if isinstance(value, int) else Kind(type="string", choices=(value,))


def _input(term: Term, names: Names) -> Kind:
    if term.value not in names.inputs:
        near = did_you_mean(term.value, names.inputs) or "declare it under inputs"
        raise GuardError(f"there is no input {term.value!r:.60}", term.at, near)
    return names.inputs[term.value]


def _step(term: Term, names: Names) -> Kind:
    if term.value in names.later:
        raise GuardError(f"the step {term.value!r:.60} does not come before this one", term.at)
    if term.value not in names.steps:
        near = did_you_mean(term.value, names.steps) or "name a step that stands before this one"
        raise GuardError(f"there is no step {term.value!r:.60} before this one", term.at, near)
    if term.op == "outcome":
        return Kind(type="string", choices=OUTCOMES)
    answer = names.steps[term.value]
    if answer is None:
        raise GuardError(
            f"the step {term.value!r:.60} asks nothing, so it has no answer", term.at, "use outcome"
        )
    return answer


def _want(term: Term, names: Names, wanted: Type) -> None:
    found = _kind(term, names)
    if found.type != wanted:
        raise GuardError(f"{_a(Kind(type=wanted))} must stand here, not {_a(found)}", term.at)


def _alike(term: Term, left: Kind, right: Kind) -> Kind:
    if left.type != right.type:
        raise GuardError(f"{_a(left)} is never {_a(right)}", term.at)
    if left.choices and right.choices and not set(left.choices) & set(right.choices) and term.op != "?:":
        word, known = (left, right) if len(left.choices) < len(right.choices) else (right, left)
        near = did_you_mean(word.choices[0], known.choices) or f"it is one of: {', '.join(known.choices)}"
        raise GuardError(f"{word.choices[0]!r:.60} can never stand there", term.at, near)
    return Kind(
        type=left.type, choices=(*left.choices, *right.choices) if left.choices and right.choices else ()
    )


def _within(term: Term, names: Names) -> Kind:
    left, right = term.args
    if right.op != "list":
        raise GuardError("`in` wants a list of literals on its right: x in [1, 2]", right.at)
    found = _kind(left, names)
    for item in right.args:
        _alike(item, found, _literal(item.value))
    return Kind(type="boolean")


def _a(kind: Kind) -> str:
    return {"boolean": "true or false", "integer": "a whole number", "string": "text"}[kind.type]


def _value(term: Term, known: Known) -> Any:
    match term.op:
        case "lit":
            return term.value
        case "input":
            return known.inputs.get(term.value, _MISSING)
        case "outcome":
            return known.outcomes.get(term.value, "pending")
        case "answer":
            return known.answers.get(term.value, _MISSING)
    return _result(term, known)


def _result(term: Term, known: Known) -> Any:
    if term.op in {"&&", "||"}:
        return _logic(term, known)
    if term.op == "?:":
        first = _value(term.args[0], known)
        return first if first is _MISSING else _value(term.args[1 if first else 2], known)
    if term.op == "in":
        left = _value(term.args[0], known)
        return left if left is _MISSING else any(_same(left, item.value) for item in term.args[1].args)
    values = [_value(inner, known) for inner in term.args]
    return _MISSING if _MISSING in values else _apply(term.op, values)


def _logic(term: Term, known: Known) -> Any:
    values = [_value(inner, known) for inner in term.args]
    decisive = term.op == "||"
    if any(value is decisive for value in values):
        return decisive
    return _MISSING if _MISSING in values else not decisive


def _apply(op: str, values: list[Any]) -> Any:  # noqa: PLR0911  # one line per operator reads best
    left, right = values[0], values[-1]
    match op:
        case "!":
            return not left
        case "size":
            return len(left)
        case "==":
            return _same(left, right)
        case "!=":
            return not _same(left, right)
        case "<":
            return left < right
        case "<=":
            return left <= right
        case ">":
            return left > right
        case ">=":
            return left >= right
    return METHODS[op](left, right)


def _same(left: Any, right: Any) -> bool:
    return type(left) is type(right) and bool(left == right)


__all__ = ["MAX_SOURCE", "OUTCOMES", "Guard", "GuardError", "Kind", "Known", "Names", "Value"]
