"""Which hosts a start names: what a person asks for narrows a plan's hosts and never widens them."""

from fnmatch import fnmatchcase

from itmp.change import RunRecord
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
