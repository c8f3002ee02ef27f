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


@pytest.fixture(params=["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
async def strict(
    database: Database, empty_url: str, request: pytest.FixtureRequest
) -> AsyncIterator[Database]:
    """The database at each of the isolation levels that it has."""
    if database.is_sqlite:
        if request.param != "SERIALIZABLE":
            pytest.skip("SQLite is always serializable")
        yield database
        return
    strict = Database(empty_url, isolation_level=request.param)
    yield strict
    await strict.dispose()
