"""A cancelled task leaves no connection and no lock behind, wherever it stands."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from pathlib import Path
from typing import Any

import aiosqlite
import psycopg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.engine import URL
from support.databases import OVERSEER

from tallied.database import Database, UnitOfWork
from tallied.database.sqlite import roll_back
from tallied.models import Thread

Work = Callable[[Database], Coroutine[Any, Any, None]]


class CancelledAt:
    """Does `work`, and has its task cancelled where it awaits something for the `number`-th time.

    :param late: when that is there, and before the task goes on with it.
    """

    def __init__(self, work: Awaitable[None], number: int, late: bool) -> None:
        self._work = work
        self._left = number
        self._late = late

    def __await__(self) -> Generator[Any, Any, None]:
        work = self._work.__await__()
        error: BaseException | None = None
        while True:
            try:
                awaited = next(work) if error is None else work.throw(error)
            except StopIteration:
                return
            self._left -= 1
            if self._left == 0:
                self._cancel(awaited)
            try:
                yield awaited
                error = None
            except BaseException as raised:
                error = raised

    def _cancel(self, awaited: asyncio.Future[Any] | None) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._late and awaited is not None:
            awaited.add_done_callback(lambda _: task.cancel())
        else:
            asyncio.get_running_loop().call_soon(task.cancel)


async def read(database: Database) -> None:
    async with database.read() as connection:
        await connection.execute(text("SELECT 1"))


async def write(database: Database) -> None:
    async def work(unit: UnitOfWork) -> None:
        unit.session.add(Thread(title="Engines"))
        await unit.session.flush()
        await unit.session.execute(text("SELECT 1"))

    await database.write(work)


def open_connections(url: URL) -> int:
    """Return how many there are to the database, once those that are being closed are gone.

    aiosqlite has a thread for each, and PostgreSQL a process.
    """
    if url.get_backend_name() == "sqlite":
        threads = [item for item in threading.enumerate() if "_connection_worker" in item.name]
        for thread in threads:
            thread.join(2)
        return sum(thread.is_alive() for thread in threads)
    server = url.set(drivername="postgresql", database="postgres").render_as_string(False)
    deadline = time.monotonic() + 2
    query = """SELECT count(*) FROM pg_stat_activity
      WHERE datname = %s AND application_name <> %s"""
    with psycopg.connect(server, autocommit=True) as connection:
        while True:
            (count,) = connection.execute(query, [url.database, OVERSEER]).fetchone() or (0,)
            if not count or time.monotonic() > deadline:
                return int(count)
            time.sleep(0.01)


@pytest.mark.exhaustive
@pytest.mark.parametrize("late", [False, True], ids=["while it waits", "when it need not wait"])
@pytest.mark.parametrize("work", [read, write])
async def test_pool_that_is_closed_then_has_every_connection_back(
    with_tables: None, empty_url: str, work: Work, late: bool
) -> None:
    """Also where nobody has waited for the task to end, as after a client has gone."""
    url = make_url(empty_url)
    for number in range(1, 200):
        database = Database(empty_url)
        task = asyncio.ensure_future(_run(CancelledAt(work(database), number, late)))
        while not (task.cancelling() or task.done()):
            await asyncio.sleep(0)
        await database.dispose()
        assert open_connections(url) == 0, number
        if not task.cancelling():
            await task
            assert number > 5, "there was something to cancel"
            break
        assert task.done(), number
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        pytest.fail("it never ended")


async def _run(work: CancelledAt) -> None:
    await work


async def test_rollback_succeeds_after_late_interrupt(sqlite_template: Path) -> None:
    """It lasts until the last statement that has begun is over, and ends a rollback, too."""
    async with aiosqlite.connect(sqlite_template) as driver:
        await driver.execute("BEGIN IMMEDIATE")
        rows = await driver.execute("SELECT 1 UNION ALL SELECT 2")
        await driver.interrupt()
        with pytest.raises(aiosqlite.OperationalError, match="interrupted"):
            await driver.rollback()
        assert driver.in_transaction
        await roll_back(driver, rows)
        assert not driver.in_transaction
