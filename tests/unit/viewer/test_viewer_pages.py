"""The auditor's pages: they say what was proved, act on nothing, and show hostile text harmless."""

import re
import sqlite3
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from two_periods import pass_on
from typer.testing import CliRunner

from itmp.cli.main import app
from itmp.errors import BusyError, InvalidInputError
from itmp.testing.on_disk import story_on_disk
from itmp.testing.story import Story
from itmp.viewer import application
from itmp.viewer.serving import check_address, listening
from itmp.workspace import Workspace, of_period

HOSTILE = "<script>alert(1)</script> <img src=x onerror=alert(2)> & \" ' {{ 7 * 7 }} javascript:alert(3)"


KIND = re.compile(r"<td>(emergency|one-person|own-approval|no-approval|reconciled|skipped|single-root)</td>")


class Seen(HTMLParser):
    """Collects tags with their attributes, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture
def story(tmp_path: Path) -> Story:
    made = story_on_disk(tmp_path, roots=["alice"])
    made.open(reason=HOSTILE)
    made.act("approve", "bob")
    made.execute(made.permit(), outcome="failed", state="failed")
    made.close()
    made.open(reason="a second one", external="CR-1")
    return made


@pytest.fixture
def client(story: Story, tmp_path: Path) -> Iterator[TestClient]:
    assert story.change
    with TestClient(application(Workspace.here(tmp_path)), base_url="http://localhost") as made:
        yield made


def first(story: Story) -> str:
    return story.log.changes()[0]


def paths(story: Story) -> list[str]:
    one = first(story)
    return [
        "/",
        "/?q=alice",
        f"/changes/{one}",
        f"/changes/{one}/report",
        "/leaves/1",
        "/exceptions",
        "/access",
        "/log",
    ]


def test_every_page_answers_with_headers_that_forbid_scripts_and_frames(
    client: TestClient, story: Story
) -> None:
    for path in [*paths(story), "/nowhere", "/changes/CHG-0000000000", "/style.css"]:
        answer = client.get(path)
        assert answer.status_code == (404 if path in {"/nowhere", "/changes/CHG-0000000000"} else 200), path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["cache-control"] == "no-store"


def test_hostile_text_is_text_on_every_page(client: TestClient, story: Story) -> None:
    shown = 0
    for path in paths(story):
        text = client.get(path).text
        seen = Seen(text)
        assert not {"script", "img", "iframe", "object", "embed", "svg"} & {tag for tag, _ in seen.tags}, path
        assert all(not name.startswith("on") for _, attrs in seen.tags for name in attrs), path
        links = [attrs.get(name) or "" for _, attrs in seen.tags for name in ("href", "src", "action")]
        assert all(link == "" or link.startswith("/") for link in links), path
        assert "49" not in re.findall(r"\{\{ 7 \* 7 \}\}|49 ", seen.words), path
        shown += "<script>alert(1)</script>" in seen.words
    assert shown >= 3  # the list, the change, its leaf: shown, and shown as it is


@pytest.mark.parametrize("char", ["\x1b[31m", "\u202e", "\u2028", "\x00", "\u200b"])
def test_characters_that_deceive_are_written_out(tmp_path: Path, char: str) -> None:
    story = story_on_disk(tmp_path)
    story.open()
    story.act("approve", "bob")
    permit = story.permit()
    story.say(permit, "run.started", data={"permit": permit.leaf})
    step = story.steps()[0]
    intent = story.intend(permit, step, ["web1"])
    task = step.expected[0]
    story.say(
        permit, "action.finished", step=step.id, phase="do", intent=intent.hash, action=task.action, outcome="ok",
        target={"kind": "host", "id": "web1"},
        data={"path": task.path, "line": task.line, "name": task.name, "message": f"all {char} fine"},
    )  # fmt: skip
    with TestClient(application(Workspace.here(tmp_path)), base_url="http://localhost") as client:
        text = client.get(f"/changes/{story.change}").text
    assert char not in text
    assert f"all {char.encode('unicode_escape').decode()} fine" in text


def test_a_change_is_judged_on_the_spot_and_damage_shows(
    client: TestClient, story: Story, tmp_path: Path
) -> None:
    text = client.get(f"/changes/{first(story)}").text
    assert "Every rule holds." in text
    assert "Judged against this log's own key" in Seen(text).words
    assert "alice@example.com" in text
    manifest = story.plan.digest.removeprefix("sha256:")
    blob = tmp_path / ".itmp/log/blobs/sha256" / manifest[:2] / manifest
    blob.chmod(0o600)
    blob.write_bytes(blob.read_bytes()[:-1] + b" ")
    with TestClient(application(Workspace.here(tmp_path)), base_url="http://localhost") as fresh:
        damaged = fresh.get(f"/changes/{first(story)}")
    assert "Every rule holds." not in damaged.text


def test_the_list_finds_by_words_and_pages(client: TestClient, story: Story) -> None:
    one, two = story.log.changes()

    def listed(query: str) -> list[str]:
        return re.findall(r'href="/changes/(CHG-[0-9a-f]{10})"', client.get(f"/?{query}").text)

    assert listed("") == [two, one]
    assert listed("q=SECOND+one") == [two]
    assert listed("q=CR-1") == [two]
    assert listed("q=nobody") == []
    assert listed("at=1") == [one]
    assert listed("end=2020-01-01") == []
    assert listed("start=2026-11-22") == [two, one]


def test_a_page_says_whether_the_index_found_what_it_shows(
    client: TestClient, story: Story, tmp_path: Path
) -> None:
    one, two = story.log.changes()
    client.get("/?q=alice")
    db = sqlite3.connect(tmp_path / ".itmp/index.sqlite")
    db.execute("DELETE FROM claim WHERE change = (SELECT n FROM word WHERE text = ?)", (two,))
    db.execute("UPDATE claim SET words = 'mallory', requester = 'mallory', marks = 31")
    db.commit()
    db.close()
    every, some, odd = (client.get(path).text for path in ("/", "/?q=mallory", "/exceptions"))
    assert f"/changes/{two}" in every, "the list itself asks no index"
    assert "Every change of the log" in every
    assert "search index" not in every
    for text in (some, odd):
        assert "Found by the search index" in text
        assert "reads every leaf" in text
    assert f"/changes/{one}" in some
    assert "mallory" not in some.replace('value="mallory"', ""), "only the question says so"
    assert set(KIND.findall(odd)) == {"single-root"}, "what is marked is judged by its leaves"


def test_a_listening_address_that_is_taken_is_named() -> None:
    with listening("127.0.0.1:0") as (_, address):
        assert not address.endswith(":0")
        with pytest.raises(BusyError, match="cannot listen"), listening(address):
            pass


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/?start=yesterday", 400),
        ("/leaves/99999", 404),
        ("/leaves/x", 422),
        ("/?at=-1", 422),
        (f"/?q={'x' * 500}", 422),
    ],
)
def test_wrong_questions_are_pages_and_no_crash(client: TestClient, path: str, code: int) -> None:
    answer = client.get(path)
    assert answer.status_code == code
    assert "Traceback" not in answer.text


def left(root: Path) -> dict[str, bytes]:
    """Every file of the state but the search index, which is derived and brought up to date by reading."""
    files = (path for path in (root / ".itmp").rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in files if not path.name.startswith("index.sqlite")}


def test_no_page_signs_publishes_or_writes(client: TestClient, story: Story, tmp_path: Path) -> None:
    story.act("approve", "bob")
    before, head = left(tmp_path), story.log.published()
    assert head is not None
    assert head.checkpoint.size < story.log.size(), "something waits to be signed"
    for path in [*paths(story), f"/changes/{story.change}", f"/changes/{story.change}/report", "/leaves/0"]:
        assert client.get(path).status_code == 200, path
    assert left(tmp_path) == before


def test_what_no_head_covers_is_told_and_not_judged(client: TestClient, story: Story) -> None:
    def words(path: str) -> str:
        return " ".join(Seen(client.get(path).text).words.split())

    mine = f"/changes/{story.change}"
    none = words(mine)
    assert "No signed head covers this change yet: nothing of it is proven." in none
    assert "change.opened (not signed yet)" in none
    assert "holds" not in none
    assert "of which the newest 1 are not signed yet" in words("/log")
    story.act("approve", "bob")  # whose signer has seen a head over what came before
    some = words(mine)
    assert "The newest 1 of its 2 events are not signed yet: the verdict is about the first 1." in some
    assert "Sound as far as it goes" in some
    assert "change.opened (not signed yet)" not in some
    assert "change.approved (not signed yet)" in some
    assert "not signed yet" not in words(f"/changes/{first(story)}")
    story.log.checkpoint()
    assert "not signed yet" not in words(mine) + words("/log")


def test_a_report_by_the_executors_own_command_is_under_a_head_signed_for_it(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ITMP_WORKSPACE", str(tmp_path))
    made = CliRunner().invoke(app, ["audit", "report", story.change, "-o", str(tmp_path / "page.html")])
    assert made.exit_code == 0, made.output
    assert "not signed yet" not in (tmp_path / "page.html").read_text()
    head = story.log.published()
    assert head is not None
    assert head.checkpoint.size == story.log.size()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_written(client: TestClient, method: str) -> None:
    assert client.request(method, "/").status_code == 405


def test_another_sites_name_is_not_answered(tmp_path: Path) -> None:
    story_on_disk(tmp_path)
    with TestClient(application(Workspace.here(tmp_path)), base_url="http://evil.example") as client:
        assert client.get("/").status_code == 400


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:80", "192.168.1.1:80", "example.com:80", "127.0.0.1", "127.0.0.1:99999", ":80"]
)
def test_only_loopback_is_listened_on(listen: str) -> None:
    with pytest.raises(InvalidInputError):
        check_address(listen)


def test_loopback_addresses_are_read() -> None:
    assert check_address("127.0.0.1:0") == ("127.0.0.1", 0)
    assert check_address("[::1]:8417") == ("::1", 8417)


def test_the_report_is_one_file_that_needs_nothing_else(client: TestClient, story: Story) -> None:
    answer = client.get(f"/changes/{first(story)}/report")
    assert "attachment" in answer.headers["content-disposition"]
    seen = Seen(answer.text)
    assert "link" not in {tag for tag, _ in seen.tags}
    assert not [attrs for _, attrs in seen.tags if "href" in attrs or "src" in attrs]
    assert "Every rule holds." in answer.text


def test_a_vote_that_counts_for_nothing_is_not_shown_as_one_that_does(
    client: TestClient, story: Story
) -> None:
    story.act("approve", "bob", role="owner")  # signed, and in a role that may not approve
    words = Seen(client.get(f"/changes/{story.change}").text).words
    assert "What counts for nothing" in words
    assert "change.approved (counts for nothing)" in words
    assert "(counts for nothing)" not in Seen(client.get(f"/changes/{first(story)}").text).words


@pytest.fixture
def passed_on(story: Story, tmp_path: Path) -> Iterator[TestClient]:
    """The pages of a log whose first period, 2026, has ended: the story was told in it."""
    pass_on(story, tmp_path)
    with TestClient(application(Workspace.here(tmp_path)), base_url="http://localhost") as made:
        yield made


@pytest.mark.parametrize("path", ["/", "/exceptions", "/access", "/log", "/leaves/0"])
def test_a_page_of_one_period_says_so_and_leads_to_the_others(passed_on: TestClient, path: str) -> None:
    now, then = Seen(passed_on.get(path).text), Seen(passed_on.get(f"{path}?period=2026").text)
    assert "Period 2027 of the log alone." in now.words
    assert "Period 2026 of the log alone, which has ended." in then.words
    assert ("a", {"href": "/?period=2026"}) in now.tags
    assert ("a", {"href": "/"}) in then.tags


def test_the_lists_of_an_earlier_period_stay_within_it(passed_on: TestClient, tmp_path: Path) -> None:
    told = of_period(Workspace.here(tmp_path), "2026").log.changes()[0]
    assert told not in passed_on.get("/").text
    for path in ("/?period=2026", "/?period=2026&q=alice", f"/changes/{told}"):
        page = Seen(passed_on.get(path).text)
        assert told in page.words, path
        links = [attributes["href"] or "" for tag, attributes in page.tags if tag == "a"]
        assert all("period=2026" in link for link in links if link.startswith(("/leaves", "/access", "/log")))
    hidden = [dict(tags) for tag, tags in Seen(passed_on.get("/?period=2026").text).tags if tag == "input"]
    assert {"type": "hidden", "name": "period", "value": "2026"} in hidden


def test_a_leaf_is_that_of_its_period(passed_on: TestClient) -> None:
    assert "log.created" in passed_on.get("/leaves/0").text
    assert passed_on.get("/leaves/1").status_code == 404
    assert "change.opened" in passed_on.get("/leaves/1?period=2026").text
    assert passed_on.get("/leaves/1?period=2031").status_code == 404
