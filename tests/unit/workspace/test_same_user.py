"""Who keeps the anchor: while the log's own account does, it is told with what changes that, and is no fault."""

from pathlib import Path

import pytest
from keep import again, found

from itmp import workspace
from itmp.workspace.same_user import kept_by_us, separating

NOBODY = "itmp-no-such-account"


def _anchor_of_doctor(place: workspace.Workspace, monkeypatch: pytest.MonkeyPatch) -> tuple[bool, str, str]:
    monkeypatch.chdir(place.root)
    [one] = [finding for finding in workspace.doctor() if finding.name == "anchor directory"]
    return one.ok, one.what, one.do


def test_an_anchor_of_the_same_account_is_told_by_init_doctor_and_health(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ITMP_ANCHOR_ACCOUNT", NOBODY)
    place = found(tmp_path / "w")
    done = workspace.init(
        _elsewhere(tmp_path), key=str(place.root / "key"), organization="example.com", signer="a@example.com"
    )
    assert done.next == (separating(),)
    assert "itmp audit separate" in separating()
    ok, what, do = _anchor_of_doctor(place, monkeypatch)
    assert ok
    assert "same account" in what
    assert do == separating()
    fit = workspace.audit_health(again(place))
    assert (fit.exit_code, fit.faults) == (0, ())
    assert fit.notes == (f"anchor directory is kept by this same account: {separating()}",)


def _elsewhere(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("account", ["none", NOBODY])
def test_a_folder_that_was_chosen_and_an_account_that_was_declined_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, account: str
) -> None:
    monkeypatch.setenv("ITMP_ANCHOR_ACCOUNT", account)
    place = found(tmp_path / "w")
    if account != "none":
        text = f"organization: example.com\nanchors:\n  - {{kind: directory, path: {tmp_path / 'second'}}}\n"
        (place.root / "itmp.yml").write_text(text)
    assert kept_by_us(again(place)) == ()
    assert workspace.audit_health(again(place)).notes == ()
    assert _anchor_of_doctor(again(place), monkeypatch) == (True, "remembers heads", "")
