"""Reads and units of work while the database cannot be used."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from conftest import Open
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from support.outages import execute, proxied, terminate_backends
from support.rows import add_threads, count_rows

from tallied.database import Database, UnitOfWork
from tallied.errors import Busy, Unavailable


@pytest.mark.postgresql
async def test_closed_pooled_connections_cost_no_request(database: Database) -> None:
    async def read() -> None:
        async with database.read() as connection:
            await connection.execute(text("SELECT 1"))
            await asyncio.sleep(0.05)

    await asyncio.gather(*(read() for _ in range(4)))
    assert terminate_backends(database.url.render_as_string(False)) == 4
    await asyncio.sleep(0.05)
    for _ in range(4):
        assert await count_rows(database) == 0
    await database.write(lambda unit: add_threads(unit, 3))
    assert await count_rows(database) == 3


@pytest.mark.postgresql
@pytest.mark.parametrize("is_ours", [True, False])
@pytest.mark.parametrize("is_unit", [True, False])
async def test_work_runs_again_after_its_connection_is_lost(
    database: Database, is_ours: bool, is_unit: bool
) -> None:
    url = database.url.render_as_string(False)
    engine = create_async_engine(url)
    tested = database if is_ours else Database(engine)
    tries: list[int] = []

    def lose_connection() -> None:
        tries.append(1)
        if len(tries) < 3:
            terminate_backends(url)

    async def query(connection: AsyncConnection) -> int:
        lose_connection()
        return int(await connection.scalar(text("SELECT 6 * 7")))

    async def work(unit: UnitOfWork) -> None:
        await add_threads(unit, 2)
        lose_connection()
        await add_threads(unit, 3)

    if is_unit:
        await tested.write(work)
        assert await count_rows(database) == 5
    else:
        assert await tested.run_query(query) == 42
    assert len(tries) == 3
    await engine.dispose()


@pytest.mark.postgresql
@pytest.mark.parametrize("fault", ["shut", "stall"])
async def test_unreachable_database_is_unavailable(
    with_tables: None, empty_url: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with proxied(empty_url, patience=0.3) as (proxy, database):
        getattr(proxy, fault)()
        with (
            caplog.at_level(logging.WARNING),
            pytest.raises(Unavailable, match="cannot be reached"),
        ):
            await database.write(lambda unit: add_threads(unit, 2))
        with pytest.raises(Unavailable, match="cannot be reached"):
            await count_rows(database)
        proxy.reopen()
        proxy.resume()
        await database.write(lambda unit: add_threads(unit, 2))
        assert await count_rows(database) == 2
    messages = [record.getMessage() for record in caplog.records if record.name == "tallied"]
    assert len(messages) <= 1  # at most one every ten seconds
    assert all(message.startswith("The database cannot be used (") for message in messages)
    assert not any(record.exc_info for record in caplog.records)


@pytest.mark.postgresql
async def test_unit_waits_for_database_to_return(with_tables: None, empty_url: str) -> None:
    async with proxied(empty_url, patience=5) as (proxy, database):
        proxy.shut()
        asyncio.get_running_loop().call_later(0.5, proxy.reopen)
        await database.write(lambda unit: add_threads(unit, 2))
        assert await count_rows(database) == 2


async def test_network_error_of_hook_is_no_outage(database: Database) -> None:
    for error in (ConnectionRefusedError, TimeoutError, OSError):
        tries: list[int] = []

        async def work(unit: UnitOfWork, raised: type[Exception] = error) -> None:
            tries.append(1)  # noqa: B023
            await add_threads(unit, 2)
            raise raised

        with pytest.raises(error):
            await database.write(work)
        assert len(tries) == 1
    assert await count_rows(database) == 0


RAISE = "DO $$ BEGIN RAISE EXCEPTION 'a fault' USING ERRCODE = '%s'; END $$"


@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("state", "expected", "tries"),
    [
        ("53100", Unavailable, 1),  # disk_full
        ("53200", Unavailable, 1),  # out_of_memory
        ("53300", Busy, 1),  # too_many_connections
        ("55P03", Busy, 1),  # lock_not_available
        ("57014", Busy, 1),  # query_canceled
        ("25006", Unavailable, 2),  # read_only_sql_transaction
        ("42501", Unavailable, 1),  # insufficient_privilege
        ("58030", Unavailable, 1),  # io_error
        ("40001", Busy, 4),  # serialization_failure
        ("25P02", DBAPIError, 1),  # in_failed_sql_transaction
        ("23514", DBAPIError, 1),  # check_violation
        ("XX001", DBAPIError, 1),  # data_corrupted
    ],
)
async def test_sqlstate_decides_error_and_retries(
    with_tables: None, open_database: Open, state: str, expected: type[Exception], tries: int
) -> None:
    database = open_database(attempts=4)
    tried: list[int] = []

    async def work(unit: UnitOfWork) -> None:
        tried.append(1)
        await unit.session.execute(text(RAISE % state))

    with pytest.raises(expected):
        await database.write(work)
    assert len(tried) == tries


@pytest.mark.postgresql
@pytest.mark.parametrize("state", ["08006", "57P01", "57P03"])
async def test_outage_is_retried_until_patience_ends(
    with_tables: None, empty_url: str, state: str
) -> None:
    database = Database(empty_url, patience=1)
    tried: list[int] = []

    async def work(unit: UnitOfWork) -> None:
        tried.append(1)
        await unit.session.execute(text(RAISE % state))

    with pytest.raises(Unavailable):
        await database.write(work)
    assert len(tried) >= 2
    await database.dispose()
    database = Database(empty_url, attempts=1)
    tried.clear()
    with pytest.raises(Unavailable):
        await database.write(work)
    assert len(tried) == 1
    await database.dispose()


@pytest.mark.postgresql
async def test_statement_timeout_is_busy_database(
    with_tables: None, empty_url: str, open_database: Open
) -> None:
    execute(
        empty_url, "ALTER DATABASE " + empty_url_name(empty_url) + " SET statement_timeout = 50"
    )
    database = open_database()

    async def work(unit: UnitOfWork) -> None:
        await unit.session.execute(text("SELECT pg_sleep(30)"))

    with pytest.raises(Busy, match="took too long"):
        await database.write(work)
    with pytest.raises(Busy, match="took too long"):
        async with database.read() as connection:
            await connection.execute(text("SELECT pg_sleep(30)"))


def empty_url_name(url: str) -> str:
    """Return the name of the database that `url` is of."""
    return url.rpartition("/")[2].partition("?")[0]


@contextmanager
def read_only(url: str) -> Iterator[None]:
    """Have new connections to the database only read."""
    name = empty_url_name(url)
    execute(url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    yield
    with_option = url + "&options=-cdefault_transaction_read_only%3Doff"
    execute(with_option, f"ALTER DATABASE {name} RESET default_transaction_read_only")


@pytest.mark.postgresql
async def test_read_only_database_is_read_and_not_written(
    with_tables: None, empty_url: str, open_database: Open
) -> None:
    database = open_database()
    with read_only(empty_url):
        with pytest.raises(Unavailable, match="may only be read at present"):
            await database.write(lambda unit: add_threads(unit, 3))
        assert await count_rows(database) == 0
    # Connections that were opened meanwhile are not used for it again.
    await database.write(lambda unit: add_threads(unit, 3))
    assert await count_rows(database) == 3


@pytest.mark.postgresql
async def test_no_connection_left_is_busy_database(with_tables: None, empty_url: str) -> None:
    name = f"limited_{empty_url_name(empty_url)}"
    execute(empty_url, f"CREATE ROLE {name} LOGIN CONNECTION LIMIT 1")
    execute(empty_url, f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}")
    try:
        database = Database(empty_url.replace("//postgres:", f"//{name}:"))
        async with database.read() as connection:
            await connection.execute(text("SELECT 1"))
            with pytest.raises(Busy):
                await count_rows(database)
            with pytest.raises(Busy):
                await database.write(lambda unit: add_threads(unit, 2))
        assert await count_rows(database) == 0
        await database.dispose()
    finally:
        execute(empty_url, f"DROP OWNED BY {name}")
        execute(empty_url, f"DROP ROLE {name}")


@pytest.mark.slow
@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("pragma", "sentence"),
    [("max_page_count = 1", "has no room"), ("query_only = ON", "may only be read")],
)
async def test_full_or_read_only_sqlite_is_unavailable(
    database: Database, pragma: str, sentence: str
) -> None:
    await database.write(lambda unit: add_threads(unit, 3))
    await database.engine.dispose()

    def limit(connection: object, record: object) -> None:
        cursor = connection.cursor()  # type: ignore[attr-defined]
        cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(database.engine.sync_engine, "connect", limit)
    with pytest.raises(Unavailable, match=sentence):
        await database.write(lambda unit: add_threads(unit, 2000))
    assert await count_rows(database) == 3
    event.remove(database.engine.sync_engine, "connect", limit)
    await database.engine.dispose()
    await database.write(lambda unit: add_threads(unit, 2))
    assert await count_rows(database) == 5
