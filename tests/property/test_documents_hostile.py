"""Whatever bytes come in, only our own error comes out."""

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from itmp.documents import interpolate, load
from itmp.documents.text import hidden, visible
from itmp.errors import Error
from itmp.testing.runbooks import HEAD, compile_runbook, read_runbook

SCALAR = st.sampled_from(
    [
        "yes",
        "0644",
        "~",
        "1.5",
        "a",
        "touch",
        "web",
        "25%",
        "30s",
        "${inputs.n}",
        "${host.address}",
        "${",
        "x:",
        "*a",
        "&a b",
        "!!int x",
        "<<",
        '"\\x1b"',
        "2026-10-01",
        "9" * 30,
        "|\n  a",
        "{secret: env:A}",
        "env:A",
        "undo",
        "drain",
        "http://x",
        "[]",
        "{}",
        "-1",
        "true",
    ]
)
KEY = st.sampled_from(
    [
        "steps",
        "id",
        "playbook",
        "tasks",
        "check",
        "rolling",
        "hosts",
        "batches",
        "max_failures",
        "vars",
        "delegates",
        "probe",
        "within",
        "http",
        "tcp",
        "command",
        "argv",
        "url",
        "port",
        "always",
        "on_failure",
        "undo",
        "inputs",
        "type",
        "default",
        "moved",
        "gone",
        "new",
        "reviewed",
        "on",
        "every",
        "public_vars",
        "when",
        "ask",
        "title",
        "risk",
        "secret",
        "password",
    ]
)
FLOW = st.recursive(
    SCALAR,
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: "[" + ", ".join(items) + "]")
        | st.lists(st.tuples(KEY, inner), max_size=4).map(
            lambda pairs: "{" + ", ".join(f"{k}: {v}" for k, v in pairs) + "}"
        )
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_any_bytes(data: bytes):
    with contextlib.suppress(Error):
        load("x.yml", data)
    with contextlib.suppress(Error):
        read_runbook(data)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(KEY, FLOW), max_size=4))
def test_any_document_of_our_own_words(pairs: list[tuple[str, str]]):
    text = HEAD + "".join(f"{key}: {value}\n" for key, value in pairs)
    with contextlib.suppress(Error):
        compile_runbook(text.encode())


@settings(max_examples=200, deadline=None)
@given(st.lists(FLOW, min_size=1, max_size=3))
def test_any_steps(steps: list[str]):
    text = (
        HEAD
        + "inputs: {n: {type: integer, default: 2}}\nsteps:\n"
        + "".join(f"  - {step}\n" for step in steps)
    )
    with contextlib.suppress(Error):
        compile_runbook(text.encode())


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_visible_text_hides_nothing_and_stays_on_its_line(text: str):
    shown = visible(text)
    assert hidden(shown) is None
    assert not set(shown) & set("\n\t\r")


@settings(max_examples=100, deadline=None)
@given(st.text(), st.dictionaries(st.sampled_from("abc"), st.integers() | st.text() | st.booleans()))
def test_interpolation_never_fails_and_is_done_once(text: str, inputs: dict[str, object]):
    assert interpolate(text, {}) == text or "$${" in text
    interpolate(f"{text}${{inputs.a}}", inputs)


GOOD = (
    HEAD
    + """\
inputs: {n: {type: integer, default: 2}}
public_vars: [token]
steps:
  - rolling: {hosts: web, batches: ["${inputs.n}", 25%], max_failures: 1}
    steps:
      - {id: drain, playbook: drain, vars: {n: "${inputs.n}", t: {secret: "env:T"}}, delegates: [lb1]}
      - id: inline
        tasks: [{name: Say, ansible.builtin.command: {argv: [echo]}}]
      - {id: ask, check: {http: {url: "http://${host.address}/"}}, within: 5s}
undo:
  - {playbook: touch}
"""
)
TOKEN = (
    SCALAR
    | KEY
    | st.sampled_from(["\n", ": ", "- ", "{", "}", "[", "]", "'", '"', "|", "#", "  ", "\x00", "\u202e"])
)
EDIT = st.tuples(st.integers(0, len(GOOD)), st.integers(0, 12), TOKEN | st.just(""))


@settings(max_examples=400, deadline=None)
@given(st.lists(EDIT, min_size=1, max_size=3))
def test_any_edit_of_a_good_document(edits: list[tuple[int, int, str]]):
    text = GOOD
    for at, cut, token in edits:
        text = text[:at] + token + text[at + cut :]
    with contextlib.suppress(Error):
        compile_runbook(text.encode())


def test_the_good_document_is_good():
    compile_runbook(GOOD.encode())
