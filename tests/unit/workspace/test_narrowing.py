"""A signed `limit` line says what was meant: written and read back, for every choice of hosts, skips and retries."""

from itertools import chain, combinations, product

import pytest

from itmp.errors import InvalidInputError
from itmp.testing.small_plans import ansible, hosts, plan
from itmp.workspace.events import watcher
from itmp.workspace.narrowing import chosen_hosts, limit_line, read_limit, refuse_empty
from itmp.workspace.starting import Asked

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


@pytest.mark.parametrize("nothing", ["", " ", ",", " , ,"])
def test_a_list_that_names_nothing_never_means_all(nothing: str) -> None:
    """An unset shell variable: `--limit "$WHERE"`."""
    with pytest.raises(InvalidInputError, match="names none"):
        chosen_hosts(PLAN, nothing)
    for skip, retry in (((THREE[0], nothing), ()), ((), (nothing,))):
        with pytest.raises(InvalidInputError, match="names none"):
            refuse_empty(skip=skip, retry=retry)
    recorded = Asked(key=None, recorded=True, patience=0.0, progress=watcher(None))
    with pytest.raises(InvalidInputError, match="recorded statement"):
        recorded.refuse_words(nothing)
    recorded.refuse_words(None, ())


@pytest.mark.parametrize("line", [" ", ",", "!", f"{THREE[0]},!", "+"])
def test_a_signed_line_with_a_word_that_names_nothing_is_refused(line: str) -> None:
    with pytest.raises(InvalidInputError, match="names none"):
        read_limit(PLAN, line)
