"""`itmp init` said again: what was begun is completed, what is whole or somebody else's is left as it is."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from keep import found, make_key

from itmp import workspace
from itmp.calendars import format_time
from itmp.errors import InvalidInputError
from itmp.testing.periods import next_key
from itmp.workspace import begun

WHO = {"organization": "example.com", "signer": "alice@example.com"}
NAMES = ("alice", "bob")


def interrupted(folder: Path) -> workspace.Workspace:
    """Return a workspace whose founder died before TRUST was written."""
    place = found(folder)
    shutil.rmtree(folder / "trust")
    return place


def people(folder: Path) -> tuple[Path, ...]:
    for name in NAMES:
        make_key(folder / name)
        line = (folder / f"{name}.pub").read_text().split()[:2]
        (folder / f"{name}.pub").write_text(" ".join([*line, f"{name}@example.com\n"]))
    return tuple(folder / f"{name}.pub" for name in NAMES)


def test_a_whole_log_is_not_founded_again(tmp_path: Path) -> None:
    found(tmp_path)
    with pytest.raises(InvalidInputError, match="there is a log here already"):
        workspace.init(tmp_path, key=str(tmp_path / "key"), **WHO)


def test_the_same_words_complete_a_log_without_trust(tmp_path: Path) -> None:
    place = interrupted(tmp_path)
    done = workspace.init(tmp_path, key=str(tmp_path / "key"), **WHO)
    assert (done.vkey, done.genesis) == (place.log.vkey, place.log.leaf(0).hash)
    assert (tmp_path / "trust/genesis").read_text() == f"{done.genesis}\n"
    assert "interrupted" in done.notes[-1]


def test_a_file_of_trust_that_was_cut_short_is_written_whole(tmp_path: Path) -> None:
    place = found(tmp_path)
    (tmp_path / "trust/genesis").write_text("sha2")
    workspace.init(tmp_path, key=str(tmp_path / "key"), **WHO)
    assert (tmp_path / "trust/genesis").read_text() == f"{place.log.leaf(0).hash}\n"


def test_other_words_do_not_complete_it(tmp_path: Path) -> None:
    interrupted(tmp_path)
    make_key(tmp_path / "other")
    for key, signer in (("other", WHO["signer"]), ("key", "bob@example.com")):
        with pytest.raises(InvalidInputError, match="begun here with another signer, key or policy") as told:
            workspace.init(tmp_path, key=str(tmp_path / key), organization="example.com", signer=signer)
        assert "alice@example.com" in str(told.value)
    with pytest.raises(InvalidInputError, match="begun here already"):
        workspace.init_roots(tmp_path, people(tmp_path), organization="example.com")
    assert not (tmp_path / "trust").exists()


@pytest.mark.parametrize("name", ["log.policy", "genesis"])
def test_trust_of_another_log_is_not_touched(tmp_path: Path, name: str) -> None:
    found(tmp_path)
    other = {"log.policy": f"log {next_key().vkey}\nquorum none\n", "genesis": "sha256:" + 64 * "0" + "\n"}
    (tmp_path / "trust" / name).write_text(other[name])
    with pytest.raises(InvalidInputError, match="not of the log that lies here"):
        workspace.init(tmp_path, key=str(tmp_path / "key"), **WHO)
    assert (tmp_path / "trust" / name).read_text() == other[name]


def test_witnesses_in_trust_do_not_make_it_another_logs(tmp_path: Path) -> None:
    found(tmp_path)
    with (tmp_path / "trust/log.policy").open("a") as file:
        file.write("witness w0 example+00000000+AAAA\n")
    with pytest.raises(InvalidInputError, match="there is a log here already"):
        workspace.init(tmp_path, key=str(tmp_path / "key"), **WHO)


def test_texts_that_wait_for_signatures_are_given_out_again(tmp_path: Path) -> None:
    pubs, root = people(tmp_path), tmp_path / "w"
    first = workspace.init_roots(root, pubs, organization="example.com")
    before = [text.path.read_bytes() for text in first]
    again = workspace.init_roots(root, pubs, organization="example.com")
    assert (again, [text.path.read_bytes() for text in again]) == (first, before)
    with pytest.raises(InvalidInputError, match="waits for their signatures"):
        workspace.init_roots(root, pubs[:1], organization="example.com")
    with pytest.raises(InvalidInputError, match="waits for their signatures"):
        workspace.init_roots(root, pubs, organization="example.com", log_key="agent:SHA256:other")
    with pytest.raises(InvalidInputError, match="waits for their signatures"):
        workspace.init(root, key=str(tmp_path / "alice"), **WHO)


def test_texts_that_have_expired_are_written_anew(tmp_path: Path) -> None:
    pubs, root = people(tmp_path), tmp_path / "w"
    path = workspace.init_roots(root, pubs, organization="example.com")[0].path
    text = path.read_text()
    (valid,) = (line for line in text.splitlines() if line.startswith("valid "))
    past = [datetime.now(UTC) - timedelta(days=days) for days in (9, 2)]
    path.write_text(text.replace(valid, f"valid {format_time(past[0])} {format_time(past[1])}"))
    workspace.init_roots(root, pubs, organization="example.com")
    assert path.read_text() != text
    assert str(past[0].year) in path.read_text()


def test_what_was_prepared_half_is_prepared_anew(tmp_path: Path) -> None:
    pubs, root = people(tmp_path), tmp_path / "w"
    (root / ".itmp" / begun.FOUNDING).mkdir(parents=True)
    (root / ".itmp" / begun.FOUNDING / "policy.yml").touch()
    texts = workspace.init_roots(root, pubs, organization="example.com")
    assert [text.path.is_file() for text in texts] == [True, True]


def test_texts_of_one_name_are_refused(tmp_path: Path) -> None:
    pubs = people(tmp_path)
    for pub, signer in zip(pubs, ("a+b@example.com", "a_b@example.com"), strict=True):
        pub.write_text(" ".join([*pub.read_text().split()[:2], signer + "\n"]))
    with pytest.raises(InvalidInputError, match="one name"):
        workspace.init_roots(tmp_path / "w", pubs, organization="example.com")


@pytest.mark.parametrize("which", ["text", "signature"])
def test_what_is_no_text_is_refused_by_its_place(tmp_path: Path, which: str) -> None:
    pubs, root = people(tmp_path), tmp_path / "w"
    text = workspace.init_roots(root, pubs, organization="example.com")[0].path
    signature = text.with_name(f"{text.name}.sig")
    signature.write_text("")
    wrong = text if which == "text" else signature
    wrong.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInputError, match="not UTF-8") as told:
        workspace.seal(root, (signature,))
    assert (told.value.where, bool(told.value.do)) == (str(wrong), True)
    if which == "text":
        with pytest.raises(InvalidInputError, match="not UTF-8"):
            workspace.init_roots(root, pubs, organization="example.com")


def test_a_key_or_policy_that_is_no_text_is_refused_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.pub").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInputError, match="not UTF-8"):
        workspace.init_roots(tmp_path / "w", (tmp_path / "a.pub",), organization="example.com")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        workspace.init_roots(tmp_path / "w", people(tmp_path), organization="example.com", policy=tmp_path)
