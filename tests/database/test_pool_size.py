"""The size of the connection pool is fixed by a setting."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
from conftest import Open
from sqlalchemy import AsyncAdaptedQueuePool, text
from support.rows import fetch_value

from tallied.database import Database
from tallied.discussion import Discussion
from tallied.errors import Busy, ConfigurationError
from tallied.migrations.opener import open_database
from tallied.settings import Settings


def size_of(database: Database) -> int:
    pool = database.engine.sync_engine.pool
    assert isinstance(pool, AsyncAdaptedQueuePool)
    return pool.size()


@pytest.mark.parametrize(
    ("options", "size"), [({"pool_size": 3}, 3), ({"pool_size": 1, "max_overflow": 0}, 1)]
)
async def test_exhausted_pool_is_busy_database(
    open_database: Open, options: dict[str, int], size: int
) -> None:
    database = open_database(patience=0.1, **options)
    async with AsyncExitStack() as stack:
        for _ in range(size):
            connection = await stack.enter_async_context(database.read())
            await connection.execute(text("SELECT 7"))
        with pytest.raises(Busy, match="send the same request again"):
            await stack.enter_async_context(database.read())
        with pytest.raises(Busy, match="send the same request again"):
            await database.write(lambda unit: unit.session.execute(text("SELECT 1")))
    assert await fetch_value(database, text("SELECT 7")) == 7


async def test_setting_is_size_everywhere(empty_url: str) -> None:
    settings = Settings.from_environ({"TALLIED_DATABASE": empty_url, "TALLIED_POOL_SIZE": "5"})
    discussion = Discussion(settings=settings)
    assert size_of(discussion.database) == 5
    await discussion.database.dispose()
    async with open_database(settings) as database:
        assert size_of(database) == 5


async def test_database_in_memory_has_no_pool_to_size() -> None:
    database = Database("sqlite+aiosqlite://", pool_size=7)
    assert await fetch_value(database, text("SELECT 7")) == 7
    await database.dispose()


@pytest.mark.parametrize("size", ["1", "1001", "many"])
def test_size_out_of_range_is_refused(size: str) -> None:
    with pytest.raises(ConfigurationError, match=r"POOL_SIZE.* a whole number from 2 to 1000"):
        Settings.from_environ({"TALLIED_POOL_SIZE": size})
