import shutil
import subprocess

import pytest

from itmp.adapters.known_hosts import PinnedKeys

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
PRINT = "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"


def of(text: str, address: str = "web1", port: int = 22) -> int:
    return len(PinnedKeys(data=text.encode()).of(address, port))


@pytest.mark.parametrize(
    ("names", "address", "port", "found"),
    [
        ("web1", "web1", 22, 1),
        ("WEB1", "web1", 22, 1),
        ("web1", "web1", 2222, 0),
        ("[web1]:2222", "web1", 2222, 1),
        ("[web1]:2222", "web1", 22, 0),
        ("db,web1", "web1", 22, 1),
        ("web?", "web1", 22, 1),
        ("*,!web1", "web1", 22, 0),
        ("@revoked web1", "web1", 22, 1),
        ("@cert-authority *.example.com", "a.example.com", 22, 1),
        ("# web1", "web1", 22, 0),
        ("|1|broken", "web1", 22, 0),
        ("web[1]", "web1", 22, 0),
    ],
)
def test_a_line_matches_as_openssh_does(names, address, port, found):
    assert of(f"{names} {KEY}\n", address, port) == found


def test_hashed_names_match_what_ssh_keygen_hashed(tmp_path):
    path = tmp_path / "known_hosts"
    path.write_text(f"web1,[web2]:2222 {KEY}\n")
    subprocess.run([shutil.which("ssh-keygen"), "-H", "-f", path], check=True, capture_output=True)
    text = path.read_text()
    assert "web1" not in text
    assert [of(text), of(text, "web2", 2222), of(text, "web2")] == [1, 1, 0]


def test_fingerprints_and_cutting_down():
    known = PinnedKeys(data=f"web1 {KEY}\nweb2 {KEY}\n@revoked web1 {KEY}\nweb1 broken\n\n".encode())
    assert known.fingerprints("web1", 22) == (PRINT,)
    assert known.fingerprints("db1", 22) == ()
    assert known.only([("web2", 22)]) == f"web2 {KEY}\n".encode()


def test_a_missing_file_pins_nothing(tmp_path):
    assert PinnedKeys(tmp_path / "none").fingerprints("web1", 22) == ()
