"""Which hosts a start names: what a person asks for narrows a plan's hosts and never widens them.

Rules kept here: everything that a person asks of a resume stands in the `limit` line that they sign: `!HOST` for a host
that is gone on without, `+STATE` for hosts that are tried again. What the line selects is compared with what was meant
before anybody signs it.
"""

import glob
from collections.abc import Collection
from fnmatch import fnmatchcase

from itmp.change import RunRecord, select
from itmp.errors import InvalidInputError
from itmp.plan import Plan, targets


def chosen_hosts(plan: Plan, limit: str | None) -> tuple[str, ...]:
    """Resolve a limit's names and globs against the plan's hosts; it may only narrow."""
    if limit is None:
        return ()
    hosts = targets(plan.manifest)
    wanted = [part.strip() for part in limit.split(",") if part.strip()]
    for pattern in wanted:
        if not any(fnmatchcase(host, pattern) for host in hosts):
            raise InvalidInputError(
                f"no host of the plan matches {pattern!r:.60}", do="See its hosts: itmp show PLAN"
            )
    return tuple(host for host in hosts if any(fnmatchcase(host, pattern) for pattern in wanted))


def kept_limit(plan: Plan, dead: RunRecord) -> tuple[str, ...]:
    """Return the limit under which a run began, so that taking it up never widens it; empty for none."""
    limit = tuple(dead.permits[0].body["limit"])
    return limit if set(limit) != set(targets(plan.manifest)) else ()


def limit_line(
    plan: Plan, hosts: tuple[str, ...], *, skip: Collection[str] = (), retry: Collection[str] = ()
) -> str:
    """Return the `limit` line of a start on `hosts` (none: all of the plan's) without `skip`, trying `retry` again."""
    away = [f"!{glob.escape(host)}" for host in sorted(skip)]
    line = ",".join([*map(glob.escape, hosts), *away, *(f"+{state}" for state in sorted(retry))])
    inventory, everyone = plan.manifest.inventory, targets(plan.manifest)
    groups = {host.name: host.groups for host in inventory.hosts} if inventory else {}
    meant = [host for host in everyone if host in (hosts or everyone) and host not in skip]
    if list(select(line, everyone, groups)) != meant:
        raise InvalidInputError(
            "a name among these hosts is also that of a group, or no limit can name it",
            do="Name hosts that no group is called like.",
        )
    return line or "-"
