"""Reads share leased connections, which leave the pool for as long as there is work."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack

import pytest
from conftest import Open
from sqlalchemy import NullPool, String, bindparam, event, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from support.leases import (
    connect,
    kind,
    slow_statement,
    sum_statement,
    taken,
    thread_statement,
    uses_engine,
)
from support.outages import execute, terminate_backends
from support.rows import add_threads
from support.statements import recorded
from support.waiting import eventually

from tallied.database import Database, lease, leases
from tallied.database.lease import Lease, PostgresLease
from tallied.database.row_reader import EngineReader, RowReader
from tallied.errors import Busy
from tallied.models import Thread
from tallied.models.base import new_id

POSTGRESQL = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)

SLEEPING = (
    "SELECT count(*) FROM pg_stat_activity WHERE position('pg_sleep(' IN query) > 0"
    " AND state = 'active' AND pid <> pg_backend_pid()"
)
"""The number of sessions that sleep."""


async def read_sum(database: Database, number: int = 2) -> int:
    async with database.rows() as reader:
        ((total,),) = await reader.fetch(sum_statement(database), {"number": number})
        return int(total)


async def test_lease_serves_many_reads_and_goes_back(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "REST", 0.2)
    readers: set[int] = set()
    await connect(database)
    for number in range(20):
        async with database.rows() as reader:
            assert isinstance(reader, Lease)
            readers.add(id(reader))
            assert await reader.fetch(sum_statement(database), {"number": number})
    assert len(readers) == 1
    assert (taken(database.engine), database._leases.count) == (1, 1)
    await eventually(lambda: taken(database.engine) == 0)
    assert database._leases.count == 0
    assert await read_sum(database) == 42


async def test_old_lease_goes_back_after_use(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "AGE", 0.0)
    await database.dispose()
    old = Database(database.url.render_as_string(False))
    await connect(old)
    assert await read_sum(old) == 42
    await eventually(lambda: taken(old.engine) == 0)
    await old.dispose()


async def test_lease_used_last_is_used_next(database: Database) -> None:
    await connect(database)
    async with database.rows() as first, database.rows() as second:
        assert second is not first
    for _ in range(3):
        async with database.rows() as reader:
            assert reader is first


async def test_leases_leave_connections_for_units(with_tables: None, open_database: Open) -> None:
    database = open_database(pool_size=4, patience=5)
    await connect(database)
    held: list[RowReader] = []

    async def hold() -> None:
        async with database.rows() as reader:
            held.append(reader)
            await asyncio.sleep(0.2)

    tasks = [asyncio.create_task(hold()) for _ in range(6)]
    await eventually(lambda: len(held) == 2)
    assert database._leases.count == 2
    await database.write(lambda unit: add_threads(unit, 1))
    await asyncio.gather(*tasks)
    assert len(set(map(id, held))) == 2


async def test_wait_for_lease_ends_as_busy(with_tables: None, open_database: Open) -> None:
    database = open_database(pool_size=3, patience=0.1)
    await connect(database)
    async with database.rows():
        with pytest.raises(Busy, match="send the same request again"):
            await read_sum(database)
        with pytest.raises(Busy):
            await database.query_rows(lambda reader: reader.read(select(Thread.id)))
    assert await read_sum(database) == 42


async def test_cancelled_waiter_loses_no_lease(with_tables: None, open_database: Open) -> None:
    database = open_database(pool_size=3)
    await connect(database)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(database.rows())
        waiting = [asyncio.create_task(read_sum(database)) for _ in range(3)]
        await asyncio.sleep(0.01)
        # One is cancelled while it waits, and one when the lease is already its own.
        waiting[0].cancel()
        await stack.aclose()
        waiting[1].cancel()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert results[2] == 42
    assert await read_sum(database) == 42
    assert database._leases.count == 1


async def test_idle_leases_end_for_units(with_tables: None, open_database: Open) -> None:
    database = open_database(pool_size=4, patience=1.0)
    await connect(database)
    async with database.rows(), database.rows():
        pass
    assert database._leases.count == 2
    async with AsyncExitStack() as stack:
        for _ in range(4):
            connection = await stack.enter_async_context(database.read())
            await connection.execute(text("SELECT 1"))
        assert database._leases.count == 0


async def test_lease_ends_after_use_when_pool_is_exhausted(
    with_tables: None, open_database: Open
) -> None:
    database = open_database(pool_size=3, patience=1.0)
    await connect(database)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(database.read())
        async with database.rows():
            waiting = asyncio.create_task(stack.enter_async_context(database.read()))
            await asyncio.sleep(0.05)
            assert not waiting.done()
        await waiting


async def test_cancellation_ends_statement(database: Database) -> None:
    await connect(database)
    assert await read_sum(database) == 42

    async def wait() -> None:
        async with database.rows() as reader:
            assert isinstance(reader, Lease)
            await reader.fetch(slow_statement(database))

    task = asyncio.create_task(wait())
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 10)
    if not database.is_sqlite:
        url = database.url.render_as_string(False)
        await eventually(lambda: execute(url, SLEEPING) == [(0,)])
    await eventually(lambda: taken(database.engine) == 0)
    assert await read_sum(database) == 42
    await database.write(lambda unit: add_threads(unit, 1))


@POSTGRESQL
async def test_query_runs_again_after_lease_is_lost(database: Database) -> None:
    await connect(database)
    tries: list[int] = []

    async def query(reader: RowReader) -> int:
        assert isinstance(reader, PostgresLease)
        tries.append(1)
        if len(tries) < 3:
            terminate_backends(database.url.render_as_string(False))
        ((total,),) = await reader.fetch(sum_statement(database), {"number": 2})
        return int(total)

    assert await database.query_rows(query) == 42
    assert len(tries) == 3


@POSTGRESQL
async def test_closed_idle_leases_cost_no_read(database: Database) -> None:
    await connect(database)
    async with database.rows() as first, database.rows() as second:
        assert isinstance(first, Lease)
        assert isinstance(second, Lease)
        terminate_backends(database.url.render_as_string(False))
    await eventually(lambda: not (first.is_open or second.is_open))
    assert await read_sum(database) == 42
    assert database._leases.count == 1


@POSTGRESQL
@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE tallied_thread ALTER title TYPE text",
        "DEALLOCATE ALL",
        "DISCARD ALL",
    ],
)
async def test_outdated_statement_is_prepared_again(database: Database, change: str) -> None:
    await database.write(lambda unit: add_threads(unit, 1))
    statement = thread_statement(database)
    async with database.rows() as reader:
        assert isinstance(reader, PostgresLease)
        ((key,),) = await reader.fetch(database.compile(select(Thread.id)))
        assert await reader.fetch(statement, {"key": key})
        if change.startswith("ALTER"):
            execute(database.url.render_as_string(False), change)
        else:
            await reader._driver.execute(change)
        assert await reader.fetch(statement, {"key": key})


@POSTGRESQL
async def test_connection_keeps_bounded_number_of_statements(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "MAX_PREPARED", 3)
    await connect(database)
    count = database.compile(
        select(text("count(*) FROM pg_prepared_statements WHERE statement LIKE '%number_%'"))
    )
    async with database.rows() as reader:
        for number in range(9):
            label = text(f"1 AS number_{number % 7}")
            assert await reader.fetch(database.compile(select(label))) == [(1,)]
        ((prepared,),) = await reader.fetch(count)
    assert 2 <= prepared <= 4


@POSTGRESQL
async def test_pattern_is_planned_each_time(database: Database) -> None:
    await connect(database)
    pattern = select(Thread.id).where(
        Thread.title_folded.contains(bindparam("pattern", type_=String()))
    )
    kinds = database.compile(
        select(
            text(
                "sum(generic_plans), sum(custom_plans) FROM pg_prepared_statements"
                " WHERE statement LIKE '%title_folded%' AND statement NOT LIKE '%generic_plans%'"
            )
        )
    )
    async with database.rows() as reader:
        for number in range(4 * lease.CUSTOM_PLANS):
            await reader.fetch(database.compile(pattern), {"pattern": f"{number}"})
            ((generic, custom),) = await reader.fetch(kinds)
            assert generic == 0
            assert custom <= 2 * lease.CUSTOM_PLANS  # One is closed with the next request.


async def test_dispose_waits_for_lease(database: Database) -> None:
    await connect(database)
    begun = asyncio.Event()

    async def read() -> int:
        async with database.rows() as reader:
            begun.set()
            await asyncio.sleep(0.1)
            ((total,),) = await reader.fetch(sum_statement(database), {"number": 2})
            return int(total)

    task = asyncio.create_task(read())
    await begun.wait()
    await database.dispose()
    assert task.done()
    assert await task == 42
    assert database._leases.count == 0


async def test_lease_of_disposed_pool_is_closed(with_tables: None, open_database: Open) -> None:
    database = open_database(patience=1.0)
    await connect(database)
    async with database.rows():
        await database.dispose()
    assert database._leases.count == 0
    assert await read_sum(database) == 42


async def test_error_of_statement_is_that_of_sqlalchemy(empty: Database) -> None:
    await connect(empty)
    statement = thread_statement(empty)
    async with empty.rows() as reader:
        assert isinstance(reader, Lease)
        with pytest.raises(DBAPIError) as leased:
            await reader.fetch(statement, {"key": new_id()})
        assert await reader.fetch(sum_statement(empty), {"number": 2}) == [(42,)]
    async with empty.read() as connection:
        with pytest.raises(DBAPIError) as usual:
            sql, arguments = statement.bind({"key": new_id()})
            await connection.exec_driver_sql(sql, tuple(arguments))
    for name in ("__class__", "statement", "hide_parameters", "connection_invalidated"):
        assert getattr(leased.value, name) == getattr(usual.value, name)
    assert str(leased.value) == str(usual.value)
    assert type(leased.value.orig) is type(usual.value.orig)


@pytest.mark.parametrize(
    "options",
    [
        {"pool_pre_ping": True},
        {"echo": True},
        {"poolclass": NullPool},
        {"pool_size": 2},
        {"connect_args": {"prepared_statement_cache_size": 0}},
    ],
    ids=str,
)
async def test_engine_that_is_not_plain_executes_itself(
    empty_url: str, open_database: Open, options: dict[str, object]
) -> None:
    if "connect_args" in options and empty_url.startswith("sqlite"):
        pytest.skip("a parameter of asyncpg")
    assert await uses_engine(open_database(**options))


async def test_engine_of_host_executes_itself(empty_url: str) -> None:
    engine = create_async_engine(empty_url)
    assert await uses_engine(Database(engine))
    await engine.dispose()


async def test_logged_engine_executes_itself(
    empty: Database, caplog: pytest.LogCaptureFixture
) -> None:
    assert issubclass(await kind(empty), Lease)
    with caplog.at_level(logging.INFO, logger="sqlalchemy.engine"):
        assert await uses_engine(empty)
    assert issubclass(await kind(empty), Lease)


@pytest.mark.parametrize("name", ["before_cursor_execute", "after_cursor_execute"])
async def test_listener_sees_statement_in_engine(empty: Database, name: str) -> None:
    statements: list[str] = []

    def listen(conn: object, cursor: object, statement: str, *_: object) -> None:
        assert cursor is not None
        statements.append(statement)

    assert issubclass(await kind(empty), Lease)
    event.listen(empty.engine.sync_engine, name, listen)
    assert await kind(empty) is EngineReader
    assert len(statements) == 2
    event.remove(empty.engine.sync_engine, name, listen)
    assert issubclass(await kind(empty), Lease)


async def test_observer_counts_statements_of_lease(database: Database) -> None:
    await connect(database)
    with recorded(database.engine.sync_engine) as statements:
        assert issubclass(await kind(database), Lease)
        async with database.rows() as reader:
            await reader.read(select(Thread.id))
    assert len(statements) == 3
    assert statements[2].startswith("SELECT tallied_thread.id")
    assert await read_sum(database) == 42
    assert len(statements) == 3
