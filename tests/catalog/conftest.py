"""What the catalog's tests share is asserted there as well: have pytest show the values."""

import pytest

pytest.register_assert_rewrite("yard")
