"""The state folder: private, its environment exact, its leases exclusive, its copies separate."""

import json
import os
import stat
from pathlib import Path

import pytest
import yaml

from itmp.adapters.pulumi.place import CloudPlace, Place, StackName, drop_dead_lock, stack_name
from itmp.errors import BusyError, InvalidInputError

NAME = StackName(program="aws-capacity", stack="web")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path / "pulumi")
    made.prepare()
    return made


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_everything_is_private(place: Place) -> None:
    assert mode(place.root) == mode(place.root / "state") == 0o700
    assert mode(place.root / "passphrase") == 0o600


def test_the_passphrase_is_made_once(place: Place) -> None:
    first = (place.root / "passphrase").read_text()
    place.prepare()
    assert (place.root / "passphrase").read_text() == first
    assert len(first) == 64
    assert not list(place.root.glob(".*"))


def test_a_changed_starter_is_renewed(place: Place) -> None:
    starter = place.root / "bin" / "pulumi-resource-itmp"
    starter.write_text("old")
    place.prepare()
    assert "itmp.provider.main" in starter.read_text()
    assert os.access(starter, os.X_OK)


def test_old_logs_of_the_engine_are_forgotten(place: Place) -> None:
    logs = place.root / "home" / "logs"
    logs.mkdir()
    for number in range(103):
        (logs / f"{number}.log").touch()
        os.utime(logs / f"{number}.log", (number, number))
    place.prepare()
    assert {path.name for path in logs.iterdir()} == {f"{number}.log" for number in range(3, 103)}


def test_the_environment_is_exact(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PULUMI_ACCESS_TOKEN": "x",
        "ITMP_KEY": "x",
        "PYTHONPATH": "/x",
        "SSH_AUTH_SOCK": "/x",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_PROFILE", "prod")
    monkeypatch.setenv("NO_PROXY", "internal")
    found = place.environment(Path("/opt/engine/pulumi"), CloudPlace(region="eu-west-1", endpoint="http://e"))
    assert not {"PULUMI_ACCESS_TOKEN", "ITMP_KEY", "PYTHONPATH", "SSH_AUTH_SOCK"} & found.keys()
    assert found["PATH"].split(":")[:2] == [str(place.root / "bin"), "/opt/engine"]
    assert found["PULUMI_BACKEND_URL"] == f"file://{place.root / 'state'}"
    assert (found["AWS_PROFILE"], found["AWS_REGION"], found["AWS_ENDPOINT_URL"]) == (
        "prod",
        "eu-west-1",
        "http://e",
    )
    assert found["NO_PROXY"] == found["no_proxy"] == "internal,127.0.0.1,localhost"
    assert "PULUMI_CONFIG_PASSPHRASE" not in found
    assert {
        "PULUMI_HOME",
        "PULUMI_SKIP_UPDATE_CHECK",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION",
    } <= found.keys()


def test_the_region_of_the_environment_counts_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    assert CloudPlace().environment["AWS_REGION"] == "eu-north-1"


def test_settings_keep_the_engines_salt(place: Place) -> None:
    folder = place.configure(NAME, {"knobs": [{"to": 8}], "text": "plain"})
    settings = folder / "Pulumi.web.yaml"
    settings.write_text(yaml.safe_dump({"encryptionsalt": "v1:salt", "config": {"old": "gone"}}))
    place.configure(NAME, {"knobs": [{"to": 9}], "text": "plain"})
    found = yaml.safe_load(settings.read_text())
    assert found["encryptionsalt"] == "v1:salt"
    assert found["config"]["aws-capacity:text"] == "plain"
    assert json.loads(found["config"]["aws-capacity:knobs"]) == [{"to": 9}]
    assert "old" not in found["config"]


def test_a_copy_holds_this_stack_and_changes_nothing_here(place: Place, tmp_path: Path) -> None:
    stacks = place.root / "state/.pulumi/stacks/aws-capacity"
    stacks.mkdir(parents=True)
    (stacks / "web.json").write_text("state")
    (stacks / "other.json").write_text("other")
    place.configure(NAME, {})
    twin = place.copy(NAME, tmp_path / "twin")
    assert twin.exists(NAME)
    assert not twin.exists(StackName(program="aws-capacity", stack="other"))
    assert (twin.root / "passphrase").read_text() == (place.root / "passphrase").read_text()
    twin.configure(NAME, {"a": 1})
    (twin.root / "state/.pulumi/stacks/aws-capacity/web.json").write_text("changed")
    assert (stacks / "web.json").read_text() == "state"
    assert "config" in (place.work(NAME) / "Pulumi.web.yaml").read_text()


def test_copying_a_place_that_does_not_exist_yet(tmp_path: Path) -> None:
    twin = Place(tmp_path / "nowhere").copy(NAME, tmp_path / "twin")
    assert not twin.exists(NAME)
    assert not (tmp_path / "nowhere").exists()


def test_a_lease_is_exclusive_per_stack(place: Place) -> None:
    with place.lease(NAME):
        with pytest.raises(BusyError, match="another run holds this stack"), place.lease(NAME):
            pass
        with place.lease(StackName(program="aws-capacity", stack="other")):
            pass
    with place.lease(NAME):
        pass


def engine_lock(place: Place, text: str) -> Path:
    folder = place.root / "state/.pulumi/locks/organization/aws-capacity/web"
    folder.mkdir(parents=True)
    (folder / "a.json").write_text(text)
    return folder / "a.json"


def test_without_a_lock_nothing_is_dropped(place: Place) -> None:
    drop_dead_lock(place, NAME, lambda: pytest.fail("called"))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', '{"pid": 1}'])
def test_a_lock_that_was_cut_off_is_dropped(place: Place, text: str) -> None:
    engine_lock(place, text)
    dropped: list[int] = []
    drop_dead_lock(place, NAME, lambda: dropped.append(1))
    assert dropped


def test_a_dead_engines_lock_is_dropped(place: Place) -> None:
    engine_lock(place, json.dumps({"pid": 2**22 + 1, "hostname": os.uname().nodename}))
    dropped: list[int] = []
    drop_dead_lock(place, NAME, lambda: dropped.append(1))
    assert dropped


def test_a_lock_of_another_machine_is_kept(place: Place) -> None:
    engine_lock(place, json.dumps({"pid": 1, "hostname": "elsewhere.example"}))
    with pytest.raises(BusyError, match="elsewhere"):
        drop_dead_lock(place, NAME, lambda: pytest.fail("called"))


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "-x", "a b", "a\n", "ü", "x" * 101, "a:b"])
def test_names_that_are_no_names(name: str) -> None:
    with pytest.raises(InvalidInputError):
        stack_name(name, "web")
    with pytest.raises(InvalidInputError):
        stack_name("aws-capacity", name)


def test_what_the_engines_children_link_to_is_neither_written_nor_copied(
    place: Place, tmp_path: Path
) -> None:
    closed = tmp_path / "log.key"
    closed.write_text("closed to children")
    lease = place.root / "leases" / f"{NAME.program}.{NAME.stack}"
    lease.symlink_to(closed)
    with pytest.raises(OSError, match="symbolic link"), place.lease(NAME):
        pass
    place.work(NAME).mkdir(parents=True)
    for name in ("Pulumi.yaml", f"Pulumi.{NAME.stack}.yaml"):
        (place.work(NAME) / name).symlink_to(closed)
        with pytest.raises(OSError, match="symbolic link"):
            place.configure(NAME, {})
        (place.work(NAME) / name).unlink()
    state = place.root / "state" / ".pulumi" / "stacks" / NAME.program / f"{NAME.stack}.json"
    state.parent.mkdir(parents=True)
    state.symlink_to(closed)
    twin = place.copy(NAME, tmp_path / "twin")
    copied = [path for path in twin.root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert not any(path.read_text() == closed.read_text() for path in copied)
    assert closed.read_text() == "closed to children"
