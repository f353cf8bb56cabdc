"""A play of 200 results on this machine, bare and recorded by ARA, each by an Ansible of its own."""

import os
import resource
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HOSTS, TASKS = 10, 20
ARA = "ara[server]"


class Play:
    """10 hosts without a connection, 20 tasks each. With `ara`, ARA is installed into an environment of its own."""

    def __init__(self, folder: Path, *, ara: bool) -> None:
        self.folder, self.results, self.rounds = folder, HOSTS * TASKS, 3
        folder.mkdir()
        tasks = "\n".join(
            f"    - {{name: Task {n}, ansible.builtin.command: 'true', changed_when: false}}"
            for n in range(TASKS)
        )
        (folder / "play.yml").write_text(f"- hosts: all\n  gather_facts: false\n  tasks:\n{tasks}\n")
        hosts = "\n".join(
            f"h{n} ansible_connection=local ansible_python_interpreter={sys.executable}" for n in range(HOSTS)
        )
        (folder / "hosts").write_text(f"{hosts}\n")
        self._bin = Path(sys.executable).parent
        self._plugins = self._install() if ara else ""

    def bare(self) -> float:
        """Seconds of one core that the play takes, its modules' included."""
        return self._run({})

    def recorded(self) -> float:
        """The same of the play under ARA, which writes into a SQLite file in process."""
        own = {"ANSIBLE_CALLBACK_PLUGINS": self._plugins, "ARA_BASE_DIR": str(self.folder / "ara-data")}
        return self._run(own | {"ARA_API_CLIENT": "offline"})

    def _install(self) -> str:
        """Install ARA and the same Ansible; both plays then run by that one."""
        target = self.folder / "venv"
        version: str = subprocess.run(
            [sys.executable, "-c", "import ansible.release as r; print(r.__version__)"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        venv.create(target, with_pip=True)
        python = str(target / "bin/python")
        pip = [python, "-m", "pip", "install", "-q", ARA, f"ansible-core=={version}"]
        if subprocess.run(pip, check=False).returncode:
            shutil.rmtree(target)
            sys.exit("ARA cannot be installed here: run again with --without-ara")
        self._bin = target / "bin"
        where = [python, "-m", "ara.setup.callback_plugins"]
        told: str = subprocess.run(where, capture_output=True, text=True, check=True).stdout
        return told.strip()

    def _run(self, own: dict[str, str]) -> float:
        environ = {
            **os.environ,
            "ANSIBLE_FORKS": str(HOSTS),
            "ANSIBLE_HOME": str(self.folder / "home"),
            **own,
        }
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [self._bin / "ansible-playbook", "-i", "hosts", "play.yml"],
            cwd=self.folder,
            env=environ,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
