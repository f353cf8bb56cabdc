"""The text of a guard: tokens, grammar and tree. What its names and types mean is `guards`' business.

Rules kept here: the grammar is a closed part of CEL's; a text has at most `MAX_SOURCE` characters and `MAX_DEPTH`
levels, so reading it ends; every refusal names the character.
"""

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from itmp.documents.problems import did_you_mean

MAX_SOURCE: Final = 500
MAX_DEPTH: Final = 24
METHODS: Final = {"startsWith": str.startswith, "endsWith": str.endswith, "contains": str.__contains__}
"""What may follow a text after a dot; each takes one text."""

_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<int>0|[1-9][0-9]{0,15})(?![A-Za-z0-9_.])
      |(?P<text>"(?:[^"\\\x00-\x1f\x7f]|\\["'\\])*"|'(?:[^'\\\x00-\x1f\x7f]|\\["'\\])*')
      |(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?!["'])
      |(?P<op>&&|\|\||==|!=|<=|>=|[<>!?:()\[\],.-]))""",
    re.VERBOSE,
)
_RELATIONS: Final = ("==", "!=", "<", "<=", ">", ">=", "in")


class GuardError(ValueError):
    """A guard that cannot be used: `at` is the character, from 1, `what` the reason, `do` a way out."""

    def __init__(self, what: str, at: int, do: str = "") -> None:
        super().__init__(what)
        self.what, self.at, self.do = what, at, do


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


class Term(NamedTuple):
    """One node: `op` is an operator, `lit`, `list`, `input`, `outcome`, `answer` or a function's name."""

    op: str
    at: int
    args: tuple["Term", ...] = ()
    value: Any = None


class Reader:
    """Recursive descent over the tokens of one guard."""

    def __init__(self, source: str) -> None:
        if len(source) > MAX_SOURCE:
            raise GuardError(f"a guard of {len(source)} characters; the limit is {MAX_SOURCE}", 1)
        self._tokens = list(_tokens(source))
        self._at, self._depth = 0, 0

    def read(self) -> Term:
        term = self._expression()
        if self._next.kind != "end":
            raise GuardError(f"{self._next.text!r:.40} is one too many", self._next.at)
        return term

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        self._at += 1
        return self._tokens[self._at - 1]

    def _met(self, *texts: str) -> _Token | None:
        known = self._next.kind in {"op", "name"} and self._next.text in texts
        return self._take() if known else None

    def _must(self, text: str) -> None:
        if not self._met(text):
            raise GuardError(
                f"{text!r} must stand here, not {self._next.text or 'the end'!r:.40}", self._next.at
            )

    def _expression(self) -> Term:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise GuardError(f"more than {MAX_DEPTH} levels deep", self._next.at)
        term = self._either()
        if mark := self._met("?"):
            yes = self._either()
            self._must(":")
            term = Term("?:", mark.at, (term, yes, self._expression()))
        self._depth -= 1
        return term

    def _either(self) -> Term:
        term = self._both()
        while mark := self._met("||"):
            term = Term("||", mark.at, (term, self._both()))
        return term

    def _both(self) -> Term:
        term = self._relation()
        while mark := self._met("&&"):
            term = Term("&&", mark.at, (term, self._relation()))
        return term

    def _relation(self) -> Term:
        term = self._unary()
        if mark := self._met(*_RELATIONS):
            term = Term(mark.text, mark.at, (term, self._unary()))
        return term

    def _unary(self) -> Term:
        if mark := self._met("!"):
            self._depth += 1
            if self._depth > MAX_DEPTH:
                raise GuardError(f"more than {MAX_DEPTH} levels deep", mark.at)
            term = Term("!", mark.at, (self._unary(),))
            self._depth -= 1
            return term
        term = self._primary()
        while self._met("."):
            name = self._take()
            if name.text not in METHODS:
                near = did_you_mean(name.text, METHODS) or f"known here: {', '.join(METHODS)}"
                raise GuardError(f"nothing is called .{name.text:.40}", name.at, near)
            self._must("(")
            term = Term(name.text, name.at, (term, self._expression()))
            self._must(")")
        return term

    def _primary(self) -> Term:
        token = self._take()
        match token.kind, token.text:
            case "int", text:
                return Term("lit", token.at, value=int(text))
            case "text", text:
                return Term("lit", token.at, value=re.sub(r"\\(.)", r"\1", text[1:-1]))
            case "op", "-" if self._next.kind == "int":
                return Term("lit", token.at, value=-int(self._take().text))
            case "op", "(":
                term = self._expression()
                self._must(")")
                return term
            case "op", "[":
                return self._list(token)
            case "name", text:
                return self._name(token, text)
        raise GuardError(f"a value must stand here, not {token.text or 'the end'!r:.40}", token.at)

    def _list(self, opened: _Token) -> Term:
        items = [self._primary()]
        while self._met(","):
            items.append(self._primary())
        self._must("]")
        if any(item.op != "lit" for item in items):
            raise GuardError("a list holds literals only", opened.at)
        return Term("list", opened.at, tuple(items))

    def _name(self, token: _Token, text: str) -> Term:
        if text in {"true", "false"}:
            return Term("lit", token.at, value=text == "true")
        if text == "size":
            self._must("(")
            term = Term("size", token.at, (self._expression(),))
            self._must(")")
            return term
        if text == "inputs":
            self._must(".")
            return Term("input", token.at, value=self._word())
        if text == "steps":
            return self._step(token)
        near = did_you_mean(text, ["inputs", "steps", "size", "true", "false"])
        raise GuardError(f"nothing is called {text!r:.40}", token.at, near or "known: inputs, steps")

    def _step(self, token: _Token) -> Term:
        if self._met("["):
            quoted = self._take()
            if quoted.kind != "text":
                raise GuardError('a step\'s id in quotes must stand here: steps["my-id"]', quoted.at)
            step = quoted.text[1:-1]
            self._must("]")
        else:
            self._must(".")
            step = self._word()
        if self._next.text == "-":
            raise GuardError("an id with a hyphen stands in quotes", token.at, 'write steps["my-id"].answer')
        self._must(".")
        at, part = self._next.at, self._word()
        if part not in {"outcome", "answer"}:
            near = did_you_mean(part, ["outcome", "answer"]) or "known: outcome, answer"
            raise GuardError(f"a step has no {part!r:.40}", at, near)
        return Term(part, token.at, value=step)

    def _word(self) -> str:
        token = self._take()
        if token.kind != "name":
            raise GuardError(f"a name must stand here, not {token.text or 'the end'!r:.40}", token.at)
        return token.text


def _tokens(source: str) -> Iterator[_Token]:
    at = 0
    while source[at:].strip():
        found = _TOKEN.match(source, at)
        if not found:
            raise GuardError(
                f"{source[at:].strip()[:20]!r} is not understood", at + 1, "see docs/formats/documents.md"
            )
        kind = str(found.lastgroup)
        yield _Token(kind, found[kind], found.start(kind) + 1)
        at = found.end()
    yield _Token("end", "", len(source) + 1)
