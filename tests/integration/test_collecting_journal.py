"""What the collecting playbook's own script gathers from a real journal: journald in namespaces of its own."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from itmp.inquiry import gaps, read_traces

JOURNALD = Path("/lib/systemd/systemd-journald")
PLAYBOOK = Path(__file__).parents[2] / "playbooks/collect_host_records.yml"
HOST = """\
mount -t tmpfs tmpfs /var/log && mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal
echo 0123456789abcdef0123456789abcdef > "$KEPT/id" && mount --bind "$KEPT/id" /etc/machine-id
systemd-journald > /dev/null 2>&1 & journald=$!
until [ -S /run/systemd/journal/dev-log ]; do sleep 0.05; done
say() { logger --socket /run/systemd/journal/dev-log --tag "$1" --priority "${3:-user.notice}" "$2"; }
say sshd 'Accepted publickey for root from 10.0.0.1 port 5 ssh2: ED25519 SHA256:abc'
say sudo 'bob : TTY=pts/0 ; USER=root ; COMMAND=/bin/sh'
say su '(to root) bob on pts/0'
say login 'pam_unix(login:session): session opened for user erin(uid=1000) by LOGIN(uid=0)' authpriv.info
say CRON 'pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)' authpriv.info
say 'evil --file=/etc/shadow' 'Accepted publickey for eve from 10.0.0.1 port 5 ssh2'
say ansible-ansible.builtin.user 'Invoked with password=hunter2'
until journalctl --quiet --lines=1 | grep -q 'Invoked with'; do sleep 0.05; done
sh -c "$SCRIPT"
kill "$journald"; wait "$journald"
"""

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.xdist_group("namespaces"),
    pytest.mark.skipif(os.getuid() != 0 or not JOURNALD.exists(), reason="needs root and journald"),
]


def test_a_host_without_syslog_tells_its_logins_and_boots_by_its_journal(tmp_path: Path) -> None:
    [play] = yaml.safe_load(PLAYBOOK.read_text())
    [text] = [
        task["ansible.builtin.shell"]["cmd"] for task in play["tasks"] if "ansible.builtin.shell" in task
    ]
    given = {
        "KEPT": str(tmp_path),
        "ROOT": "",
        "MOST": "1000000",
        "DAYS": "40",
        "LC_ALL": "C",
        "SCRIPT": text,
    }
    given["PATH"] = f"{os.environ['PATH']}:{JOURNALD.parent}"
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    subprocess.run([*namespaces, "bash", "-c", HOST], env=given, check=True, capture_output=True, timeout=60)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert b"hunter2" not in files["journal"]
    mine = read_traces("web1", files)
    assert sorted((trace.kind, trace.what.split(" : ")[-1]) for trace in mine) == [
        ("ansible", "ansible.builtin.user"),
        ("boot", "started"),
        ("command", "TTY=pts/0 ; USER=root ; COMMAND=/bin/sh"),
        ("command", "su to root on pts/0"),
        ("login", "root from 10.0.0.1 by publickey ED25519 SHA256:abc"),
        ("session", "erin by login for LOGIN"),
    ]
    assert b"cron" not in files["journal"]
    assert not {gap.kind for gap in gaps("web1", files, mine)} & {"logins", "boots"}
