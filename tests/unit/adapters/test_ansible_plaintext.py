import pytest

from itmp.adapters.ansible._plaintext import LARGEST, MOST, secrets_in


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("sesame", {"sesame"}),
        ("sesame\n", {"sesame"}),
        ("first line\nsecond\n", {"first line", "second"}),
        ("a: sesame\nb: [nested, {c: deep}]\n", {"sesame", "nested", "deep"}),
        ('{"a": "with \\"quotes\\""}', {'with "quotes"'}),
        ("a: |\n  line one\n  line two\n", {"line one", "line two", "line one\nline two"}),
        ("port: 0o20000\n", {"0o20000"}),
        ("n: 1_000_000\n", {"1_000_000", "1000000"}),
        ("when: 2026-11-22\n", {"2026-11-22"}),
        ("url: 'db://{{ user | default(\"guest\") }}:hunter2@{{ host }}'\n", {"db://", "guest", ":hunter2@"}),
        ("a: &x [shared]\nb: *x\n", {"shared"}),
        ("--- {a: first}\n--- {a: second}\n", {"first", "second"}),
        ("a: !unsafe 'x{{ y'\n", {"x{{ y"}),
    ],
)
def test_values_lines_and_literals_are_found(text, found):
    assert found <= set(secrets_in(text.encode()))


def test_names_truth_values_and_short_values_are_not():
    text = "long_name: x\nflag: true\nquoted: 'False'\nnothing: null\nother: abc\nsealed: !vault ciphertext\n"
    assert secrets_in(text.encode()) == [text.strip()]


@pytest.mark.parametrize("data", [b"\xff\xfe\x00binary", b"a: [", b"a: b: c", b"", b"&x [*x]", b"{{ x }}"])
def test_anything_can_have_been_encrypted(data):
    assert secrets_in(data) is not None


def test_too_much_is_said_to_be_too_much():
    assert secrets_in(b"x" * (LARGEST + 1)) is None
    assert secrets_in("".join(f"line {n}\n" for n in range(MOST + 1)).encode()) is None
