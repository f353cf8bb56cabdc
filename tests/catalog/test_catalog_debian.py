"""The catalog's runbooks for a whole machine, on Debian hosts with accounts, files, a kernel's network and sshd of their own."""

import base64
import os
import subprocess
from collections.abc import Iterator

import pytest
from places import wait_for
from yard import OPERATE, Yard

from itmp.lab import namespaces

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.xdist_group("namespaces"),
    pytest.mark.skipif(os.getuid() != 0, reason="needs root"),
]
whole = pytest.mark.catalog
"""Run by `make test-catalog` alone; what lacks this mark is the sample of the ordinary suite."""

HOSTS = ("a1", "a2")
GROUPS = ("accounts", "cron", "disks", "kernel", "logging")
KEEPALIVE = "net.ipv4.tcp_keepalive_time"
SSHD = "/etc/ssh/sshd_config.d/lab.conf"
VARIABLES = {
    "offboard_protected": ["keeper"],
    "kernel_parameters": {KEEPALIVE: {"minimum": 60, "maximum": 7200}},
    "disk_clean_allowed": ["/var/log/app"],
    "disk_clean_archive": "/run/archive",  # a disk of its own: the hosts' /run is a tmpfs
    "log_level_file": SSHD,
    "log_level_key": "LogLevel",
    "log_level_validate": "/usr/sbin/sshd -t -f %s",
    "log_level_reload_argv": ["sh", "-c", "kill -HUP $(cat /run/sshd.pid) && sleep 1"],
    "log_level_shown_argv": ["/usr/sbin/sshd", "-T"],
    "service_account": "reports",
    "service_key": "/root/reports/id_ed25519",
    "service_known_hosts": "/root/reports/known_hosts",
    "service_authorized_keys": "/home/reports/.ssh/authorized_keys",
}


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    root = tmp_path_factory.mktemp("catalog")
    groups = dict.fromkeys(GROUPS, HOSTS) | {"service_client": ["a1"], "service_servers": ["a2"]}
    with namespaces.up(root / "fleet", len(HOSTS), names=HOSTS, groups=groups) as fleet:
        yield Yard.found(root, fleet, VARIABLES)


def both(yard: Yard, script: str) -> list[str]:
    return [yard.inside(host, script) for host in HOSTS]


PERSON = """
useradd --create-home --shell /bin/bash mallory && echo 'mallory:a good long one' | chpasswd
install -d -m 700 -o mallory -g mallory /home/mallory/.ssh /etc/sudoers.d
echo 'ssh-ed25519 AAAA mallory' >/home/mallory/.ssh/authorized_keys && chown mallory: /home/mallory/.ssh/authorized_keys
echo 'mallory ALL=(ALL) ALL' >/etc/sudoers.d/mallory && chmod 440 /etc/sudoers.d/mallory
setsid setpriv --reuid mallory --regid mallory --clear-groups sleep 1000 </dev/null >/dev/null 2>&1 &
"""
RIGHTS = """
getent shadow mallory
for file in /home/mallory/.ssh/authorized_keys /etc/sudoers.d/mallory; do
  stat -c '%n %a %U %Y' $file 2>/dev/null && cat $file || true
done
ls /var/backups/offboarded /var/lib/runbooks 2>/dev/null || true
"""


@pytest.mark.catalog
def test_user_off_boarding_closes_the_account_and_opens_it_again(yard: Yard) -> None:
    document = "runbooks/operate/user-off-boarding.yml"
    both(yard, PERSON)
    before = both(yard, RIGHTS)
    change = yard.ready(document, "user=mallory")
    assert yard.run(change) == dict.fromkeys(HOSTS, "changed")
    for host in HOSTS:
        shadow = yard.inside(host, "getent shadow mallory").split(":")
        assert (shadow[1][0], shadow[7]) == ("!", "1")
        left = "pgrep -u mallory || true; ls /home/mallory/.ssh; ls /etc/sudoers.d | grep mallory || true"
        assert yard.inside(host, left) == ""
        listed = yard.inside(host, "tar tzf /var/backups/offboarded/mallory.tar.gz; ls -d /home/mallory")
        assert "mallory/.bashrc" in listed
        assert yard.inside(host, "stat -c %a /var/backups/offboarded/mallory.tar.gz") == "600\n"
    assert yard.run(yard.ready(document, "user=mallory")) == dict.fromkeys(HOSTS, "ok")
    yard.undo(change)
    assert both(yard, RIGHTS) == before


@whole
def test_user_off_boarding_refuses_accounts_that_are_no_persons(yard: Yard) -> None:
    for user, why in (("keeper", "protected"), ("daemon", "system"), ("root", "system")):
        refused = yard.ready(f"{OPERATE}user-off-boarding.yml", f"user={user}")
        yard.run(refused, expect=13)
        assert why in yard.failures(refused)


CRON = """
printf '0 3 * * * root /usr/bin/nightly\\n' >/etc/cron.d/nightly && touch -d @1700000000 /etc/cron.d/nightly
"""


@pytest.mark.catalog
def test_cron_pause_pauses_and_resumes(yard: Yard) -> None:
    document = "runbooks/operate/cron-pause.yml"
    both(yard, f"mkdir -p /etc/cron.d; {CRON}")
    state = "cd /etc/cron.d && stat -c '%n %a %Y' night*"
    yard.there_and_back(
        document, "entry=nightly", "wait_seconds=10", "process=sleep 7777",
        state=lambda: both(yard, state), done=["nightly.paused 644 1700000000\n"] * 2,
    )  # fmt: skip
    both(yard, "rm /etc/cron.d/nightly")


BEATS = {name: f"* * * * * root echo >>/run/{name}\\n" for name in ("nightly", "other")}
"""Two entries that cron runs each minute: only the first is paused."""


def beats(yard: Yard, host: str) -> dict[str, int]:
    """How often cron has run each entry on a host."""
    counted = yard.inside(
        host, "cd /run && for name in nightly other; do cat $name 2>/dev/null | wc -l; done"
    )
    return dict(zip(BEATS, map(int, counted.split()), strict=True))


@whole
def test_debians_cron_itself_passes_a_paused_entry_over(yard: Yard) -> None:
    """The playbook trusts a rule of cron's: a file whose name holds a dot is no entry. Its own daemon is asked."""
    files = ("usr/sbin/cron", "etc/pam.d/cron", "etc/default/cron")
    packed = subprocess.run(["tar", "-cz", "-C", "/", *files], capture_output=True, check=True).stdout
    written = "; ".join(f"printf '{line}' >/etc/cron.d/{name}" for name, line in BEATS.items())
    yard.inside("a1", f"echo {base64.b64encode(packed).decode()} | base64 -d | tar -xz -C /")
    yard.inside("a1", f"mkdir -p /etc/cron.d /var/spool/cron/crontabs; {written}; cron")
    yard.inside("a2", f"mkdir -p /etc/cron.d; {CRON}")
    wait_for(lambda: min(beats(yard, "a1").values()) > 0, "cron to run both entries")
    change = yard.ready(f"{OPERATE}cron-pause.yml", "entry=nightly", "wait_seconds=2")
    assert yard.run(change) == dict.fromkeys(HOSTS, "changed")
    paused = beats(yard, "a1")
    wait_for(
        lambda: beats(yard, "a1")["other"] >= paused["other"] + 2, "cron to run the other entry twice more"
    )
    assert beats(yard, "a1")["nightly"] == paused["nightly"], "and never the paused one"
    yard.undo(change)
    wait_for(lambda: beats(yard, "a1")["nightly"] > paused["nightly"], "cron to run it again")
    yard.inside(
        "a1", "kill $(cat /run/crond.pid); rm /etc/cron.d/nightly /etc/cron.d/other /run/nightly /run/other"
    )
    yard.inside("a2", "rm /etc/cron.d/nightly")


@whole
def test_cron_pause_waits_for_a_run_in_flight(yard: Yard) -> None:
    both(yard, f"mkdir -p /etc/cron.d; {CRON}")
    yard.inside("a1", "setsid sleep 7777 </dev/null >/dev/null 2>&1 &")
    change = yard.ready(f"{OPERATE}cron-pause.yml", "entry=nightly", "wait_seconds=2", "process=sleep 7777")
    assert yard.run(change, expect=13) == {"a1": "failed", "a2": "changed"}
    yard.inside("a1", "pkill -KILL -xf 'sleep 7777'")
    yard.undo(change)
    assert both(yard, "ls /etc/cron.d/night*") == ["/etc/cron.d/nightly\n"] * 2
    both(yard, "rm /etc/cron.d/nightly")
    refused = yard.ready(f"{OPERATE}cron-pause.yml", "entry=nightly")
    assert yard.run(refused, expect=13) == dict.fromkeys(HOSTS, "failed")
    assert "no such entry" in yard.failures(refused)


@whole
def test_kernel_parameter_is_set_now_and_at_boot_and_put_back(yard: Yard) -> None:
    document = "runbooks/operate/kernel-parameter.yml"
    state = f"sysctl -n {KEEPALIVE}; cat /etc/sysctl.d/80-{KEEPALIVE}.conf 2>/dev/null || true; ls /var/lib/runbooks 2>/dev/null || true"
    done = (
        f"300\n# Written by the playbook kernel_parameter\n{KEEPALIVE} = 300\nkernel-parameter-{KEEPALIVE}\n"
    )
    words = (f"parameter={KEEPALIVE}", "value=300")
    yard.there_and_back(document, *words, state=lambda: both(yard, state), done=[done] * 2)
    for wrong in ((words[0], "value=59"), ("parameter=kernel.panic", "value=1")):
        refused = yard.ready(document, *wrong)
        assert yard.run(refused, expect=13) == {"a1": "failed", "a2": "not_reached"}
        assert "is not allowed here" in yard.failures(refused)
    yard.inside("a1", f"echo '{KEEPALIVE}=900' >/etc/sysctl.d/99-other.conf")
    refused = yard.ready(document, *words)
    yard.run(refused, expect=13)
    assert "another file sets it later" in yard.failures(refused)
    yard.inside("a1", "rm /etc/sysctl.d/99-other.conf")


@whole
def test_log_level_reaches_the_service_and_goes_back(yard: Yard) -> None:
    document = "runbooks/operate/log-level.yml"
    state = f"sshd -T | grep -i loglevel; stat -c '%a %s' {SSHD}; sha256sum {SSHD}"
    before = both(yard, state)
    first = yard.ready(document, "level=DEBUG")
    assert yard.run(first) == dict.fromkeys(HOSTS, "changed")
    assert both(yard, "/usr/sbin/sshd -T | grep -i loglevel") == ["loglevel DEBUG\n"] * 2
    for host in HOSTS:  # one more connection, for the service to tell of
        subprocess.run(yard.fleet.ssh(host, "true"), check=True, capture_output=True, timeout=60)
    assert all("debug1: Forked child" in log for log in both(yard, "cat /var/log/sshd.log"))
    assert yard.run(yard.ready(document, "level=DEBUG")) == dict.fromkeys(HOSTS, "ok")
    yard.undo(first)
    assert both(yard, state) == before


OLD_LOGS = """
mkdir -p /var/log/app/deep /run/archive && cd /var/log/app
for file in a.log.1 deep/b.log.2 open.log.3; do
  head -c 200000 /dev/zero | tr '\\0' x >$file && touch -d '40 days ago' $file && chmod 640 $file; done
echo new >c.log.1 && echo kept >d.txt && touch -d '40 days ago' d.txt
setsid sh -c 'exec 3</var/log/app/open.log.3; exec sleep 1000' </dev/null >/dev/null 2>&1 &
sleep 0.5
"""


@whole
def test_disk_clean_up_archives_elsewhere_and_puts_back(yard: Yard) -> None:
    document = "runbooks/operate/disk-clean-up.yml"
    both(yard, OLD_LOGS)
    state = "find /var/log/app -type f -printf '%P %s %m %T@\\n' | sort; ls /run/archive"
    listed = both(yard, state)
    done = [
        "".join(line for line in host.splitlines(keepends=True) if not line.startswith(("a.log", "deep")))
        + "t1.tar.gz\n"
        for host in listed
    ]
    words = ("path=/var/log/app", "label=t1")
    yard.there_and_back(document, *words, state=lambda: both(yard, state), done=done)
    both(yard, "ln -s /etc /var/log/app/link")
    for path in ("/etc", "/var/log", "/var/log/app/link", "/var/log/app/../../../etc"):
        refused = yard.ready(document, f"path={path}", "label=t2")
        yard.run(refused, expect=13)
        assert "is not below a folder of disk_clean_allowed" in yard.failures(refused)


CLIENT = """
mkdir -p -m 700 /root/reports && cd /root/reports && ssh-keygen -q -t ed25519 -N '' -C reports -f id_ed25519
"""
SERVER = """
useradd --create-home --password '*' reports && install -d -m 700 -o reports /home/reports/.ssh && cd /home/reports/.ssh
printf 'ssh-ed25519 AAAAother other\\nno-pty,no-port-forwarding %s\\n' "$KEY" >authorized_keys && chown reports: authorized_keys
"""


@whole
def test_service_key_rotation_leaves_one_key_and_goes_back(yard: Yard) -> None:
    document = "runbooks/operate/service-key-rotation.yml"
    yard.inside("a1", CLIENT)
    public = yard.inside("a1", "cat /root/reports/id_ed25519.pub").strip()
    server = yard.fleet.host("a2")
    yard.inside("a2", f"KEY='{public}'\n{SERVER}")
    yard.inside("a1", f"echo '{server.known_hosts.strip()}' >/root/reports/known_hosts")
    login = "ssh -F none -oBatchMode=yes -oUserKnownHostsFile=/root/reports/known_hosts"

    def state() -> list[str]:
        keys = yard.inside("a1", "cd /root/reports && stat -c '%n %a' id* && cat id_ed25519 id_ed25519.pub")
        accepted = yard.inside(
            "a2", "cd /home/reports/.ssh && stat -c '%a %U' authorized_keys && cat authorized_keys"
        )
        who = yard.inside("a1", f"{login} -i /root/reports/id_ed25519 reports@{server.address} id -un")
        return [keys, accepted, who]

    before = state()
    first = yard.ready(document, "rotation=2026-11")
    assert yard.run(first) == dict.fromkeys(HOSTS, "changed")
    keys, accepted, who = state()
    fresh = yard.inside("a1", "cat /root/reports/id_ed25519.pub").split()
    assert fresh[2:] == ["reports", "2026-11"]
    assert accepted.splitlines()[1:] == [
        "ssh-ed25519 AAAAother other",
        f"no-pty,no-port-forwarding {' '.join(fresh[:2])} reports",
    ]
    assert who == "reports\n"
    assert "id_ed25519.before-2026-11 600" in keys
    old = f"{login} -i /root/reports/id_ed25519.before-2026-11 reports@{server.address} true"
    assert "Permission denied" in yard.inside("a1", f"{old} 2>&1 || true")
    assert yard.run(yard.ready(document, "rotation=2026-11")) == dict.fromkeys(HOSTS, "ok")
    yard.undo(first)
    assert state() == before
