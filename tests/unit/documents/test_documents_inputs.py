import pytest

from itmp.documents import DocumentError, InputSpec, interpolate, resolve_inputs

SPEC = {
    "count": InputSpec(type="integer", default=3, minimum=1, maximum=9),
    "name": InputSpec(type="string", pattern="[a-z]+"),
    "fast": InputSpec(type="boolean", default=False),
    "wait": InputSpec(type="duration", default="30s"),
}


def refused(given: dict[str, str], spec: dict[str, InputSpec] | None = None) -> str:
    with pytest.raises(DocumentError) as caught:
        resolve_inputs(SPEC if spec is None else spec, given)
    return str(caught.value)


def test_values_come_out_typed_and_sorted():
    values = resolve_inputs(SPEC, {"name": "abc", "fast": "true", "count": "7"})
    assert list(values.items()) == [("count", 7), ("fast", True), ("name", "abc"), ("wait", "30s")]


def test_every_wrong_value_is_named_at_once():
    text = refused({"count": "12", "fast": "yes", "wait": "5 min", "nmae": "x"})
    for part in (
        "input count: not within 1..9",
        "input fast: not true or false",
        "input wait: not a duration",
        "input name: a value is missing",
        "did you mean 'name'?",
    ):
        assert part in text


@pytest.mark.parametrize(
    "value",
    [
        "{{ lookup('pipe', 'id') }}",
        "{% if x %}",
        "{# x #}",
        "${inputs.other}",
        "\x1b[31m",
        "a\u202eb",
        "x" * 5000,
    ],
)
def test_an_input_is_data(value: str):
    refused({"free": value}, {"free": InputSpec(type="string")})


@pytest.mark.parametrize("text", ["07", "1.0", "1e1", "٣", "", " 1", "9" * 30])
def test_an_integer_has_one_spelling(text: str):
    refused({"count": text}, {"count": InputSpec(type="integer")})


def test_choices_hold():
    spec = {"tier": InputSpec(type="string", choices=("a", "b"))}
    assert resolve_inputs(spec, {"tier": "b"}) == {"tier": "b"}
    assert "not one of: a, b" in refused({"tier": "c"}, spec)


def test_one_reference_keeps_its_type_and_others_become_text():
    inputs = {"n": 5, "b": True, "s": "x"}
    value = {"n": "${inputs.n}", "text": "n=${inputs.n} b=${inputs.b}", "list": ["${inputs.s}"]}
    assert interpolate(value, inputs) == {"n": 5, "text": "n=5 b=true", "list": ["x"]}


def test_shell_and_escaped_dollars_stay():
    inputs = {"n": 5}
    assert (
        interpolate("${HOME} ${A:-x} $${inputs.n} ${host.name} ${inputs.n}", inputs)
        == "${HOME} ${A:-x} ${inputs.n} ${host.name} 5"
    )
