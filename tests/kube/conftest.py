from __future__ import annotations

from collections.abc import Iterator

import pytest

from .double import Double, api_double


@pytest.fixture
def double() -> Iterator[Double]:
    with api_double() as server:
        yield server
