"""Every action that apt announces is understood or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itmp.errors import InvalidInputError
from itmp.patching.simulation import Installation, parse_simulation

OUTPUT = """\
NOTE: This is only a simulation!
      apt-get needs root privileges for real execution.
Reading package lists...
Building dependency tree...
Reading state information...
Calculating upgrade...
The following packages will be REMOVED:
  old-helper
The following NEW packages will be installed:
  linux-image-6.1.0-40-amd64
The following packages have been kept back:
  docker-ce nginx
  postgresql-15
The following packages will be upgraded:
  base-files libc6 libc6:i386
3 upgraded, 1 newly installed, 1 to remove and 3 not upgraded.
Remv old-helper [1.2-3] [libc6:amd64 ]
Inst base-files [12.4+deb12u10] (12.4+deb12u12 Debian:12.12/oldstable [amd64])
Conf base-files (12.4+deb12u12 Debian:12.12/oldstable [amd64])
Inst libc6:i386 [2.36-9+deb12u9] (2.36-9+deb12u13 Debian:12.12/oldstable, Debian-Security:12/oldstable-security [i386]) [libc6:amd64 on libc6:i386] []
Inst libc6 [2.36-9+deb12u9] (2.36-9+deb12u13 Debian:12.12/oldstable [amd64]) []
Inst linux-image-6.1.0-40-amd64 (6.1.153-1 Debian:12.12/oldstable [amd64])
Conf libc6 (2.36-9+deb12u13 Debian:12.12/oldstable [amd64])
"""


def test_real_output_is_read_whole() -> None:
    found = parse_simulation(OUTPUT, "web1")
    assert [(one.name, one.old, one.new, one.architecture) for one in found.installations] == [
        ("base-files", "12.4+deb12u10", "12.4+deb12u12", "amd64"),
        ("libc6", "2.36-9+deb12u9", "2.36-9+deb12u13", "amd64"),
        ("libc6:i386", "2.36-9+deb12u9", "2.36-9+deb12u13", "i386"),
        ("linux-image-6.1.0-40-amd64", "", "6.1.153-1", "amd64"),
    ]
    assert found.removals == (("old-helper", "1.2-3"),)
    assert found.kept == ("docker-ce", "nginx", "postgresql-15")


def test_the_origin_keeps_every_source() -> None:
    by_name = {one.name: one for one in parse_simulation(OUTPUT, "web1").installations}
    assert by_name["libc6:i386"].origin == "Debian:12.12/oldstable, Debian-Security:12/oldstable-security"


def test_a_package_from_a_local_file_has_no_origin() -> None:
    found = parse_simulation("Inst tool (1.0 [all])\n", "web1").installations
    assert found == (Installation(name="tool", old="", new="1.0", origin="", architecture="all"),)


@pytest.mark.parametrize(
    "line",
    [
        "Inst",
        "Inst ",
        "Inst libc6",
        "Inst libc6 [1.0]",
        "Inst libc6 [1.0] (2.0 Debian [amd64]) and more",
        "Inst -o [1.0] (2.0 Debian [amd64])",
        "Inst lib;c6 [1.0] (2.0 Debian [amd64])",
        "Inst libc6 [$(id)] (2.0 Debian [amd64])",
        "Inst libc6 [1.0] (2.0{{ Debian [amd64])",
        "Remv UPPER [1.0]",
        "Remv old [1.0] surprise",
    ],
)
def test_an_action_that_is_not_understood_is_refused_with_the_host(line: str) -> None:
    if line == "Inst":
        assert parse_simulation(line, "web1").installations == ()
        return
    with pytest.raises(InvalidInputError, match="web1"):
        parse_simulation(line + "\n", "web1")


@given(st.text(max_size=200))
def test_hostile_text_is_an_error_or_nothing(text: str) -> None:
    try:
        found = parse_simulation(text, "h")
    except InvalidInputError:
        return
    assert all(one.name and one.new for one in found.installations)
