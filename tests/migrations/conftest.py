"""Databases of earlier revisions."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from alembic import command

from tallied.database import Database
from tallied.migrations import runner


@pytest.fixture
async def old(empty_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """A database at the revision `BEFORE` of the test's module, with the rows of its `fill`."""
    database = Database(empty_url, patience=0.5)
    before = request.module.BEFORE
    await runner._run(database, lambda config, _: command.upgrade(config, before))
    async with database.engine.begin() as connection:
        await connection.run_sync(request.module.fill)
    yield database
    await database.dispose()
