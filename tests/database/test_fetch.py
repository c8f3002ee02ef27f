"""`Database.fetch` reads by a lease in one step, with the protections of the other readers."""

from __future__ import annotations

import asyncio

import pytest
from conftest import Open
from sqlalchemy import event, func, select
from support.leases import connect, slow_statement, sum_statement, taken
from support.outages import execute, terminate_backends
from support.waiting import eventually

from tallied.database import Database
from tallied.errors import Busy

POSTGRESQL = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)

ACTIVE = (
    "SELECT count(*) FROM pg_stat_activity WHERE query ~ 'pg_sleep' AND pid <> pg_backend_pid()"
)


async def fetch_sum(database: Database) -> int:
    ((total,),) = await database.fetch(sum_statement(database), {"number": 2})
    return int(total)


@POSTGRESQL
async def test_fetch_runs_again_after_lease_is_lost(database: Database) -> None:
    await connect(database)
    assert await fetch_sum(database) == 42
    url = database.url.render_as_string(False)
    task = asyncio.create_task(database.fetch(database.compile(select(func.pg_sleep(0.7))), {}))
    await eventually(lambda: execute(url, ACTIVE) == [(1,)])
    terminate_backends(url)
    assert len(await task) == 1
    assert taken(database.engine) == database._leases.count == 1


async def test_cancelled_fetch_ends_statement(database: Database) -> None:
    await connect(database)
    task = asyncio.create_task(database.fetch(slow_statement(database), {}))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 10)
    await eventually(lambda: taken(database.engine) == database._leases.count == 0)
    assert await fetch_sum(database) == 42


async def test_dispose_waits_for_fetch(database: Database) -> None:
    await connect(database)
    task = asyncio.create_task(fetch_sum(database))
    await asyncio.sleep(0)
    await database.dispose()
    assert task.done()
    assert task.result() == 42
    assert database._leases.count == 0


async def test_fetch_without_lease_ends_as_busy(with_tables: None, open_database: Open) -> None:
    database = open_database(pool_size=3, patience=0.2)
    await connect(database)
    async with database.rows():
        with pytest.raises(Busy):
            await fetch_sum(database)
    assert await fetch_sum(database) == 42


@pytest.mark.parametrize("variant", ["engine", "reader"])
async def test_listener_sees_fetched_statement(database: Database, variant: str) -> None:
    await connect(database)
    engine = getattr(database, variant).sync_engine
    statements: list[str] = []

    def listen(conn: object, cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    assert await fetch_sum(database) == 42
    event.listen(engine, "before_cursor_execute", listen)
    assert await fetch_sum(database) == 42
    event.remove(engine, "before_cursor_execute", listen)
    assert await fetch_sum(database) == 42
    assert len(statements) == 1
