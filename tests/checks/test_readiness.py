"""Readiness: the problems that it finds, its interval, and its connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest
from conftest import BACKENDS, Open
from sqlalchemy import NullPool, event, text
from sqlalchemy.ext.asyncio import create_async_engine
from support.commands import NEWEST, sql
from support.rows import add_threads, execute, writing

from tallied.asgi import create_app
from tallied.checks.readiness import BEHIND, DISK_FULL, NOT_SET_UP, READ_ONLY, Readiness
from tallied.database import Database, UnitOfWork
from tallied.database.file import REPLACED
from tallied.discussion import Discussion
from tallied.migrations.runner import VERSION_TABLE, migrate
from tallied.models import Thread
from tallied.settings import Settings

on_sqlite, on_postgresql = (
    pytest.mark.parametrize("backend", [name], indirect=True) for name in BACKENDS
)


Probe: TypeAlias = Callable[..., Readiness]


@pytest.fixture
async def probe(open_database: Open) -> AsyncIterator[Probe]:
    """Return a function that makes a readiness, by default of no interval, which is closed."""
    async with AsyncExitStack() as stack:

        def make(database: Database, interval: float = 0, **options: Any) -> Readiness:
            readiness = Readiness(database, interval=interval, **options)
            stack.push_async_callback(readiness.close)
            return readiness

        yield make


@pytest.fixture
def readiness(database: Database, probe: Probe) -> Readiness:
    """The readiness of a fresh database, which is asked each time."""
    return probe(database)


def count_checkouts(database: Database) -> list[None]:
    """Return a list that grows with each connection that is taken from the pool or its copies."""
    checkouts: list[None] = []
    event.listen(database.engine.sync_engine.pool, "checkout", lambda *_: checkouts.append(None))
    return checkouts


async def test_sound_database_has_no_problem(database: Database, readiness: Readiness) -> None:
    assert await readiness.find_problem() is None
    await database.write(add_threads)
    assert await readiness.find_problem() is None


async def test_concurrent_probes_share_one_query(database: Database, probe: Probe) -> None:
    checkouts = count_checkouts(database)
    readiness = probe(database, interval=1)
    answers = await asyncio.gather(*(readiness.find_problem() for _ in range(24)))
    assert answers == [None] * 24
    assert await readiness.find_problem() is None
    assert len(checkouts) == 1


async def test_old_result_is_queried_again(database: Database, probe: Probe) -> None:
    checkouts = count_checkouts(database)
    readiness = probe(database, 0.5)
    for number in (1, 2):
        assert await readiness.find_problem() is None
        assert await readiness.find_problem() is None
        assert len(checkouts) == number
        await asyncio.sleep(0.5)


async def test_cancelled_probe_leaves_others_answer(readiness: Readiness) -> None:
    first = asyncio.ensure_future(readiness.find_problem())
    second = asyncio.ensure_future(readiness.find_problem())
    await asyncio.sleep(0)
    first.cancel()
    assert await second is None
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_pool_without_free_connection_is_ready(
    with_tables: None, open_database: Open, probe: Probe
) -> None:
    database = open_database(pool_size=1, max_overflow=0)
    readiness = probe(database)
    async with writing(database):
        for _ in range(3):
            assert await readiness.find_problem() is None


@on_postgresql
async def test_one_connection_serves_many_queries(database: Database, probe: Probe) -> None:
    connects: list[None] = []
    pool = database.engine.sync_engine.pool
    event.listen(pool, "connect", lambda *_: connects.append(None))
    readiness = probe(database)
    for _ in range(5):
        assert await readiness.find_problem() is None
    assert len(connects) == 1


async def test_hosts_engine_opens_connection(
    with_tables: None, empty_url: str, probe: Probe
) -> None:
    """By its own creator and listeners, which know what the URL does not."""
    engine = create_async_engine(empty_url, poolclass=NullPool)
    connects: list[str] = []
    event.listen(engine.sync_engine, "do_connect", lambda *_: connects.append("creator"))
    event.listen(engine.sync_engine, "connect", lambda *_: connects.append("listener"))
    database = Database(engine)
    readiness = probe(database)
    assert await readiness.find_problem() is None
    assert connects == ["creator", "listener"]
    await engine.dispose()


async def test_database_in_memory_is_ready() -> None:
    database = Database("sqlite+aiosqlite://")
    try:
        assert await Readiness(database).find_problem() is None
    finally:
        await database.dispose()


async def test_missing_tables_are_problem(open_database: Open, probe: Probe) -> None:
    database = open_database()
    readiness = probe(database)
    assert await readiness.find_problem() == NOT_SET_UP
    await migrate(database)
    assert await readiness.find_problem() is None


async def test_missing_migration_is_problem(
    empty_url: str, open_database: Open, probe: Probe
) -> None:
    database = open_database()
    readiness = probe(database)
    await migrate(database)
    for revision, problem in (
        ("tallied_0002", BEHIND),
        ("tallied_9999", None),  # a newer server has migrated while this one goes on
        (NEWEST, None),
    ):
        sql(empty_url, f"UPDATE {VERSION_TABLE} SET version_num = '{revision}'")
        assert await readiness.find_problem() == problem


@on_postgresql
async def test_tables_in_own_schema_are_found(
    empty_url: str, open_database: Open, probe: Probe
) -> None:
    database = open_database(schema="talk")
    readiness = probe(database)
    assert await readiness.find_problem() == NOT_SET_UP
    await migrate(database)
    assert await readiness.find_problem() is None
    sql(empty_url, f"UPDATE talk.{VERSION_TABLE} SET version_num = 'tallied_0003'")
    assert await readiness.find_problem() == BEHIND


@on_postgresql
async def test_read_only_transactions_are_problem(
    empty_url: str, database: Database, readiness: Readiness
) -> None:
    name = "current_database()"
    (row,) = sql(empty_url, f"SELECT {name}")
    sql(empty_url, f"ALTER DATABASE {row[0]} SET default_transaction_read_only = on")
    assert await readiness.find_problem() == READ_ONLY
    sql(
        empty_url,
        "SET TRANSACTION READ WRITE",
        f"ALTER DATABASE {row[0]} RESET default_transaction_read_only",
    )
    assert await readiness.find_problem() is None


@on_sqlite
async def test_read_only_file_is_problem(database: Database, empty_url: str, probe: Probe) -> None:
    path = database.url.database
    await database.write(add_threads)
    reading = Database(f"sqlite+aiosqlite:///file:{path}?mode=ro&uri=true")
    readiness = probe(reading)
    assert await readiness.find_problem() == READ_ONLY
    await reading.dispose()


@on_sqlite
async def test_busy_writer_is_no_problem(
    database: Database, empty_url: str, readiness: Readiness
) -> None:
    await database.write(add_threads)
    other = create_async_engine(empty_url)
    try:
        async with other.connect() as connection:
            await connection.exec_driver_sql("BEGIN IMMEDIATE")
            assert await readiness.find_problem() is None
    finally:
        await other.dispose()


@on_sqlite
async def test_removed_file_is_problem_and_not_created(
    database: Database, readiness: Readiness
) -> None:
    path = Path(str(database.url.database))
    assert await readiness.find_problem() is None
    path.rename(path.with_suffix(".moved"))
    for _ in range(2):
        assert await readiness.find_problem() == REPLACED
    assert not path.exists()


@on_sqlite
async def test_too_little_space_is_problem(database: Database, probe: Probe) -> None:
    readiness = probe(database, min_free=2**62)
    assert await readiness.find_problem() == DISK_FULL


async def fill_disk(database: Database) -> None:
    """Have writes fail for want of space: on SQLite really, on PostgreSQL by a trigger."""
    async with database.engine.begin() as connection:
        if database.is_sqlite:
            (pages,) = await connection.scalars(text("PRAGMA page_count"))
            await connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
            return
        await connection.exec_driver_sql(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$"
        )
        await connection.exec_driver_sql(
            "CREATE TRIGGER fail BEFORE INSERT ON tallied_thread EXECUTE FUNCTION fail()"
        )


async def make_room(database: Database) -> None:
    statement = (
        "PRAGMA max_page_count = 4294967294"
        if database.is_sqlite
        else "DROP TRIGGER fail ON tallied_thread"
    )
    await execute(database, statement)


async def fill_threads(database: Database) -> None:
    async def work(unit: UnitOfWork) -> None:
        unit.session.add_all(Thread(title="x" * 200) for _ in range(70))

    await database.write(work)


@pytest.fixture
async def small(with_tables: None, empty_url: str) -> AsyncIterator[Database]:
    """A database with one connection for all, so that a pragma holds for each unit of work."""
    database = Database(empty_url, pool_size=1, max_overflow=0)
    yield database
    await database.dispose()


async def test_full_disk_is_problem_until_write_succeeds(small: Database, probe: Probe) -> None:
    readiness = probe(small)
    await fill_disk(small)
    assert await readiness.find_problem() is None
    with pytest.raises(Exception, match=r"no room"):
        await fill_threads(small)
    for _ in range(2):
        assert await readiness.find_problem() == DISK_FULL
    await make_room(small)
    assert await readiness.find_problem() == DISK_FULL
    await fill_threads(small)
    assert await readiness.find_problem() is None


async def test_full_disk_is_forgotten_without_any_write(small: Database, probe: Probe) -> None:
    readiness = probe(small)
    small.full_disk.memory = 0.2
    await fill_disk(small)
    with pytest.raises(Exception, match=r"no room"):
        await fill_threads(small)
    assert await readiness.find_problem() == DISK_FULL
    await asyncio.sleep(0.25)
    assert await readiness.find_problem() is None


async def test_only_changes_of_state_are_logged(
    open_database: Open, caplog: pytest.LogCaptureFixture, probe: Probe
) -> None:
    database = open_database()
    readiness = probe(database)
    with caplog.at_level(logging.INFO, "tallied"):
        for _ in range(3):
            await readiness.find_problem()
        await migrate(database)
        for _ in range(3):
            await readiness.find_problem()
    assert [record.getMessage() for record in caplog.records if record.name == "tallied"] == [
        f"the server is not ready: {NOT_SET_UP}",
        "the server is ready again",
    ]
    assert not any(record.exc_info for record in caplog.records)


async def test_discussion_reports_problem_to_host(open_database: Open) -> None:
    database = open_database()
    discussion = Discussion(database)
    try:
        assert await discussion.find_problem() == NOT_SET_UP
    finally:
        await discussion.readiness.close()


async def test_ready_and_live_answer_over_http(database: Database) -> None:
    app = create_app(Settings(), database)
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tallied.test")
    async with http, app.router.lifespan_context(app):
        for path in ("/health/live", "/health/ready", "/health"):
            for method in ("GET", "HEAD"):
                answer = await http.request(method, path)
                assert answer.status_code == 200
                assert answer.headers["cache-control"] == "no-store"
            assert (await http.get(path)).json() == {"status": "ok"}


async def test_unready_server_is_live(open_database: Open) -> None:
    database = open_database()
    app = create_app(Settings(), database)
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tallied.test")
    async with http, app.router.lifespan_context(app):
        assert (await http.get("/health/live")).status_code == 200
        for path in ("/health/ready", "/health"):
            answer = await http.get(path)
            assert (answer.status_code, answer.json()) == (503, {"status": NOT_SET_UP})
            assert answer.headers["cache-control"] == "no-store"
            assert (await http.head(path)).status_code == 503
