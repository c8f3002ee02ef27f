"""Checks of engines: idle transactions, and the connections and version of SQLite."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import create_async_engine

from tallied.checks import check
from tallied.database import Database
from tallied.settings import Settings

SETTINGS = Settings(playground=False, environment="development", guests="write")


async def find(database: Database) -> dict[str, str]:
    """Return the sentences of the findings by their ids."""
    return {finding.id: finding.sentence for finding in await check(database, SETTINGS)}


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_hosts_engine_without_idle_timeout_is_warning(database: Database) -> None:
    assert await find(database) == {}
    engine = create_async_engine(database.url)
    assert list(await find(Database(engine))) == ["tallied.W019"]
    await engine.dispose()
    settings = {"idle_in_transaction_session_timeout": "30s"}
    engine = create_async_engine(database.url, connect_args={"server_settings": settings})
    assert await find(Database(engine)) == {}
    await engine.dispose()


@pytest.mark.sqlite
async def test_sqlite_without_foreign_keys_is_reported(migrated: Database) -> None:
    engine = create_async_engine(migrated.url)
    async with engine.connect():
        pass  # so that the pool has a connection that was opened before Database took over
    host = Database(engine)
    try:
        assert list(await find(host)) == ["tallied.E016"]
    finally:
        await engine.dispose()
    assert await find(host) == {}, "the connections since then do"
    await engine.dispose()


@pytest.mark.sqlite
async def test_sqlite_without_wal_is_reported(migrated: Database) -> None:
    await migrated.dispose()  # whose connections are open, and hold the journal
    engine = create_async_engine(migrated.url)
    async with engine.connect() as connection:
        await connection.execute(text("PRAGMA journal_mode = DELETE"))
    await engine.dispose()
    host = Database(engine)
    sentences = await find(host)
    assert list(sentences) == ["tallied.W014"]
    assert "not a write-ahead log" in sentences["tallied.W014"]
    async with engine.connect() as connection:
        await connection.execute(text("PRAGMA journal_mode = WAL"))
    assert await find(host) == {}, "the file keeps it"
    await engine.dispose()


@pytest.mark.sqlite
async def test_sqlite_without_returning(migrated: Database) -> None:
    await migrated.dispose()

    @event.listens_for(migrated.engine.sync_engine, "connect")
    def older(connection: Any, record: object) -> None:
        # The database itself says so: its function is replaced.
        connection.run_async(lambda c: c.create_function("sqlite_version", 0, lambda: "3.34.1"))

    sentences = await find(migrated)
    assert list(sentences) == ["tallied.E017"]
    assert "SQLite 3.34.1" in sentences["tallied.E017"]
