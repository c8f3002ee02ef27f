"""The API over a fresh database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from support.api import Api

from tallied.database import Database


@pytest.fixture
async def api(database: Database) -> AsyncIterator[Api]:
    """A client of the API over a fresh database."""
    api = Api(database)
    yield api
    await api.http.aclose()
