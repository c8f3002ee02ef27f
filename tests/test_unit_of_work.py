"""The unit of work: rollback by default, one commit, retries, and what waits for the commit."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from tallied.database import Database, UnitOfWork, parse_url
from tallied.errors import Busy, ConfigurationError
from tallied.models import Comment, Thread


async def count(database: Database, model: type[Thread] | type[Comment]) -> int:
    async with database.read() as connection:
        return (await connection.execute(select(func.count()).select_from(model))).scalar_one()


async def add_threads(unit: UnitOfWork, number: int) -> None:
    unit.session.add_all(Thread(title=f"Thread {n}") for n in range(number))
    await unit.session.flush()


async def test_what_ends_well_is_committed(database: Database) -> None:
    await database.write(lambda unit: add_threads(unit, 3))
    assert await count(database, Thread) == 3


async def test_what_raises_is_rolled_back(database: Database) -> None:
    async def work(unit: UnitOfWork) -> None:
        await add_threads(unit, 3)
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(work)
    assert await count(database, Thread) == 0


async def test_what_waits_for_the_commit_runs_after_it_in_order(database: Database) -> None:
    seen: list[tuple[str, int]] = []

    async def work(unit: UnitOfWork) -> None:
        for name in ("first", "second"):

            async def after(name: str = name) -> None:
                seen.append((name, await count(database, Thread)))

            unit.after_commit.append(after)
        await add_threads(unit, 2)
        assert seen == []

    await database.write(work)
    assert seen == [("first", 2), ("second", 2)]


async def test_what_waits_for_the_commit_never_runs_without_one(database: Database) -> None:
    seen: list[str] = []

    async def after() -> None:
        seen.append("ran")

    async def work(unit: UnitOfWork) -> None:
        unit.after_commit.append(after)
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(work)
    assert seen == []


async def test_units_of_one_process_do_not_lose_each_other(database: Database) -> None:
    async def make(unit: UnitOfWork) -> Thread:
        thread = Thread(title="Hot")
        unit.session.add(thread)
        await unit.session.flush()
        return thread

    thread = await database.write(make)

    async def add(unit: UnitOfWork) -> None:
        comment = Comment(thread_id=thread.id, author_name="A", message="three words here")
        unit.session.add(comment)
        await unit.session.flush()

    await asyncio.gather(*(database.write(add) for _ in range(40)))
    async with database.read() as connection:
        row = (await connection.execute(select(Thread.comment_count, Thread.word_count))).one()
    assert tuple(row) == (40, 120)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_a_deadlock_is_run_again(database: Database) -> None:
    async def make(unit: UnitOfWork) -> list[Thread]:
        threads = [Thread(title="One"), Thread(title="Two")]
        unit.session.add_all(threads)
        await unit.session.flush()
        return threads

    one, two = await database.write(make)
    tries: list[int] = []
    both_hold_one = asyncio.Barrier(2)

    async def rename(unit: UnitOfWork, order: tuple[Thread, Thread], who: int) -> None:
        tries.append(who)
        for number, thread in enumerate(order):
            loaded = await unit.session.get_one(Thread, thread.id)
            loaded.title += f" by {who}"
            await unit.session.flush()
            if number == 0 and tries.count(who) == 1:
                await both_hold_one.wait()

    await asyncio.gather(
        database.write(lambda unit: rename(unit, (one, two), 1)),
        database.write(lambda unit: rename(unit, (two, one), 2)),
    )
    assert sorted(tries) in ([1, 1, 2], [1, 2, 2])
    async with database.read() as connection:
        titles = (await connection.execute(select(Thread.title))).scalars().all()
    assert all("by 1" in title and "by 2" in title for title in titles)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_retries_are_bounded_and_end_in_a_clear_error(empty_url: str) -> None:
    database = Database(empty_url, attempts=3)
    tries: list[int] = []

    async def work(unit: UnitOfWork) -> None:
        tries.append(1)
        raised = "DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$"
        await unit.session.execute(text(raised))

    with pytest.raises(Busy, match="send the same request again"):
        await database.write(work)
    assert len(tries) == 3
    await database.dispose()


async def test_another_error_of_the_database_is_not_run_again(database: Database) -> None:
    tries: list[int] = []

    async def work(unit: UnitOfWork) -> None:
        tries.append(1)
        await unit.session.execute(text("SELECT * FROM no_such_table"))

    with pytest.raises(DBAPIError):
        await database.write(work)
    assert len(tries) == 1


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_unit_on_sqlite_takes_the_write_lock_at_its_start(database: Database) -> None:
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
    assert await count(database, Thread) == 2


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("nonsense", "The database URL cannot be read"),
        ("sqlite+aiosqlite://:port/x", "The database URL"),
        ("mysql://localhost/x", "names 'mysql', which Tallied cannot use"),
        ("postgresql+psycopg://localhost/x", "names 'postgresql.psycopg'"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_with_a_remedy(url: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        parse_url(url)
    assert "use sqlite+aiosqlite:///FILE or postgresql+asyncpg://" in str(caught.value)


def test_a_url_without_a_driver_gets_the_asynchronous_one() -> None:
    assert parse_url("postgresql://u:p@h/d").drivername == "postgresql+asyncpg"
    assert parse_url("sqlite:///x.db").drivername == "sqlite+aiosqlite"
