"""What SQLite keeps is bounded: its write-ahead log after a burst of changes, and its pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tallied.database import Database, UnitOfWork
from tallied.database.sqlite import CACHE_SIZE, WAL_SIZE


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/forum.db")
    yield database
    await database.dispose()


async def execute(database: Database, statement: str) -> None:
    async def work(unit: UnitOfWork) -> None:
        await unit.session.execute(text(statement))

    await database.write(work)


async def test_connections_keep_few_pages(database: Database) -> None:
    """SQLite would keep 2,000 KiB for each."""
    for engine in (database.plain, database.engine):
        async with engine.connect() as connection:
            size = await connection.scalar(text("PRAGMA cache_size"))
        assert size == -CACHE_SIZE


async def test_log_shrinks_after_burst(database: Database, tmp_path: Path) -> None:
    """Also where a reader has kept SQLite from using the log again meanwhile.

    It writes 72 MB twice, to the log and to the file, which takes a second.
    """
    log = tmp_path / "forum.db-wal"
    await execute(database, "CREATE TABLE burst (id INTEGER PRIMARY KEY, content BLOB)")
    await execute(database, "INSERT INTO burst VALUES (3, zeroblob(7))")
    async with database.plain.connect() as reader:
        await reader.execute(text("BEGIN"))
        await reader.execute(text("SELECT * FROM burst"))
        await execute(database, f"INSERT INTO burst VALUES (4, zeroblob({WAL_SIZE + 2**23}))")
        assert log.stat().st_size > WAL_SIZE + 2**23
    for size in (8, 9):  # One has the log copied into the file; the next one begins it anew.
        await execute(database, f"UPDATE burst SET content = zeroblob({size}) WHERE id = 3")
    assert log.stat().st_size <= WAL_SIZE


@pytest.mark.slow
async def test_constant_readers_do_not_let_log_grow(database: Database, tmp_path: Path) -> None:
    """Each reads for a moment, and there is always one: SQLite still comes to the log's end."""
    log = tmp_path / "forum.db-wal"
    await execute(database, "CREATE TABLE burst (id INTEGER PRIMARY KEY, content BLOB)")
    await execute(database, "INSERT INTO burst VALUES (3, zeroblob(7))")
    done = asyncio.Event()

    async def read() -> None:
        while not done.is_set():
            async with database.read() as connection:
                await connection.execute(text("SELECT sum(length(content)) FROM burst"))

    readers = [asyncio.ensure_future(read()) for _ in range(8)]
    sizes = []
    for number in range(60):  # 400 kB each: 24 MB in all
        await execute(database, f"UPDATE burst SET content = zeroblob(400000 + {number})")
        sizes.append(log.stat().st_size)
    done.set()
    await asyncio.gather(*readers)
    assert max(sizes) < 12e6, sizes
