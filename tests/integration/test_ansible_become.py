"""Becoming another user with a password that comes by secret reference: a sudo that asks, on a real host."""

import sys

import pytest

pytestmark = pytest.mark.fleet

PASSWORD = "pässword-of-root:7c1f"
# Asks as sudo does with -S: the prompt goes to standard error, one line is read; then it runs the command.
SUDO = f"""#!{sys.executable}
import os, sys
words = sys.argv[1:]
sys.stderr.write(words[words.index("-p") + 1])
sys.stderr.flush()
line = b""
while not line.endswith(b"\\n"):
    line += os.read(0, 1) or b"\\n"
if line.decode().strip() != {PASSWORD!r}:
    sys.exit("Sorry, try again.")
os.environ["BECAME"] = words[words.index("-u") + 1]
os.execv("/bin/sh", words[words.index("/bin/sh"):])
"""
PLAY = """
- hosts: web1
  gather_facts: false
  become: true
  become_user: nobody
  vars: {{ansible_become_exe: {sudo}}}
  tasks:
    - name: Who
      ansible.builtin.command: printenv BECAME
    - name: Aloud
      ansible.builtin.debug: {{msg: "{{{{ ansible_become_password }}}}"}}
"""


def became(world, password: str, **options):
    sudo = world.write("sudo", SUDO)
    sudo.chmod(0o755)
    world.write("secret", password)
    return world.play(
        PLAY.format(sudo=sudo), secrets={"ansible_become_password": f"file:{world.root}/secret"}, **options
    )


def test_a_password_by_reference_becomes_root_and_is_never_written(world):
    recorder = became(world, PASSWORD)
    assert recorder.of("Who").outcome == "changed"
    (world.root / "secret").unlink()
    (world.root / "sudo").unlink()
    written = b"".join(path.read_bytes() for path in world.root.rglob("*") if path.is_file())
    assert PASSWORD.encode() not in written
    assert PASSWORD not in str(recorder.results)
    assert recorder.of("Aloud").message == "********"


def test_a_wrong_password_fails_and_does_not_hang(world):
    recorder = became(world, "wrong-password")
    assert recorder.outcomes("Who") == {"web1": "failed"} or recorder.outcomes("Who") == {
        "web1": "unreachable"
    }
