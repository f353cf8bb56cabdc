"""The servicer over real gRPC on loopback: what the engine would see."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from itmp.adapters.actions import ActionServer
from itmp.provider.server import start
from itmp.provider.values import plain, struct
from itmp.testing.cloud import Cloud
from itmp.testing.flaky import FlakyProxy
from itmp.testing.runners import ScriptedObserver

TYPE = "itmp:aws:AutoScalingGroupCapacity"
URN = f"urn:pulumi:s::p::{TYPE}::web"


@pytest.fixture(scope="module")
def moto() -> Iterator[Cloud]:
    with Cloud() as cloud:
        yield cloud


@pytest.fixture
def stub(moto: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    moto.reset()
    for name, value in moto.environ.items():
        monkeypatch.setenv(name, value)
    server, port = start(moto.environ)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield provider_pb2_grpc.ResourceProviderStub(channel)
    server.stop(0).wait()


@pytest.fixture
def executor(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ScriptedObserver]:
    observer, stop = ScriptedObserver(refuse=[f"{URN}-refused"]), threading.Event()
    folder = tmp_path_factory.mktemp("a")
    with ActionServer(Path(folder), token="t", observer=observer) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)

        def serve() -> None:
            while not stop.is_set():
                server.pump(0.02)

        thread = threading.Thread(target=serve)
        thread.start()
        yield observer
        stop.set()
        thread.join()


def inputs(moto: Cloud, **other: Any) -> dict[str, Any]:
    arn = moto.group("web-asg", desired=4, floor=1, ceiling=10)
    return {"group": "web-asg", "arn": arn, "desired": 8, "expected": {"low": 4, "high": 4}, **other}


def create(stub: Any, values: dict[str, Any], *, urn: str = URN, preview: bool = False) -> Any:
    request = provider_pb2.CreateRequest(urn=urn, type=TYPE, properties=struct(values), preview=preview)
    return stub.Create(request)


def test_creates_by_adopting(stub: Any, moto: Cloud, executor: ScriptedObserver) -> None:
    answer = create(stub, inputs(moto))
    assert (answer.id, plain(answer.properties)["desired"], moto.desired("web-asg")) == ("web-asg", 8, 8)
    assert [(a.host, a.action, dict(a.after)) for a in executor.before_] == [(URN, "create", {"desired": 8})]


def test_updates(stub: Any, moto: Cloud, executor: ScriptedObserver) -> None:
    values = inputs(moto)
    stub.Update(provider_pb2.UpdateRequest(id="web-asg", urn=URN, type=TYPE, news=struct(values)))
    assert (moto.desired("web-asg"), executor.before_[0].action) == (8, "update")


def test_without_an_executor_nothing_is_called(stub: Any, moto: Cloud) -> None:
    with pytest.raises(grpc.RpcError, match="not started by an executor"):
        create(stub, inputs(moto))
    assert moto.desired("web-asg") == 4


def test_a_refusal_of_the_executor_stops_the_call(stub: Any, moto: Cloud, executor: ScriptedObserver) -> None:
    with pytest.raises(grpc.RpcError, match="refused"):
        create(stub, inputs(moto), urn=f"{URN}-refused")
    assert (moto.desired("web-asg"), executor.before_) == (4, [])


def test_a_preview_guards_and_changes_nothing(stub: Any, moto: Cloud) -> None:
    assert create(stub, inputs(moto), preview=True).id == ""
    with pytest.raises(grpc.RpcError, match=r"outside its own limits 1\.\.10"):
        create(stub, inputs_again(moto, desired=50), preview=True)
    assert moto.desired("web-asg") == 4


def inputs_again(moto: Cloud, **other: Any) -> dict[str, Any]:
    found = moto.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=["web-asg"])
    arn = found["AutoScalingGroups"][0]["AutoScalingGroupARN"]
    return {"group": "web-asg", "arn": arn, "desired": 8, "expected": {"low": 4, "high": 4}, **other}


def test_deleting_leaves_the_group(stub: Any, moto: Cloud) -> None:
    values = struct(inputs(moto))
    stub.Delete(provider_pb2.DeleteRequest(id="web-asg", urn=URN, type=TYPE, properties=values))
    assert moto.desired("web-asg") == 4


def test_reads_the_present_value(stub: Any, moto: Cloud) -> None:
    values = struct(inputs(moto))
    request = provider_pb2.ReadRequest(id="web-asg", urn=URN, type=TYPE, properties=values, inputs=values)
    answer = stub.Read(request)
    assert (answer.id, plain(answer.properties)["desired"], plain(answer.inputs)["desired"]) == (
        "web-asg",
        4,
        4,
    )


def test_reading_what_is_gone_says_so(stub: Any, moto: Cloud) -> None:
    values = struct({**inputs(moto), "group": "gone"})
    assert stub.Read(provider_pb2.ReadRequest(id="gone", urn=URN, type=TYPE, inputs=values)).id == ""


def test_reports_bad_inputs_by_name(stub: Any, moto: Cloud) -> None:
    request = provider_pb2.CheckRequest(urn=URN, type=TYPE, news=struct(inputs(moto, desired=-1)))
    assert [failure.property for failure in stub.Check(request).failures] == ["desired"]


def test_gives_a_detailed_difference(stub: Any, moto: Cloud) -> None:
    old = inputs(moto)
    new = {**old, "desired": 9, "expected": {"low": 8, "high": 8}}
    answer = stub.Diff(provider_pb2.DiffRequest(urn=URN, type=TYPE, old_inputs=struct(old), news=struct(new)))
    assert (answer.changes, list(answer.diffs), list(answer.replaces)) == (2, ["desired"], [])
    assert answer.detailedDiff["desired"].kind == provider_pb2.PropertyDiff.UPDATE
    same = stub.Diff(provider_pb2.DiffRequest(urn=URN, type=TYPE, old_inputs=struct(old), news=struct(old)))
    assert (same.changes, same.hasDetailedDiff) == (provider_pb2.DiffResponse.DIFF_NONE, True)


@pytest.mark.parametrize(("done", "value"), [(False, 4), (True, 8)])
def test_a_half_done_create_returns_its_id(
    moto: Cloud, executor: ScriptedObserver, monkeypatch: pytest.MonkeyPatch, *, done: bool, value: int
) -> None:
    moto.reset()
    values = inputs(moto)
    with FlakyProxy(moto.endpoint) as proxy:
        proxy.break_call("SetDesiredCapacity", done=done)
        for name, item in {**moto.environ, "AWS_ENDPOINT_URL": proxy.endpoint}.items():
            monkeypatch.setenv(name, item)
        server, port = start({"AWS_ENDPOINT_URL": proxy.endpoint})
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError) as caught:
            create(provider_pb2_grpc.ResourceProviderStub(channel), values)
        server.stop(0).wait()
    trailing = dict(caught.value.trailing_metadata())
    status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    failed = provider_pb2.ErrorResourceInitFailed()
    assert status.details[0].Unpack(failed)
    assert (failed.id, plain(failed.inputs)["desired"], len(failed.reasons)) == ("web-asg", 8, 1)
    assert (len(executor.before_), moto.desired("web-asg")) == (1, value)


def test_an_unknown_type_is_refused(stub: Any) -> None:
    with pytest.raises(grpc.RpcError, match="no resource type"):
        stub.Check(provider_pb2.CheckRequest(urn=URN, type="aws:s3:Bucket", news=struct({})))


def test_shakes_hands_and_describes_itself(stub: Any) -> None:
    assert not stub.Handshake(provider_pb2.ProviderHandshakeRequest(engine_address="x")).accept_secrets
    assert stub.Configure(provider_pb2.ConfigureRequest()).supportsPreview
    assert stub.GetPluginInfo(empty_pb2.Empty()).version == "0.1.0"
    assert TYPE in stub.GetSchema(provider_pb2.GetSchemaRequest()).schema
