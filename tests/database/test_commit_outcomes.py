"""A commit, a rollback and a close end within the patience on any network."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from sqlalchemy import select, text
from support.leases import taken
from support.outages import proxied
from support.rows import add_threads, count_rows, fetch

from tallied.benchmarks.faulty_proxy import FaultyProxy
from tallied.cli.maintenance import verify
from tallied.database import Database, UnitOfWork
from tallied.errors import OutcomeUnknown
from tallied.models import Comment, Thread

pytestmark = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)

PATIENCE = 0.4
BOUND = 1.5
"""Seconds within which all must have ended, on a machine with others on it."""


@pytest.fixture(autouse=True)
def tables(with_tables: None) -> None:
    """Use Tallied's tables."""


async def add_comment(
    unit: UnitOfWork, thread: Thread, message: str = "four words are here"
) -> None:
    unit.session.add(Comment(thread_id=thread.id, author_name="Ada", message=message))
    await unit.session.flush()


async def stored(database: Database) -> tuple[int, int, int]:
    """Return a thread's two counters, and how many comments there are; all agree by a recount."""
    (row,) = await fetch(database, select(Thread.comment_count, Thread.word_count))
    drift: list[object] = []
    await verify(database, drift.append)
    assert drift == []
    return row[0], row[1], await count_rows(database, Comment)


async def assert_free(proxy: FaultyProxy, database: Database) -> None:
    """Restore the network: no connection is lost, and the next unit can be executed."""
    proxy.cut()
    proxy.resume()
    assert taken(database.engine) == 0
    async with asyncio.timeout(BOUND):
        await database.write(lambda unit: unit.session.execute(text("SELECT 1")))


def _at_the_answer(proxy: FaultyProxy, fault: str) -> None:
    """Make a fault once the next piece of data has arrived, and while its answer is on the way."""
    proxy.delay = 0.1
    asyncio.get_running_loop().call_later(0.15, getattr(proxy, fault))


LOST: dict[str, tuple[Any, tuple[int, int, int]]] = {
    "commit does not arrive": (lambda proxy: proxy.stall(), (0, 0, 0)),
    "answer is stalled": (lambda proxy: _at_the_answer(proxy, "stall"), (2, 7, 2)),
    "answer is cut": (lambda proxy: _at_the_answer(proxy, "cut"), (2, 7, 2)),
}
"""Faults at the commit, and what is stored afterwards: the change is not made again."""


@pytest.mark.parametrize("name", LOST)
async def test_commit_without_answer_has_unknown_outcome(empty_url: str, name: str) -> None:
    fault, expected = LOST[name]
    async with proxied(empty_url, patience=PATIENCE) as (proxy, database):
        (thread,) = await database.write(add_threads)
        tries: list[int] = []

        async def work(unit: UnitOfWork) -> None:
            tries.append(1)
            await add_comment(unit, thread)
            await add_comment(unit, thread, "and three more")
            fault(proxy)

        began = time.monotonic()
        with pytest.raises(OutcomeUnknown, match="may or may not have been made"):
            await database.write(work)
        seconds = time.monotonic() - began
        assert (0 if "cut" in name else PATIENCE) <= seconds < BOUND
        assert len(tries) == 1
        proxy.delay = 0
        await assert_free(proxy, database)
        assert await stored(database) == expected
        await database.write(lambda unit: add_comment(unit, thread))
        assert await stored(database) == tuple(map(sum, zip(expected, (1, 4, 1), strict=True)))


async def test_connection_lost_before_commit_runs_unit_again(empty_url: str) -> None:
    async with proxied(empty_url, patience=PATIENCE) as (proxy, database):
        (thread,) = await database.write(add_threads)
        tries: list[int] = []

        async def work(unit: UnitOfWork) -> None:
            tries.append(1)
            await add_comment(unit, thread)
            if len(tries) == 1:
                proxy.cut()
                await asyncio.sleep(0.05)

        await database.write(work)
        assert len(tries) == 2
        assert await stored(database) == (1, 4, 1)


async def test_cancelled_commit_frees_its_connection(empty_url: str) -> None:
    async with proxied(empty_url, patience=PATIENCE) as (proxy, database):
        (thread,) = await database.write(add_threads)

        async def work(unit: UnitOfWork) -> None:
            await add_comment(unit, thread)
            proxy.stall()

        task = asyncio.ensure_future(database.write(work))
        while not proxy.is_stalled:
            await asyncio.sleep(0.01)
        for _ in range(3):
            await asyncio.sleep(0.05)
            task.cancel()
        began = time.monotonic()
        with pytest.raises(OutcomeUnknown):
            await task
        assert time.monotonic() - began < BOUND
        await assert_free(proxy, database)
        assert await stored(database) == (0, 0, 0)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_silent_rollback_ends_with_its_error(empty_url: str, cancelled: bool) -> None:
    async with proxied(empty_url, patience=PATIENCE) as (proxy, database):
        (thread,) = await database.write(add_threads)

        async def work(unit: UnitOfWork) -> None:
            await add_comment(unit, thread)
            proxy.stall()
            if cancelled:
                await asyncio.sleep(60)
            raise LookupError

        began = time.monotonic()
        expected = TimeoutError if cancelled else LookupError
        with pytest.raises(expected):
            async with asyncio.timeout(0.2 if cancelled else 60):
                await database.write(work)
        assert time.monotonic() - began < BOUND
        await assert_free(proxy, database)
        assert await stored(database) == (0, 0, 0)


async def test_cancelled_statement_frees_its_silent_connection(empty_url: str) -> None:
    """Takes the 2 seconds that SQLAlchemy's asyncpg dialect gives a connection to close."""
    async with proxied(empty_url, patience=PATIENCE) as (proxy, database):
        (thread,) = await database.write(add_threads)

        async def read() -> None:
            async with database.read() as connection:
                await connection.execute(text("SELECT 1"))

        async def write() -> None:
            await database.write(lambda unit: add_comment(unit, thread))

        await asyncio.gather(read(), read())
        proxy.stall()
        began = time.monotonic()
        for task in (tasks := [asyncio.ensure_future(item()) for item in (read, write)]):
            asyncio.get_running_loop().call_later(0.1, task.cancel)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [asyncio.CancelledError] * 2
        assert time.monotonic() - began < 2 + BOUND
        await assert_free(proxy, database)


async def test_dispose_ends_on_silent_network(empty_url: str) -> None:
    async with proxied(empty_url, patience=PATIENCE) as (proxy, database):

        async def read() -> None:
            async with database.read() as connection:
                await connection.execute(text("SELECT 1"))
                await asyncio.sleep(0.05)

        await asyncio.gather(*(read() for _ in range(4)))
        proxy.stall()
        began = time.monotonic()
        await database.dispose()
        assert time.monotonic() - began < BOUND
