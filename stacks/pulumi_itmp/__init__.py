"""Resource classes for stacks: capacity knobs of resources that exist already.

Each adopts one field of a living cloud resource: creating the Pulumi resource sets the field, deleting it
leaves the cloud as it is. `expected` is the range in which the present value must lie right before the
call. The provider is `pulumi-resource-itmp`; this package imports nothing but the Pulumi SDK.
"""

from collections.abc import Mapping

import pulumi

VERSION = "0.1.0"


class AutoScalingGroupCapacity(pulumi.CustomResource):
    """The desired capacity of an Auto Scaling group, kept within the group's own minimum and maximum."""

    def __init__(
        self,
        name: str,
        *,
        group: str,
        arn: str,
        desired: int,
        expected: Mapping[str, int],
        allow_zero: bool = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare it. `expected` is `{low, high}`; `arn` pins account, region and the group itself."""
        properties = {
            "group": group,
            "arn": arn,
            "desired": desired,
            "expected": dict(expected),
            "allow_zero": allow_zero,
        }
        super().__init__("itmp:aws:AutoScalingGroupCapacity", name, properties, opts)


class EcsServiceCount(pulumi.CustomResource):
    """The desired count of an ECS service."""

    def __init__(
        self,
        name: str,
        *,
        cluster: str,
        service: str,
        arn: str,
        desired_count: int,
        expected: Mapping[str, int],
        allow_zero: bool = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare it. `expected` is `{low, high}`; `arn` pins account, region and the service itself."""
        properties = {
            "cluster": cluster,
            "service": service,
            "arn": arn,
            "desired_count": desired_count,
            "expected": dict(expected),
            "allow_zero": allow_zero,
        }
        super().__init__("itmp:aws:EcsServiceCount", name, properties, opts)


__all__ = ["VERSION", "AutoScalingGroupCapacity", "EcsServiceCount"]
