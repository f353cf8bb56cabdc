"""Published leaves: as many as were asked for, from whichever bundle is there, and a bundle that is not is named."""

import pytest

from itmp.audit.published import bundled
from itmp.audit.tiles import ENTRIES, WIDTH, Tile, encode_bundle
from itmp.errors import EvidenceInvalidError

LEAVES = [b"leaf %d" % n for n in range(2 * WIDTH)]


class Files(dict[str, bytes]):
    """Files by path."""

    def get(self, path: str, _limit: int) -> bytes | None:  # type: ignore[override]
        """Return the content."""
        return super().get(path)


def bundle(n: int, width: int = WIDTH) -> tuple[str, bytes]:
    return Tile(level=ENTRIES, n=n, width=width).path, encode_bundle(LEAVES[n * WIDTH :][:width])


def test_a_partial_bundle_may_have_given_way_to_the_full_one() -> None:
    for second in (bundle(1), bundle(1, 5)):
        assert list(bundled(Files([bundle(0), second]), WIDTH + 5)) == LEAVES[: WIDTH + 5]


def test_a_bundle_that_is_missing_or_cut_is_named_with_where_it_lies() -> None:
    path, data = bundle(1)
    for files in (Files([bundle(0)]), Files([bundle(0), (path, data[:-1])])):
        with pytest.raises(EvidenceInvalidError) as error:
            list(bundled(files, 2 * WIDTH, within="--log "))
        assert error.value.where == f"--log {path}"
