"""Behind PgBouncer, which pools transactions or sessions, all works and nothing leaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from support.commands import Commands, sql
from support.pooler import pgbouncer, through

from tallied.benchmarks.soak import Soak
from tallied.database import Database

pytestmark = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)

UNTOLD: dict[str, str] = {}
TOLD = {"pgbouncer": "true"}
SESSIONS = {"pgbouncer": "false"}


@pytest.fixture(scope="module")
def transactions(postgresql: URL) -> Iterator[int]:
    """The port of a pooler that lends three sessions of each database for a transaction each."""
    with pgbouncer(postgresql, "transaction") as port:
        yield port


@pytest.fixture(scope="module")
def single(postgresql: URL) -> Iterator[int]:
    """The port of one that has a single session, which all its clients share."""
    with pgbouncer(postgresql, "transaction", size=1) as port:
        yield port


@pytest.fixture(scope="module")
def sessions(postgresql: URL) -> Iterator[int]:
    """The port of a pooler that lends up to 20 sessions until a client leaves."""
    with pgbouncer(postgresql, "session", size=20) as port:
        yield port


@pytest.fixture
async def opened() -> AsyncIterator[Callable[..., Database]]:
    """What makes databases that are closed at the end."""
    created: list[Database] = []

    def open(url: str, **options: Any) -> Database:
        created.append(Database(url, **options))
        return created[-1]

    yield open
    for database in created:
        await database.dispose()


def ask(url: str, statement: str) -> Any:
    """Return the one value that a client of another kind reads by the same URL."""
    plain = make_url(url).set(drivername="postgresql", query={})
    with psycopg.connect(
        plain.render_as_string(hide_password=False), autocommit=True, prepare_threshold=None
    ) as connection:
        row = connection.execute(statement.encode()).fetchone()
        return row and row[0]


@pytest.mark.slow
@pytest.mark.usefixtures("with_tables")
@pytest.mark.filterwarnings("ignore:DELETE statement on table")
@pytest.mark.parametrize(("mode", "query"), [("transactions", TOLD), ("sessions", UNTOLD)])
async def test_writers_behind_pooler_leave_counters_exact(
    mode: str,
    query: dict[str, str],
    empty_url: str,
    opened: Callable[..., Database],
    request: pytest.FixtureRequest,
) -> None:
    port = request.getfixturevalue(mode)
    run = Soak(opened(through(empty_url, port, **query), patience=60), writers=8, threads=13)
    await run.run(units=90)
    assert run.errors == []
    assert run.drift == []
    assert run.done.total() >= 90


@pytest.mark.usefixtures("with_tables")
@pytest.mark.parametrize("query", [UNTOLD, TOLD])
async def test_units_bound_their_waits_and_leak_nothing(
    query: dict[str, str], empty_url: str, single: int, opened: Callable[..., Database]
) -> None:
    url = through(empty_url, single, **query)
    database = opened(url, patience=3)

    async def read_timeout(unit: Any) -> str:
        result = await unit.session.execute(text("SHOW lock_timeout"))
        return str(result.scalar_one())

    assert await database.write(read_timeout) == "3s"
    assert ask(url, "SHOW lock_timeout") == "0"
    async with database.read() as connection:
        assert (await connection.execute(text("SHOW lock_timeout"))).scalar_one() == "0"
    async with database.plain.begin() as connection:
        assert (await connection.execute(text("SHOW lock_timeout"))).scalar_one() == "3s"
    assert ask(url, "SHOW lock_timeout") == "0"
    assert ask(url, "SHOW jit") == sql(empty_url, "SHOW jit")[0][0]
    assert ask(url, "SELECT count(*) FROM pg_prepared_statements") == 0


async def test_session_pool_keeps_its_statements_prepared(
    empty_url: str, sessions: int, opened: Callable[..., Database]
) -> None:
    database = opened(through(empty_url, sessions, **SESSIONS), patience=3)
    async with database.read() as connection:
        assert (await connection.execute(text("SHOW lock_timeout"))).scalar_one() == "3s"
        stored = await connection.execute(text("SELECT count(*) FROM pg_prepared_statements"))
        assert stored.scalar_one() >= 2


async def test_rows_are_read_after_column_has_changed(
    empty_url: str, transactions: int, opened: Callable[..., Database]
) -> None:
    sql(empty_url, "CREATE TABLE tide (height int)", "INSERT INTO tide VALUES (7)")
    database = opened(through(empty_url, transactions))
    async with database.read() as connection:
        heights = text("SELECT height FROM tide")
        assert list(await connection.scalars(heights)) == [7]
        sql(empty_url, "ALTER TABLE tide ALTER height TYPE bigint USING height + 5000000000")
        assert list(await connection.scalars(heights)) == [5_000_000_007]


async def test_refused_setting_leaves_connection_usable(
    empty_url: str, transactions: int, opened: Callable[..., Database]
) -> None:
    database = opened(through(empty_url, transactions, **TOLD))
    async with database.plain.connect() as connection:
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        settings, driver.settings = driver.settings, {"lock_timeout": "never"}
        with pytest.raises(DBAPIError, match="lock_timeout"):
            await connection.execute(text("SELECT 7"))
        await connection.rollback()
        driver.settings = settings
        assert (await connection.execute(text("SHOW lock_timeout"))).scalar_one() == "5s"


@pytest.mark.usefixtures("with_tables")
async def test_lock_timeout_ends_unit(
    empty_url: str, transactions: int, opened: Callable[..., Database]
) -> None:
    database = opened(through(empty_url, transactions), patience=0.2)
    locked, over = asyncio.Event(), asyncio.Event()

    async def hold(unit: Any) -> None:
        await unit.session.execute(text("LOCK TABLE tallied_thread"))
        locked.set()
        await over.wait()

    async def wait(unit: Any) -> None:
        await locked.wait()
        await unit.session.execute(text("LOCK TABLE tallied_thread"))

    holder = asyncio.create_task(database.write(hold))
    with pytest.raises(Exception, match="busy with other changes"):
        await database.write(wait)
    over.set()
    await holder


def test_commands_work_through_pooler(
    empty_url: str, transactions: int, capsys: pytest.CaptureFixture[str]
) -> None:
    commands, option = Commands(capsys), ("--database", through(empty_url, transactions))
    assert commands("migrate", *option).code == 0
    seeded = commands("seed", "--threads", "7", "--comments", "60", *option)
    assert seeded.code == 0, seeded.err
    assert commands("verify", *option).code == 0
    sql(empty_url, "UPDATE tallied_thread SET word_count = word_count + 13")
    assert commands("verify", *option).code == 1
    assert commands("rebuild", "--amounts", *option).code == 0
    assert commands("verify", *option).code == 0
