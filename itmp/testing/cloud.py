"""A cloud double on loopback: moto's server in a child process, for tests, the demo and benchmarks.

It is lenient where AWS is not (it accepts a desired capacity above a group's maximum): no guard of ours may
rest on it. The child ends when `stop` is called or this process ends, because it reads our end of a pipe.
"""

import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

from itmp.errors import ToolMissingError

REGION: Final = "us-east-1"
_SERVE: Final = """
import logging, os, sys
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
os._exit(0)
"""
_SECONDS: Final = 10


class Cloud:
    """One moto server with its own empty account; a context manager."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-I", "-c", _SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        line = self._child.stdout.readline() if self._child.stdout else ""
        if not line.strip():
            self.stop()
            raise ToolMissingError("moto's server did not start", do="Install the development requirements.")
        self.endpoint = f"http://127.0.0.1:{int(line)}"
        self._clients: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def environ(self) -> Mapping[str, str]:
        """Environment variables with which any AWS client reaches this double."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def reset(self) -> None:
        """Forget every resource."""
        request = urllib.request.Request(f"{self.endpoint}/moto-api/reset", method="POST")  # noqa: S310 -- loopback
        with urllib.request.urlopen(request, timeout=_SECONDS):  # noqa: S310 -- loopback
            pass

    def stop(self) -> None:
        """End the child."""
        with suppress(OSError):
            if self._child.stdin:
                self._child.stdin.close()
        try:
            self._child.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        if self._child.stdout:
            self._child.stdout.close()

    def client(self, service: str) -> Any:
        """Return a botocore client of the double."""
        if service not in self._clients:
            self._clients[service] = self._open(service)
        return self._clients[service]

    def _open(self, service: str) -> Any:
        from botocore.session import get_session  # noqa: PLC0415 -- an extra

        return get_session().create_client(
            service,
            region_name=REGION,
            endpoint_url=self.endpoint,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",  # noqa: S106 -- what moto expects from anybody
        )

    def group(self, name: str, *, desired: int, floor: int = 0, ceiling: int = 20) -> str:
        """Create an Auto Scaling group; return its ARN."""
        autoscaling = self.client("autoscaling")
        with suppress(autoscaling.exceptions.AlreadyExistsFault):
            autoscaling.create_launch_configuration(
                LaunchConfigurationName="lc", ImageId="ami-12c6146b", InstanceType="t3.micro"
            )
        autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=name,
            LaunchConfigurationName="lc",
            MinSize=floor,
            MaxSize=ceiling,
            DesiredCapacity=desired,
            AvailabilityZones=[f"{REGION}a"],
        )
        found = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])
        return str(found["AutoScalingGroups"][0]["AutoScalingGroupARN"])

    def service(self, cluster: str, name: str, *, desired: int) -> str:
        """Create an ECS cluster and service; return the service's ARN."""
        ecs = self.client("ecs")
        ecs.create_cluster(clusterName=cluster)
        ecs.register_task_definition(
            family=name, containerDefinitions=[{"name": name, "image": "busybox", "memory": 64}]
        )
        made = ecs.create_service(
            cluster=cluster, serviceName=name, taskDefinition=name, desiredCount=desired
        )
        return str(made["service"]["serviceArn"])

    def desired(self, group: str) -> int:
        """Return a group's desired capacity."""
        found = self.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[group])
        return int(found["AutoScalingGroups"][0]["DesiredCapacity"])

    def set_desired(self, group: str, value: int) -> None:
        """Change a group behind everybody's back."""
        self.client("autoscaling").set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=value)

    def set_limits(self, group: str, floor: int, ceiling: int) -> None:
        """Change a group's own limits."""
        self.client("autoscaling").update_auto_scaling_group(
            AutoScalingGroupName=group, MinSize=floor, MaxSize=ceiling
        )

    def set_count(self, cluster: str, service: str, value: int) -> None:
        """Change a service behind everybody's back."""
        self.client("ecs").update_service(cluster=cluster, service=service, desiredCount=value)

    def count(self, cluster: str, service: str) -> int:
        """Return a service's desired count."""
        found = self.client("ecs").describe_services(cluster=cluster, services=[service])
        return int(found["services"][0]["desiredCount"])


__all__ = ["REGION", "Cloud"]
