"""Capacity knobs from configuration: `knobs` is a list, one entry per adjusted resource.

Each entry holds `id`, `knob` (aws:autoscaling:Group or aws:ecs:Service), `name` (a group's name, or
cluster/service), `arn`, `to`, `low` and `high` (where the value must lie before the change) and `allow_zero`.
"""

import pulumi
from pulumi_itmp import AutoScalingGroupCapacity, EcsServiceCount

for entry in pulumi.Config().require_object("knobs"):
    expected = {"low": entry["low"], "high": entry["high"]}
    allow_zero = entry.get("allow_zero", False)
    match entry["knob"]:
        case "aws:autoscaling:Group":
            AutoScalingGroupCapacity(
                entry["id"],
                group=entry["name"],
                arn=entry["arn"],
                desired=entry["to"],
                expected=expected,
                allow_zero=allow_zero,
            )
        case "aws:ecs:Service":
            cluster, _, service = entry["name"].partition("/")
            EcsServiceCount(
                entry["id"],
                cluster=cluster,
                service=service,
                arn=entry["arn"],
                desired_count=entry["to"],
                expected=expected,
                allow_zero=allow_zero,
            )
        case other:
            message = f"knobs: {entry['id']}: no knob {other!r}"
            raise pulumi.RunError(message)
