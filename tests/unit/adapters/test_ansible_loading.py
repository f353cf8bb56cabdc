"""What the parser's loader reads, it reads for every caller in Ansible."""

from pathlib import Path
from typing import Any

import pytest

from itmp.adapters.ansible._loading import Loader


@pytest.mark.parametrize("place", ["roles/x/vars", "roles/x/defaults", "vars"])
@pytest.mark.parametrize(
    ("given", "named"),
    [
        ((), {"unsafe": True, "cache": "vaulted", "trusted_as_template": True}),  # `vars_files`
        ((), {"trusted_as_template": True}),  # a role's own
        (("all", True), {}),
        (("none", False), {"json_only": False}),
        (("none", False, False), {}),
    ],
)
def test_a_file_of_a_role_is_read_however_its_reader_asks_for_it(
    tmp_path: Path, place: str, given: tuple[Any, ...], named: dict[str, Any]
) -> None:
    file = tmp_path / place / "main.yml"
    file.parent.mkdir(parents=True)
    file.write_text("port: 80\n")
    assert Loader().load_from_file(str(file), *given, **named) == {"port": 80}


@pytest.mark.parametrize(("place", "copied"), [("roles/x/defaults", False), ("group_vars", True)])
def test_only_variables_of_roles_go_uncopied(tmp_path: Path, place: str, copied: bool) -> None:  # noqa: FBT001 -- a parameter of the test
    file = tmp_path / place / "main.yml"
    file.parent.mkdir(parents=True)
    file.write_text("ports: [80]\n")
    loader = Loader()
    first = loader.load_from_file(str(file))
    assert (loader.load_from_file(str(file)) is not first) is copied
