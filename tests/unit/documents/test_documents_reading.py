import pytest

from itmp.documents import DocumentError, load
from itmp.documents.reading import MAX_BYTES


def problems(data: bytes) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        load("a.yml", data)
    return [str(problem) for problem in caught.value.problems]


def test_plain_values_keep_their_type_and_place():
    root = load("a.yml", b"a: 1\nb: [true, ~, 'yes', -7]\nc: {d: text}\n")
    assert root.plain() == {"a": 1, "b": [True, None, "yes", -7], "c": {"d": "text"}}
    assert root.find(("b", 2)) == (2, 14)
    assert root.find(("c", "d")) == (3, 8)
    assert root.find_key(("c", "d")) == (3, 5)


def test_the_nearest_existing_place_stands_for_a_missing_one():
    assert load("a.yml", b"a:\n  b: 1\n").find(("a", "x", "y")) == (2, 3)


@pytest.mark.parametrize(
    "text",
    [
        "22:00",
        "1:30:00",
        "2026-10-01",
        "10.0.0.1",
        "1.2.3",
        "y",
        "n",
        "=",
        "12abc",
        "-",
        ".",
        "_1",
        "nice",
        "0x",
        "1e",
        "e5",
    ],
)
def test_these_words_are_text(text: str):
    if text == "-":
        text = "-x"
    assert load("a.yml", f"a: {text}\n".encode()).plain() == {"a": text}


@pytest.mark.parametrize("word", ["yes", "No", "ON", "off"])
def test_old_booleans_are_refused_with_the_word_to_write(word: str):
    (problem,) = problems(f"a: {word}\n".encode())
    assert problem.startswith("a.yml:1:4: ")
    assert ("write true" if word in {"yes", "ON"} else "write false") in problem


@pytest.mark.parametrize(
    "number",
    [
        "0644",
        "0o17",
        "0x1F",
        "0b11",
        "1_000",
        "1.5",
        ".5",
        "1e3",
        "1.",
        ".inf",
        "-.INF",
        ".nan",
        "9007199254740992",
        "9" * 400,
        "+1.0E-5",
    ],
)
def test_ambiguous_numbers_are_refused_without_printing_them(number: str):
    (problem,) = problems(f"a: {number}\n".encode())
    assert "quote it" in problem
    assert number not in problem.removeprefix("a.yml:1:4: ")


def test_quoted_they_are_text():
    assert load("a.yml", b"a: ['yes', \"0644\", '1.5', !!str 7]\n").plain() == {
        "a": ["yes", "0644", "1.5", "7"]
    }


def test_on_and_off_are_fine_as_keys():
    assert load("a.yml", b"{on: 1, off: 2}").plain() == {"on": 1, "off": 2}


@pytest.mark.parametrize(
    ("data", "where", "says"),
    [
        (b"a: 1\nb: 2\na: 3\n", "3:1", "occurs twice"),
        (b"5: x\n", "1:1", "not text"),
        (b"true: x\n", "1:1", "not text"),
        (b"? [a]\n: x\n", "1:3", "not text"),
        (b"a: &x {b: 1}\n<<: *x\n", "2:1", "merge keys"),
        (b"a: !!python/object:os.system x\n", "1:4", "tag"),
        (b"a: !vault x\n", "1:4", "tag"),
        (b"a: !!int '5'\n", "1:4", "tag"),
        (b"a: !!binary aGk=\n", "1:4", "tag"),
        (b"a: *missing\n", "1:4", "alias"),
        (b"a: &a [*a]\n", "1:8", "alias"),
        (b"a: 1\n---\nb: 2\n", "2:1", "more than one"),
        (b"%YAML 1.1\n---\na: 1\n", "1:1", "directive"),
        (b"", "1:1", "empty"),
        (b"# only a comment\n", "1:1", "empty"),
        (b"a: [1, 2\n", "2:1", "not YAML"),
        (b"a: \x1b[31m\n", "1:4", "U+001B"),
        (b"a: x\n" + "b: \u202eevil\n".encode(), "2:4", "U+202E"),
        (b'a: "\\x1b[31m"\n', "1:4", "U+001B"),
        (b'a: "\\u202e"\n', "1:4", "U+202E"),
        (b"a: \xff\n", "1:1", "UTF-8"),
        (b"a: " + b"[" * 60 + b"]" * 60, "1:43", "nested deeper"),
        (b"a" * (MAX_BYTES + 1), "a.yml: ", "larger than"),
    ],
)
def test_hostile_text_is_refused_at_its_place(data: bytes, where: str, says: str):
    first = problems(data)[0]
    assert where in first
    assert says in first


def test_an_alias_bomb_is_stopped_by_count():
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
    )
    assert "more than 50000 values" in problems(bomb.encode())[-1]


def test_a_modest_alias_is_expanded():
    assert load("a.yml", b"a: &x [1]\nb: *x\n").plain() == {"a": [1], "b": [1]}


def test_every_problem_is_reported_at_once():
    assert len(problems(b"a: yes\nb: 0644\na: 2\nc: !x y\n")) == 4


def test_windows_line_ends_are_read():
    assert load("a.yml", b"a: 1\r\nb: 2\r\n").plain() == {"a": 1, "b": 2}
