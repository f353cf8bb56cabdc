"""The gRPC servicer: Pulumi's provider protocol around the guards of `knobs` and the cloud.

Rules kept here: Create adopts an existing resource and sets its field, Update sets it, Delete leaves the
cloud as it is, Read only reads. Before a call that changes the cloud the executor is asked over the action
socket; without its word nothing is called. A change whose confirmation failed is reported with its id
(`ErrorResourceInitFailed`), so that the engine keeps it. Every error reaches the engine, with its advice.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from typing import Any, Final, TypeVar

import grpc
from google.protobuf import any_pb2, empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from itmp.adapters.actions import ActionClient
from itmp.adapters.aws import Aws
from itmp.adapters.pulumi.kinds import Kind, kind_of
from itmp.errors import Error
from itmp.provider.knobs import Knob, check, difference
from itmp.provider.schema import SCHEMA, VERSION
from itmp.provider.turn import HalfDoneError, look, turn
from itmp.provider.values import plain, struct

_WORKERS: Final = 8
_ASK_SECONDS: Final = 60.0  # the answer is a look at what was approved, never a wait for people
_REGION: Final = 3  # arn:partition:service:region:account:…
_KINDS = provider_pb2.PropertyDiff.Kind
_Answer = TypeVar("_Answer")
_Method = Callable[[Any, Any, grpc.ServicerContext], _Answer]


def start(environ: Mapping[str, str]) -> tuple[grpc.Server, int]:
    """Return a server that listens on a free loopback port, and the port."""
    server = grpc.server(ThreadPoolExecutor(_WORKERS), options=[("grpc.so_reuseport", 0)])
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(environ), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def _translated(method: _Method[_Answer]) -> _Method[_Answer]:
    """Send every `Error` to the engine as this call's failure."""

    @wraps(method)
    def call(self: Any, request: Any, context: grpc.ServicerContext) -> _Answer:
        try:
            return method(self, request, context)
        except HalfDoneError as error:
            context.set_trailing_metadata((("grpc-status-details-bin", _half_done(error)),))
            context.abort(grpc.StatusCode.UNKNOWN, str(error))
        except Error as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        raise AssertionError("abort always raises")

    return call


def _half_done(error: HalfDoneError) -> bytes:
    inputs = struct(error.inputs)
    failed = provider_pb2.ErrorResourceInitFailed(
        id=error.resource, properties=inputs, inputs=inputs, reasons=[str(error)]
    )
    detail = any_pb2.Any()
    detail.Pack(failed)
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error), details=[detail])
    return bytes(status.SerializeToString())


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """Method names and messages are Pulumi's."""

    # ruff: noqa: N802, ARG002, D102 -- names and signatures are those of the generated base class

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._endpoint = environ.get("AWS_ENDPOINT_URL", "")
        self._regions: dict[str, Aws] = {}

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=False, accept_resources=False)

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetSchema(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.GetSchemaResponse(schema=SCHEMA)

    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.ConfigureResponse(
            acceptSecrets=False, supportsPreview=True, acceptResources=False
        )

    @_translated
    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:
        news = plain(request.news)
        failures = [
            provider_pb2.CheckFailure(property=name, reason=reason)
            for name, reason in check(_kind(request), news)
        ]
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    @_translated
    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:
        changed = difference(_kind(request), plain(request.old_inputs), plain(request.news))
        replaces = [name for name, other in changed.items() if other]
        kinds = {True: _KINDS.UPDATE_REPLACE, False: _KINDS.UPDATE}
        some, none = provider_pb2.DiffResponse.DIFF_SOME, provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(
            changes=some if changed else none,
            diffs=list(changed),
            replaces=replaces,
            detailedDiff={
                name: provider_pb2.PropertyDiff(kind=kinds[other], inputDiff=True)
                for name, other in changed.items()
            },
            hasDetailedDiff=True,
        )

    @_translated
    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:
        inputs = plain(request.properties)
        knob = Knob.parse(_kind(request), inputs)
        self._turn(knob, request, "create", inputs)
        return provider_pb2.CreateResponse(
            id="" if request.preview else knob.resource, properties=request.properties
        )

    @_translated
    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:
        inputs = plain(request.news)
        self._turn(Knob.parse(_kind(request), inputs), request, "update", inputs)
        return provider_pb2.UpdateResponse(properties=request.news)

    @_translated
    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:
        kind, inputs = _kind(request), plain(request.inputs)
        now = look(self._aws(inputs.get("arn", "")), kind, request.id)
        if now is None:
            return provider_pb2.ReadResponse()
        seen = struct({**inputs, "arn": now.arn, kind.target: now.value})
        return provider_pb2.ReadResponse(id=request.id, properties=seen, inputs=seen)

    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:
        return empty_pb2.Empty()

    def _turn(self, knob: Knob, request: Any, operation: str, inputs: Mapping[str, Any]) -> None:
        aws = self._aws(knob.arn)
        if request.preview:
            turn(aws, knob, inputs, ask=None)
            return
        with_executor = ActionClient.from_environment("provider", timeout=_ASK_SECONDS)
        try:
            turn(aws, knob, inputs, ask=lambda: with_executor.before(_action(request.urn, operation, knob)))
        finally:
            with_executor.close()

    def _aws(self, arn: str) -> Aws:
        parts = arn.split(":")
        region = parts[_REGION] if len(parts) > _REGION else ""
        return self._regions.setdefault(region, Aws(region=region, endpoint=self._endpoint))


def _kind(request: Any) -> Kind:
    return kind_of(request.type)


def _action(urn: str, operation: str, knob: Knob) -> dict[str, Any]:
    return {"id": urn, "host": urn, "action": operation, "after": {knob.kind.target: knob.target}}


__all__ = ["Provider", "start"]
