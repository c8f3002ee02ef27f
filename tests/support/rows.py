"""Rows of a database, changed and counted past the API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import func, select, text

from tallied.database import Database, UnitOfWork
from tallied.models import Thread
from tallied.models.counters import counters


async def count_rows(database: Database, model: Any = Thread, *where: Any) -> int:
    """Return the number of rows of a model, by default the number of threads."""
    query = select(func.count()).select_from(model).where(*where)
    count: int = await fetch_value(database, query)
    return count


async def fetch(database: Database, query: Any) -> list[Any]:
    """Return the rows of a query."""
    async with database.read() as connection:
        return list(await connection.execute(query))


async def fetch_values(database: Database, query: Any) -> list[Any]:
    """Return the first column of the rows of a query."""
    return [row[0] for row in await fetch(database, query)]


async def fetch_value(database: Database, query: Any) -> Any:
    """Return the one value of a query."""
    (value,) = await fetch_values(database, query)
    return value


async def find_drifts(database: Database) -> list[Any]:
    """Return the counters that are wrong."""
    async with database.read() as connection:
        return await connection.run_sync(lambda sync: list(counters.verify(sync)))


async def store(database: Database, *rows: Any) -> None:
    """Add rows in one unit of work."""

    async def work(unit: UnitOfWork) -> None:
        unit.session.add_all(rows)

    await database.write(work)


async def add_threads(unit: UnitOfWork, number: int = 1) -> list[Thread]:
    """Add threads without comments, and flush them."""
    threads = [Thread(title=f"Thread {n}") for n in range(number)]
    unit.session.add_all(threads)
    await unit.session.flush()
    return threads


async def execute(database: Database, *statements: Any) -> None:
    """Execute statements, which may be strings, in a transaction of their own."""
    async with database.engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement) if isinstance(statement, str) else statement)


async def run_sync(database: Database, function: Any) -> None:
    """Run a function of a connection in a transaction of its own."""
    async with database.engine.begin() as connection:
        await connection.run_sync(function)


@asynccontextmanager
async def locked(database: Database, *keys: tuple[type[Any], Any]) -> AsyncIterator[None]:
    """Hold these rows in another transaction; on SQLite, none."""
    async with database.engine.connect() as connection:
        for model, id in () if database.is_sqlite else keys:
            await connection.execute(select(model.id).where(model.id == id).with_for_update())
        yield
        await connection.rollback()


@asynccontextmanager
async def writing(database: Database) -> AsyncIterator[None]:
    """Hold a transaction open that has written, by a connection of the pool."""
    entered, leave = asyncio.Event(), asyncio.Event()

    async def hold(unit: UnitOfWork) -> None:
        await add_threads(unit, 1)
        entered.set()
        await leave.wait()

    holder = asyncio.ensure_future(database.write(hold))
    await entered.wait()
    yield
    leave.set()
    await holder
