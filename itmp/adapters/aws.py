"""AWS capacity, read and set: the present values that a plan rests on, and the one call that changes each.

Rules kept here: credentials come only from the AWS environment or profile; region and endpoint are
arguments. Nothing is created and nothing is deleted. AWS offers no compare-and-set for these fields: the
caller compares right before `write`, and what lies between is the width of one call. Every AWS error
becomes an `Error` that says what to do; none is swallowed.
"""

import importlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from itmp.errors import InvalidInputError, NotFoundError, ToolMissingError

GROUP: Final = "aws:autoscaling:Group"
SERVICE: Final = "aws:ecs:Service"
FIELDS: Final[Mapping[str, str]] = {GROUP: "desired", SERVICE: "desired_count"}
"""The knobs and the one field of each that may be adjusted."""

CONNECT_SECONDS: Final = 5
READ_SECONDS: Final = 20
_ATTEMPTS: Final = 3
_ABSENT: Final = frozenset(
    {"ClusterNotFoundException", "ServiceNotFoundException", "ServiceNotActiveException"}
)


class CloudError(InvalidInputError):
    """AWS refused the call, or cannot be reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What AWS says now: `value` is the adjustable field, `floor`..`ceiling` what the resource itself allows.

    `arn` names account and region, and changes when a resource is replaced by another of the same name.
    `ceiling` is `None` where AWS sets no limit.
    """

    value: int
    floor: int
    ceiling: int | None
    arn: str


class Aws:
    """One account and region. Clients are opened at first use and serve several threads."""

    def __init__(self, *, region: str = "", endpoint: str = "") -> None:
        self._region, self._endpoint = region, endpoint
        self._clients: dict[str, Any] = {}
        self._opening = threading.Lock()

    def read(self, knob: str, resource: str) -> Capacity:
        """Return the present capacity of `resource`: a group's name, or `cluster/service`."""
        match knob:
            case "aws:autoscaling:Group":
                return self._group(resource)
            case "aws:ecs:Service":
                return self._service(*service_id(resource))
        raise InvalidInputError(f"no knob {knob!r:.60}", do=f"Known: {', '.join(FIELDS)}.")

    def write(self, knob: str, resource: str, value: int) -> None:
        """Set the field of `resource` to `value`. Repeating the call with the same value changes nothing."""
        match knob:
            case "aws:autoscaling:Group":
                self._call(
                    "autoscaling",
                    "set_desired_capacity",
                    AutoScalingGroupName=resource,
                    DesiredCapacity=value,
                )
            case "aws:ecs:Service":
                cluster, service = service_id(resource)
                self._call("ecs", "update_service", cluster=cluster, service=service, desiredCount=value)
            case _:
                raise InvalidInputError(f"no knob {knob!r:.60}", do=f"Known: {', '.join(FIELDS)}.")

    def _group(self, name: str) -> Capacity:
        found = self._call("autoscaling", "describe_auto_scaling_groups", AutoScalingGroupNames=[name])
        groups = found["AutoScalingGroups"]
        if len(groups) != 1:
            raise self._missing("Auto Scaling group", name)
        group = groups[0]
        return Capacity(
            value=group["DesiredCapacity"],
            floor=group["MinSize"],
            ceiling=group["MaxSize"],
            arn=group["AutoScalingGroupARN"],
        )

    def _service(self, cluster: str, service: str) -> Capacity:
        found = self._call("ecs", "describe_services", cluster=cluster, services=[service])
        active = [item for item in found["services"] if item["status"] == "ACTIVE"]
        if len(active) != 1:
            raise self._missing("ECS service", f"{cluster}/{service}")
        return Capacity(value=active[0]["desiredCount"], floor=0, ceiling=None, arn=active[0]["serviceArn"])

    def _missing(self, kind: str, name: str) -> NotFoundError:
        place = self._region or "the configured region"
        return NotFoundError(
            f"no {kind} {name!r:.120} in {place}", do="Check the name, the region and the account."
        )

    def _call(self, service: str, operation: str, /, **arguments: Any) -> Mapping[str, Any]:
        exceptions = _botocore("exceptions")
        try:
            answer: Mapping[str, Any] = getattr(self._client(service), operation)(**arguments)
        except exceptions.ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            where = f"aws {service} {operation}"
            if code in _ABSENT:
                raise NotFoundError(
                    str(error), where=where, do="Check the name, the region and the account."
                ) from error
            raise CloudError(
                str(error), where=where, do="Check permissions and the resource's limits."
            ) from error
        except (exceptions.BotoCoreError, OSError) as error:
            raise CloudError(
                str(error),
                where=f"aws {service} {operation}",
                do="Check AWS_PROFILE or the AWS_ACCESS_KEY_ID variables, the region and the endpoint.",
            ) from error
        return answer

    def _client(self, service: str) -> Any:
        with self._opening:
            if service not in self._clients:
                self._clients[service] = self._open(service)
            return self._clients[service]

    def _open(self, service: str) -> Any:
        config = _botocore("config").Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        )
        return (
            _botocore("session")
            .get_session()
            .create_client(
                service, region_name=self._region or None, endpoint_url=self._endpoint or None, config=config
            )
        )


def service_id(text: str) -> tuple[str, str]:
    """Split `cluster/service`."""
    cluster, slash, service = text.partition("/")
    if not (cluster and slash and service) or "/" in service:
        raise InvalidInputError(f"not an ECS service: {text!r:.120}", do="Write it as cluster/service.")
    return cluster, service


def _botocore(module: str) -> Any:
    try:
        return importlib.import_module(f"botocore.{module}")
    except ImportError as error:
        raise ToolMissingError(
            "the AWS client is not installed", do="Run `pip install 'itmp[aws]'`."
        ) from error


__all__ = ["FIELDS", "GROUP", "SERVICE", "Aws", "Capacity", "CloudError", "service_id"]
