"""The command line starts fast: help loads none of the heavy packages."""

import subprocess
import sys

import pytest

HEAVY = {
    "ansible",
    "ansible_runner",
    "pulumi",
    "boto3",
    "botocore",
    "sqlalchemy",
    "paramiko",
    "grpc",
    "cryptography",
}
# Typer itself asks pydantic about a command's options; the program's own help must do without.


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom itmp.cli.main import main\n"
        f"sys.argv = ['itmp', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('\\nLOADED', *sorted({name.split('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.rsplit("LOADED", 1)[1].split())
    assert not HEAVY & loaded
    if arguments != ["run", "--help"]:
        assert "pydantic" not in loaded
