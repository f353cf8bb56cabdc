"""Which hosts a start names: what a person asks for narrows a plan's hosts and never widens them.

Rules kept here: everything that a person asks of a resume stands in the `limit` line that they sign: `!HOST` for a host
that is gone on without, `+STATE` for hosts that are tried again. What the line selects is compared with what was meant
before anybody signs it. A list that is given and names nothing is refused: it never means all.
"""

import glob
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase

from itmp.change import RunRecord, retries, select
from itmp.errors import InvalidInputError
from itmp.plan import Plan, targets


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A `limit` line read back: the `hosts` of the start (none: all), who is skipped, whose states are tried again."""

    line: str
    hosts: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    retry: tuple[str, ...] = ()


def chosen_hosts(plan: Plan, limit: str | None) -> tuple[str, ...]:
    """Resolve a limit's names and globs against the plan's hosts; it may only narrow."""
    if limit is None:
        return ()
    hosts, wanted = targets(plan.manifest), names(limit)
    for pattern in wanted:
        if not any(fnmatchcase(host, pattern) for host in hosts):
            raise InvalidInputError(
                f"no host of the plan matches {pattern!r:.60}", do="See its hosts: itmp show PLAN"
            )
    return tuple(host for host in hosts if any(fnmatchcase(host, pattern) for pattern in wanted))


def names(text: str) -> tuple[str, ...]:
    """Return the words of a list that is divided by commas; `InvalidInputError` when it has none."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found:
        raise InvalidInputError(
            f"a list of hosts or states is given that names none: {text!r:.40}",
            do="Name them, or leave the option out; an unset shell variable gives an empty list.",
        )
    return found


def refuse_empty(*, skip: Collection[str], retry: Collection[str]) -> None:
    """Raise `InvalidInputError` when a word of a resume names nothing."""
    for word in (*skip, *retry):
        names(word)


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


def read_limit(plan: Plan, line: str, kept: tuple[str, ...] = ()) -> Limit:
    """Read a signed `limit` line; `kept` is the limit under which the run began, for a resume (none: all hosts).

    Raises `InvalidInputError` for a line that selects no host of a plan that has some.
    """
    everyone = targets(plan.manifest)
    inventory = plan.manifest.inventory
    for word in names(line) if line else ():
        names(word.lstrip("!+"))
    groups = {host.name: host.groups for host in inventory.hosts} if inventory else {}
    hosts = everyone if line in {"", "-"} else tuple(select(line, everyone, groups))
    if everyone and not hosts:
        raise InvalidInputError(
            f"limit {line!r:.80} selects none of the plan's hosts", do="See its hosts: itmp show PLAN"
        )
    return Limit(
        line=line or "-",
        hosts=() if hosts == everyone else hosts,
        skip=tuple(host for host in kept or everyone if host not in hosts),
        retry=tuple(sorted(retries(line))) if line else (),
    )
