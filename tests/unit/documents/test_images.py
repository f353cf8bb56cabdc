"""A container image is named by digest alone."""

import pytest

from itmp.documents import DocumentError, parse
from itmp.documents.scalars import IMAGE
from itmp.runbook import Runbook

DIGEST = f"sha256:{'0123456789abcdef' * 4}"
DOCUMENT = """\
itmp: runbook/v1
name: r
title: R
owner: o
environment: lab
risk: low
execution_environment: {{image: "{image}"}}
steps:
  - {{id: a, playbook: p}}
"""


def image(text: str) -> str:
    document = parse("r.yml", DOCUMENT.format(image=text).encode(), {"runbook/v1": Runbook})
    assert isinstance(document, Runbook)
    assert document.execution_environment is not None
    return document.execution_environment.image


@pytest.mark.parametrize(
    "name",
    ["ee", "team/ee", "quay.io/ansible/creator-ee", "localhost:5000/a/b_c.d", "registry.example.org/x"],
)
def test_a_name_with_a_digest_is_an_image(name: str) -> None:
    assert image(f"{name}@{DIGEST}") == f"{name}@{DIGEST}"
    assert IMAGE.fullmatch(f"{name}@{DIGEST}")["name"] == name


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "quay.io/ansible/ee:v1",
            "write image: quay.io/ansible/ee@sha256:… with what this prints: podman image inspect",
        ),
        ("localhost:5000/ee:latest", "write image: localhost:5000/ee@sha256:…"),
        (f"ee:v1@{DIGEST}", f"write image: ee@{DIGEST}"),
    ],
)
def test_a_tag_is_refused_with_the_line_to_write(text: str, line: str) -> None:
    with pytest.raises(DocumentError) as caught:
        image(text)
    (problem,) = caught.value.problems
    assert problem.line == 7
    assert problem.message.startswith("a tag can move: ")
    assert line in problem.message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ee",
        DIGEST,
        f"EE@{DIGEST}",
        f"ee@{DIGEST}0",
        f"ee@{DIGEST[:-1]}",
        f"--privileged@{DIGEST}",
        f"a b@{DIGEST}",
        f"../x@{DIGEST}",
        f"x//y@{DIGEST}",
    ],
)
def test_anything_else_is_no_image(text: str) -> None:
    with pytest.raises(DocumentError, match=r"by digest|a tag can move"):
        image(text)
