"""Someone else, who changes the database of a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine
from support.sessions import sync_engine


@pytest.fixture
def someone_else(empty_url: str) -> Iterator[Engine]:
    """An engine with a blocking driver for the database of the test."""
    engine = sync_engine(empty_url)
    yield engine
    engine.dispose()
