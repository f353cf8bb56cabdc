import dataclasses
import json
import socket
import tempfile
import threading
from pathlib import Path

import pytest

from itmp.adapters.actions import ActionClient, ActionRefusedError, ActionServer
from itmp.errors import LogUnavailableError, NotFoundError, RefusedError
from itmp.execution.doors import Action, ActionResult

TOKEN = "t"
ACTION = Action(id="1", host="web1", action="ansible.builtin.ping", path="project/p.yml", line=3)
RESULT = ActionResult(
    id="1", host="web1", action="ansible.builtin.ping", outcome="ok", data={"items": {"ok": 1}}
)


class Watching:
    def __init__(self, before=None, after=None):
        self.seen, self.fail_before, self.fail_after = [], before, after

    def before(self, action):
        if self.fail_before:
            raise self.fail_before
        self.seen.append(action)

    def after(self, result):
        if self.fail_after:
            raise self.fail_after
        self.seen.append(result)


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(prefix="itmp-") as name:
        yield Path(name)


@pytest.fixture
def serve(folder):
    """Start a server over an observer, pumped by a thread of its own."""
    done = threading.Event()
    threads: list[threading.Thread] = []
    servers: list[ActionServer] = []

    def start(observer, **options):
        server = ActionServer(folder, token=TOKEN, observer=observer, **options).__enter__()
        thread = threading.Thread(target=lambda: [server.pump(0.01) for _ in iter(done.is_set, True)])
        thread.start()
        threads.append(thread)
        servers.append(server)
        return server

    yield start
    done.set()
    for thread in threads:
        thread.join(10)
    for server in servers:
        server.__exit__(None, None, None)


def client(server, token=TOKEN):
    return ActionClient(str(server.path), token=token, role="test", timeout=10)


def test_actions_and_results_arrive_whole_and_in_order(serve):
    observer = Watching()
    server = serve(observer)
    peer = client(server)
    peer.before(ACTION)
    peer.after({name: getattr(RESULT, name) for name in ("id", "host", "action", "outcome", "data")})
    peer.close()
    assert observer.seen == [ACTION, RESULT]
    assert server.roles == {"test"}
    assert server.failure is None


def test_a_refusal_reaches_the_client_and_stays(serve):
    observer = Watching(before=RefusedError("outside the plan"))
    server = serve(observer)
    first, second = client(server), client(server)
    with pytest.raises(ActionRefusedError, match="outside the plan"):
        first.before(ACTION)
    observer.fail_before = None
    with pytest.raises(ActionRefusedError, match="outside the plan"):
        second.before(ACTION)
    second.after(RESULT)  # of an action that was under way
    first.close()
    second.close()
    assert observer.seen == [RESULT]
    assert isinstance(server.failure, RefusedError)


def test_after_a_result_could_not_be_recorded_nothing_goes_on(serve):
    observer = Watching(after=LogUnavailableError("disk full"))
    server = serve(observer)
    peer = client(server)
    peer.before(ACTION)
    with pytest.raises(ActionRefusedError):
        peer.after(RESULT)
    with pytest.raises(ActionRefusedError):
        peer.before(ACTION)
    peer.close()
    assert server.deaf
    assert observer.seen == [ACTION]


def test_what_is_only_told_is_heard_before_the_next_action(serve):
    observer = Watching(after=LogUnavailableError("disk full"))
    server = serve(observer)
    peer = client(server)
    peer.before(ACTION)
    peer.tell(RESULT)
    with pytest.raises(ActionRefusedError, match="disk full"):
        peer.before(ACTION)
    with pytest.raises(ActionRefusedError, match="disk full"):  # each answer is that of its own question
        peer.before(ACTION)
    peer.close()
    assert server.deaf
    assert observer.seen == [ACTION]


def test_any_number_of_results_may_be_told_without_anything_asked(serve):
    observer = Watching()
    peer = client(serve(observer))
    for number in range(2000):
        peer.tell(dataclasses.replace(RESULT, id=str(number)))
    peer.before(ACTION)
    peer.close()
    assert [seen.id for seen in observer.seen] == [*map(str, range(2000)), ACTION.id]


@pytest.mark.parametrize("size", [0, 40_000])
def test_what_was_told_arrives_though_the_teller_ends_at_once(folder, size):
    observer = Watching()
    told = [
        dataclasses.replace(RESULT, id=f"{number}", message=size * "m")
        for number in range(20 if not size else 2)
    ]
    with ActionServer(folder, token=TOKEN, observer=observer) as server:
        pumping = threading.Thread(target=lambda: [server.pump(0.2) for _ in range(2)])
        pumping.start()
        peer = client(server)
        pumping.join(10)
        for one in told:
            peer.tell(one)
            if one is told[0]:
                server.pump(0)  # its answer stays unread
        peer.close()
        server.drain()
    assert observer.seen == told


@pytest.mark.parametrize("cut", [True, False])
def test_what_goes_wrong_for_a_teller_that_was_ended_is_unknown(folder, cut):
    """Its ssh may have ended because we ended it."""
    observer, outcomes = Watching(), ("changed", "failed", "unreachable")
    with ActionServer(folder, token=TOKEN, observer=observer) as server:
        pumping = threading.Thread(target=lambda: [server.pump(0.2) for _ in range(2)])
        pumping.start()
        peer = client(server)
        pumping.join(10)
        for outcome in outcomes:
            peer.tell(dataclasses.replace(RESULT, outcome=outcome))
        peer.close()
        server.drain(cut=cut)
    assert tuple(seen.outcome for seen in observer.seen) == (
        ("changed", "unknown", "unknown") if cut else outcomes
    )


def test_a_stranger_without_the_token_is_not_heard(serve):
    observer = Watching()
    server = serve(observer)
    with pytest.raises(ActionRefusedError):
        client(server, token="other")
    assert observer.seen == []
    assert server.failure is None


@pytest.mark.parametrize(
    "line",
    [
        b"[]\n",
        b"{}\n",
        b'{"m":"what"}\n',
        b"\xff\n",
        b'{"m":"before","id":"1"}\n',
        b'{"m":"before","extra":1,"id":"1","host":"h","action":"a"}\n',
        b'{"m":"outside","id":"1","host":"h","action":"a"}\n',
        b'{"m":"outside","id":"1","host":"h","action":"a","outside":" "}\n',
    ],
)
def test_a_broken_message_ends_the_connection_and_the_slice(serve, line):
    server = serve(Watching())
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(10)
        peer.connect(str(server.path))
        peer.sendall(b'{"m":"hello","token":"t","role":"x"}\n')
        assert json.loads(peer.recv(100)) == {"ok": True}
        peer.sendall(line)
        assert peer.recv(100) == b""
    assert isinstance(server.failure, ActionRefusedError)
    assert server.refused


def test_secrets_are_given_by_name_and_refused_otherwise(serve):
    def give(name):
        if name != "known":
            raise NotFoundError("no such secret")
        return "välue\n"

    server = serve(Watching(), secret=give)
    peer = client(server)
    assert peer.secret("known") == "välue\n"
    with pytest.raises(ActionRefusedError, match="no such secret"):
        peer.secret("other")
    peer.close()


def test_a_client_without_an_executor_must_not_act(folder):
    with pytest.raises(ActionRefusedError):
        ActionClient(str(folder / "nothing"), token="t", role="x")
    with pytest.raises(ActionRefusedError, match="ITMP_ACTION_SOCKET"):
        ActionClient.from_environment("x")


def test_values_to_mask_are_taken_before_they_are_acknowledged(serve):
    taken = []
    peer = client(serve(Watching(), masking=taken.append))
    peer.mask(["sesame"])
    peer.mask(None)
    peer.close()
    assert taken == [["sesame"], None]


def test_a_value_that_nobody_masks_is_refused(serve):
    peer = client(serve(Watching()))
    with pytest.raises(ActionRefusedError, match="nothing is masked"):
        peer.mask(["sesame"])
    peer.close()


def test_a_worker_beside_ansible_may_say_that_something_lies_outside_and_that_ends_the_run(serve):
    observer = Watching()
    server = serve(observer)
    real = ActionClient(str(server.path), token=TOKEN, role="ansible", timeout=10)
    worker, said = client(server), dataclasses.replace(ACTION, outside="a local connection")
    worker.outside(said)
    assert observer.seen == [said]
    observer.fail_before = RefusedError("outside the plan")
    with pytest.raises(ActionRefusedError, match="outside the plan"):
        worker.outside(said)
    observer.fail_before = None
    with pytest.raises(ActionRefusedError, match="outside the plan"):
        real.before(ACTION)
    real.close()
    worker.close()


def test_beside_ansible_nobody_acts_and_nobody_speaks_for_it(serve):
    observer = Watching()
    server = serve(observer, secret=lambda name: name)
    real = ActionClient(str(server.path), token=TOKEN, role="ansible", timeout=10)
    lookup = client(server)
    assert lookup.secret("s") == "s"
    with pytest.raises(ActionRefusedError):
        lookup.after(RESULT)
    with pytest.raises(ActionRefusedError):
        ActionClient(str(server.path), token=TOKEN, role="ansible", timeout=10)
    with pytest.raises(ActionRefusedError, match="broke the action protocol"):
        real.before(ACTION)
    assert observer.seen == []
    assert server.failure is not None
    real.close()
    lookup.close()
