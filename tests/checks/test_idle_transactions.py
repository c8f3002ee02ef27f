"""The check that the engine of a host ends idle transactions."""

from __future__ import annotations

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from tallied.checks import check
from tallied.database import Database
from tallied.settings import Settings

SETTINGS = Settings(playground=False, environment="development", guests="write")


async def findings(database: Database) -> list[str]:
    """Return the ids of what is wrong with the database."""
    return [finding.id for finding in await check(database, SETTINGS)]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_hosts_engine_without_idle_timeout_is_warning(database: Database) -> None:
    assert await findings(database) == []
    engine = create_async_engine(database.url)
    assert await findings(Database(engine)) == ["tallied.W019"]
    await engine.dispose()
    settings = {"idle_in_transaction_session_timeout": "30s"}
    engine = create_async_engine(database.url, connect_args={"server_settings": settings})
    assert await findings(Database(engine)) == []
    await engine.dispose()
