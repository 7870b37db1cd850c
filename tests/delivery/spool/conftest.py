"""No test leaves a database open behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.delivery.spool.support import close_all


@pytest.fixture(autouse=True)
def _closed_in_the_end() -> Iterator[None]:
    yield
    close_all()
