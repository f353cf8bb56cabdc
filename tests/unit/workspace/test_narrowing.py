"""A signed `limit` line says what was meant: written and read back, for every choice of hosts, skips and retries."""

from itertools import chain, combinations, product

import pytest

from itmp.errors import InvalidInputError
from itmp.testing.small_plans import ansible, hosts, plan
from itmp.workspace.narrowing import limit_line, read_limit

THREE = hosts(3)
PLAN = plan([ansible("one", THREE)])
STATES = ((), ("failed",), ("failed", "unreachable"))


def subsets(names: tuple[str, ...]) -> list[tuple[str, ...]]:
    return list(chain.from_iterable(combinations(names, size) for size in range(len(names) + 1)))


def test_what_is_written_is_read_back() -> None:
    for kept, skip, retry in product(subsets(THREE), subsets(THREE), STATES):
        left = [host for host in kept or THREE if host not in skip]
        if not left:
            continue
        line = limit_line(PLAN, kept, skip=skip, retry=retry)
        read = read_limit(PLAN, line, kept)
        assert list(read.hosts or THREE) == left, line
        assert set(read.skip) == set(skip) & set(kept or THREE), line
        assert (read.retry, read.line) == (retry, line)


def test_a_line_that_selects_nothing_is_refused() -> None:
    for line in ("nobody", "!*", f"{THREE[0]},!{THREE[0]}"):
        with pytest.raises(InvalidInputError, match="selects none"):
            read_limit(PLAN, line)
    assert read_limit(PLAN, "-").hosts == read_limit(PLAN, "").hosts == ()
