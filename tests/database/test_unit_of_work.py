"""The unit of work: rollback by default, one commit, retries, and callbacks after the commit."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from conftest import Open
from sqlalchemy import event, select, text
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from support.rows import add_threads, count_rows, fetch, fetch_values

from tallied.database import Database, UnitOfWork
from tallied.errors import Busy
from tallied.models import Comment, Thread


async def test_successful_unit_is_committed(database: Database) -> None:
    await database.write(lambda unit: add_threads(unit, 3))
    assert await count_rows(database) == 3


async def test_failing_unit_is_rolled_back(database: Database) -> None:
    async def work(unit: UnitOfWork) -> None:
        await add_threads(unit, 3)
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(work)
    assert await count_rows(database) == 0


async def test_after_commit_callbacks_run_in_order(database: Database) -> None:
    observed: list[tuple[str, int]] = []

    async def work(unit: UnitOfWork) -> None:
        for name in ("first", "second"):

            async def after(name: str = name) -> None:
                observed.append((name, await count_rows(database)))

            unit.after_commit.append(after)
        await add_threads(unit, 2)
        assert observed == []

    await database.write(work)
    assert observed == [("first", 2), ("second", 2)]


async def test_after_commit_callbacks_need_commit(database: Database) -> None:
    observed: list[str] = []

    async def after() -> None:
        observed.append("ran")

    async def work(unit: UnitOfWork) -> None:
        unit.after_commit.append(after)
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(work)
    assert observed == []


async def test_unit_is_not_committed_halfway(database: Database) -> None:
    async def work(unit: UnitOfWork) -> None:
        await add_threads(unit, 3)
        await unit.session.commit()
        await add_threads(unit, 2)

    sentence = (
        "^The session of a unit of work cannot be committed within it: .* Leave the commit out"
    )
    with pytest.raises(InvalidRequestError, match=sentence):
        await database.write(work)
    assert await count_rows(database) == 0

    async def catch(unit: UnitOfWork) -> None:
        with pytest.raises(InvalidRequestError, match=sentence):
            await unit.session.run_sync(lambda session: session.commit())
        await add_threads(unit, 4)
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(catch)
    assert await count_rows(database) == 0


@pytest.mark.parametrize("end", ["rollback", "close", "reset"])
async def test_unit_is_not_ended_halfway(database: Database, end: str) -> None:
    async def work(unit: UnitOfWork) -> None:
        await add_threads(unit, 3)
        await getattr(unit.session, end)()
        await add_threads(unit, 2)

    with pytest.raises(InvalidRequestError, match="was rolled back or closed within it, so nothin"):
        await database.write(work)
    assert await count_rows(database) == 0
    await database.write(lambda unit: add_threads(unit, 3))
    assert await count_rows(database) == 3


async def test_unit_may_use_savepoints(database: Database) -> None:
    async def work(unit: UnitOfWork) -> None:
        await add_threads(unit, 3)
        savepoint = await unit.session.begin_nested()
        await add_threads(unit, 5)
        await savepoint.rollback()
        async with unit.session.begin_nested(), unit.session.begin_nested():
            await add_threads(unit, 1)

    await database.write(work)
    assert await count_rows(database) == 4


async def test_host_commits_its_own_session(database: Database) -> None:
    async with database.sessions() as session:
        await add_threads(UnitOfWork(session), 3)
        await session.commit()
        await add_threads(UnitOfWork(session), 2)
        await session.rollback()
    assert await count_rows(database) == 3


async def test_slow_after_commit_callback_continues_in_background(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    go, observed = asyncio.Event(), []
    database.patience = 0.2

    async def slow() -> None:
        await go.wait()
        observed.append("slow")

    async def next_one() -> None:
        observed.append("next")

    async def work(unit: UnitOfWork) -> str:
        unit.after_commit += [slow, next_one]
        await add_threads(unit, 3)
        return "done"

    async with asyncio.timeout(30):
        assert await database.write(work) == "done"
    assert await count_rows(database) == 3
    assert observed == []
    (record,) = caplog.records
    assert "takes longer than 0.2 seconds, and goes on by itself" in record.getMessage()
    go.set()
    await database.dispose()
    assert observed == ["slow", "next"]


async def test_concurrent_units_lose_no_update(database: Database) -> None:
    (thread,) = await database.write(add_threads)

    async def add(unit: UnitOfWork) -> None:
        comment = Comment(thread_id=thread.id, author_name="A", message="three words here")
        unit.session.add(comment)
        await unit.session.flush()

    await asyncio.gather(*(database.write(add) for _ in range(40)))
    (row,) = await fetch(database, select(Thread.comment_count, Thread.word_count))
    assert tuple(row) == (40, 120)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_deadlock_is_run_again(database: Database) -> None:
    one, two = await database.write(lambda unit: add_threads(unit, 2))
    tries: list[int] = []
    both_hold_one, is_written = asyncio.Barrier(2), asyncio.Event()

    async def rename(unit: UnitOfWork, order: tuple[Thread, Thread], role: int) -> None:
        tries.append(role)
        if tries.count(role) > 1:
            # It could lock a row before the other one has both, and be the victim again.
            await is_written.wait()
        for number, thread in enumerate(order):
            loaded = await unit.session.get_one(Thread, thread.id)
            loaded.title += f" by {role}"
            await unit.session.flush()
            if number == 0 and tries.count(role) == 1:
                await both_hold_one.wait()

    async def write(order: tuple[Thread, Thread], role: int) -> None:
        await database.write(lambda unit: rename(unit, order, role))
        is_written.set()

    await asyncio.gather(write((one, two), 1), write((two, one), 2))
    assert sorted(tries) in ([1, 1, 2], [1, 2, 2])
    titles = await fetch_values(database, select(Thread.title))
    assert all("by 1" in title and "by 2" in title for title in titles)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_deadlock_victim_runs_again_past_patience(open_database: Open) -> None:
    database = open_database(patience=0.1)
    tries: list[int] = []

    async def work(unit: UnitOfWork) -> int:
        tries.append(1)
        if len(tries) < 4:
            await asyncio.sleep(0.06)
            raised = "DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40P01'; END $$"
            await unit.session.execute(text(raised))
        return len(tries)

    assert await database.write(work) == 4


async def test_another_error_of_database_is_not_run_again(database: Database) -> None:
    tries: list[int] = []

    async def work(unit: UnitOfWork) -> None:
        tries.append(1)
        await unit.session.execute(text("SELECT * FROM no_such_table"))

    with pytest.raises(DBAPIError):
        await database.write(work)
    assert len(tries) == 1


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_unit_on_sqlite_takes_write_lock_at_its_start(database: Database) -> None:
    async def read_then_write(unit: UnitOfWork) -> None:
        await unit.session.execute(select(Thread.id))
        other = Database(str(database.url))
        with pytest.raises(DBAPIError, match="locked"):
            async with other.engine.connect() as connection:
                await connection.execute(text("PRAGMA busy_timeout = 10"))
                await connection.execute(text("INSERT INTO tallied_thread (title) VALUES ('x')"))
        await other.dispose()
        await add_threads(unit, 2)

    await database.write(read_then_write)
    assert await count_rows(database) == 2


async def test_unit_behind_another_process_ends_busy(database: Database) -> None:
    """On PostgreSQL behind a row, on SQLite behind the file."""
    await database.write(lambda unit: add_threads(unit, 2))
    impatient = Database(database.url.render_as_string(False), patience=0.7)
    tries: list[int] = []

    async def rename(unit: UnitOfWork) -> None:
        for thread in await unit.session.scalars(select(Thread)):
            thread.title += "!"
        await unit.session.flush()

    async def behind(unit: UnitOfWork) -> None:
        tries.append(1)
        await rename(unit)

    async def ahead(unit: UnitOfWork) -> None:
        await rename(unit)
        with pytest.raises(Busy, match="send the same request again"):
            await impatient.write(behind)

    await database.write(ahead)
    assert len(tries) == 1
    await impatient.write(rename)
    titles = await fetch_values(database, select(Thread.title))
    assert [title.count("!") for title in titles] == [2, 2]
    await impatient.dispose()


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_unit_behind_another_unit_ends_busy(open_database: Open) -> None:
    database = open_database(patience=0.1)

    async def ahead(_: UnitOfWork) -> None:
        with pytest.raises(Busy, match="send the same request again"):
            await database.write(lambda unit: add_threads(unit, 3))

    await database.write(ahead)


FOREVER = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"


@pytest.mark.parametrize("way", ["read", "write"])
async def test_cancelled_task_cancels_its_statement(
    database: Database, way: str, request: pytest.FixtureRequest
) -> None:
    statement = text(FOREVER if database.is_sqlite else "SELECT pg_sleep(3600)")

    async def work(unit: UnitOfWork) -> None:
        await add_threads(unit, 3)
        await unit.session.execute(statement)

    async def read() -> None:
        async with database.read() as connection:
            await connection.execute(statement)

    task = asyncio.create_task(database.write(work) if way == "write" else read())
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    # The connection is free again, and nothing of the unit is left.
    await database.write(lambda unit: add_threads(unit, 2))
    assert await count_rows(database) == 2
    if not database.is_sqlite:
        server = request.getfixturevalue("postgresql").render_as_string(False)
        with psycopg.connect(server) as connection:
            running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(3600)%'"
            query = f"{running} AND state = 'active' AND pid <> pg_backend_pid()"
            assert connection.execute(query).fetchone() == (0,)


async def test_commit_that_has_begun_is_not_cancelled_halfway(database: Database) -> None:
    observed: list[int] = []

    async def after() -> None:
        observed.append(await count_rows(database))

    async def work(unit: UnitOfWork) -> None:
        unit.after_commit.append(after)
        await add_threads(unit, 3)

    task = asyncio.create_task(database.write(work))
    loop = asyncio.get_running_loop()
    event.listen(
        database.engine.sync_engine, "commit", lambda _: loop.call_soon(task.cancel), once=True
    )
    with pytest.raises(asyncio.CancelledError):
        await task
    assert observed == [3]
    assert await count_rows(database) == 3
