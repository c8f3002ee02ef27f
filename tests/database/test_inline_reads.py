"""Short reads on SQLite are executed in the event loop, and all others by the driver's thread."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from math import inf
from pathlib import Path
from threading import get_ident
from typing import Any

import pytest
from sqlalchemy import Integer, event, func, select, text
from support.leases import connect, sum_statement, taken, thread_statement
from support.rows import add_threads
from support.statements import recorded
from support.waiting import eventually

from tallied.database import Database, leases
from tallied.database import database as database_module
from tallied.database import lease as lease_module
from tallied.database import statement as statement_module
from tallied.database.lease import SqliteLease
from tallied.database.statement import MAX_THREAD_TIME, THREAD_TIME, CompiledStatement
from tallied.errors import Unavailable
from tallied.models import Thread

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)

COUNT = (
    "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number"
    " WHERE n < {}) SELECT count(*) AS n FROM number"
)

NO_PARAMETERS: dict[str, object] = {}


def count_statement(database: Database, number: int = 300000) -> CompiledStatement:
    """Return a statement that counts: to the default in some tenths of a second."""
    part = text(COUNT.format(number)).columns(n=Integer).subquery("slow")
    return database.compile(select(part.c.n))


def file_of(database: Database) -> str:
    assert database.url.database is not None
    return database.url.database


async def lease_of(database: Database) -> SqliteLease:
    """Return the lease that the next read has, which nobody uses."""
    await connect(database)
    async with database.rows() as reader:
        assert isinstance(reader, SqliteLease)
        return reader


def busy_timeout(lease: SqliteLease) -> int:
    (timeout,) = lease._driver._conn.execute("PRAGMA busy_timeout").fetchone()
    return int(timeout)


@contextmanager
def traced(lease: SqliteLease) -> Iterator[list[bool]]:
    """Record for each select of the block whether the event loop's own thread executes it."""
    executed: list[bool] = []

    def trace(statement: str) -> None:
        if statement.lstrip().startswith("SELECT"):
            executed.append(get_ident() == own)

    own = get_ident()
    lease._driver._conn.set_trace_callback(trace)
    yield executed
    lease._driver._conn.set_trace_callback(None)


async def read_sum(database: Database) -> int:
    ((total,),) = await database.fetch(sum_statement(database), {"number": 2})
    return int(total)


async def test_short_read_is_executed_in_event_loop(database: Database) -> None:
    with traced(await lease_of(database)) as executed:
        assert await read_sum(database) == 42
        async with database.rows() as reader:
            assert await reader.read(select(Thread.id)) == []
    assert executed == [True, True]


async def test_slow_read_is_interrupted_and_left_to_thread(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statement_module, "MAX_THREAD_TIME", inf)
    monkeypatch.setattr(statement_module, "THREAD_TIME", inf)
    statement = count_statement(database)
    with traced(await lease_of(database)) as executed:
        for _ in range(2):
            assert await database.fetch(statement, NO_PARAMETERS) == [(300000,)]
        async with database.rows() as reader:
            assert await reader.fetch(statement) == [(300000,)]
        assert await read_sum(database) == 42
    assert executed == [True, False, False, False, True]


async def test_thread_has_slow_statement_for_ever_longer(database: Database) -> None:
    statement = count_statement(database)
    await lease_of(database)
    times = []
    for _ in range(8):
        statement.thread_until = 0.0
        await database.fetch(statement, NO_PARAMETERS)
        times.append(statement.thread_time)
    assert times[:3] == [THREAD_TIME, 2 * THREAD_TIME, 4 * THREAD_TIME]
    assert times[-1] == MAX_THREAD_TIME


async def test_statement_that_was_slow_once_comes_back(database: Database) -> None:
    statement = sum_statement(database)
    statement.leave_to_thread()
    statement.thread_until = 0.0
    with traced(await lease_of(database)) as executed:
        assert await database.fetch(statement, {"number": 2}) == [(42,)]
    assert executed == [True]
    assert statement.thread_time == THREAD_TIME / 2


async def test_interrupted_read_is_observed_once(database: Database) -> None:
    statement = count_statement(database)
    await lease_of(database)
    with recorded(database.engine.sync_engine) as statements:
        await database.fetch(statement, NO_PARAMETERS)
        await read_sum(database)
    assert len(statements) == 2


async def test_interrupted_read_leaves_no_transaction(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "INLINE_WAIT", inf)
    lease = await lease_of(database)
    await database.write(lambda unit: add_threads(unit, 1))
    assert lease.fetch_inline(count_statement(database), NO_PARAMETERS) is None
    other = sqlite3.connect(file_of(database))
    (is_busy, *_) = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    other.close()
    assert not is_busy


async def test_event_loop_waits_for_no_lock(
    backend: str, sqlite_template: Path, tmp_path: Path
) -> None:
    path = tmp_path / "forum.db"
    path.write_bytes(sqlite_template.read_bytes())
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA journal_mode = DELETE")
    # A file that cannot be written to keeps this journal, whose writers keep readers out.
    database = Database(f"sqlite+aiosqlite:///file:{path}?uri=true&mode=ro")
    lease = await lease_of(database)
    statement = database.compile(select(Thread.id))
    other.execute("BEGIN EXCLUSIVE")
    with traced(lease) as executed:
        reading = asyncio.ensure_future(database.fetch(statement, NO_PARAMETERS))
        await eventually(lambda: False in executed)
        assert not reading.done()
        other.execute("COMMIT")
        assert await reading == []
        assert busy_timeout(lease) == database.patience * 1000
        assert await read_sum(database) == 42
        assert busy_timeout(lease) == 0
    other.close()
    await database.dispose()


async def test_lease_ends_as_it_was(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "REST", 0.05)
    lease = await lease_of(database)
    driver = lease._driver
    await read_sum(database)
    assert busy_timeout(lease) == 0
    await eventually(lambda: taken(database.engine) == 0)
    async with database.read() as connection:
        raw = await connection.get_raw_connection()
        assert raw.driver_connection is driver
        (timeout,) = (await connection.execute(text("PRAGMA busy_timeout"))).one()
        assert timeout == database.patience * 1000
        assert (await connection.execute(text(COUNT.format(300000)))).scalar() == 300000


async def test_both_ways_have_the_same_rows(database: Database) -> None:
    await database.write(lambda unit: add_threads(unit, 3))
    await lease_of(database)
    ((key, *_), *_) = await database.fetch(database.compile(select(Thread.id)), NO_PARAMETERS)
    for statement, parameters in (
        (thread_statement(database), {"key": key}),
        (database.compile(select(Thread)), NO_PARAMETERS),
    ):
        inline = await database.fetch(statement, parameters)
        statement.thread_until = inf
        assert await database.fetch(statement, parameters) == inline
        assert [list(map(type, row)) for row in inline] == [
            list(map(type, row)) for row in await database.fetch(statement, parameters)
        ]


@pytest.mark.parametrize("has_lease", [False, True])
async def test_many_short_reads_let_others_run(database: Database, has_lease: bool) -> None:
    lease = await lease_of(database)
    statement, turns = sum_statement(database), 0
    fetch = lease.fetch if has_lease else database.fetch

    async def read_often() -> None:
        for _ in range(5000):
            await fetch(statement, {"number": 2})

    reading = asyncio.ensure_future(read_often())
    while not reading.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 4


@pytest.mark.parametrize("is_long", [False, True])
async def test_wait_for_disk_or_processor_is_bounded(
    database: Database, monkeypatch: pytest.MonkeyPatch, is_long: bool
) -> None:
    lease = await lease_of(database)
    begin = lease._connect_inline

    def wait_and_begin() -> sqlite3.Connection:
        time.sleep(2 * lease_module.INLINE_TIME)
        return begin()

    monkeypatch.setattr(lease, "_connect_inline", wait_and_begin)
    monkeypatch.setattr(lease_module, "INLINE_WAIT", 0.0 if is_long else inf)
    rows = lease.fetch_inline(count_statement(database, 100), NO_PARAMETERS)
    assert rows == (None if is_long else [(100,)])


async def test_long_step_is_left_to_thread_next(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite cannot be interrupted within a step, as of a slow disk or of a large value."""
    monkeypatch.setattr(statement_module, "THREAD_TIME", 10.0)
    monkeypatch.setattr(statement_module, "MAX_THREAD_TIME", 10.0)
    lease = await lease_of(database)
    lease._driver._conn.create_function("nap", 1, lambda seconds: time.sleep(seconds) or 1)
    statement = database.compile(select(func.nap(2 * lease_module.INLINE_WAIT)))
    with traced(lease) as executed:
        for _ in range(2):
            assert await database.fetch(statement, NO_PARAMETERS) == [(1,)]
    assert executed == [True, False]


@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux counts the waits of a thread.")
@pytest.mark.parametrize("has_waited", [False, True])
async def test_time_of_other_processes_is_no_wait(
    database: Database, monkeypatch: pytest.MonkeyPatch, has_waited: bool
) -> None:
    """A process that others keep from the processor has a long step, too, but no wait."""
    lease = await lease_of(database)
    begin = lease._connect_inline
    clock = count(step=2 * lease_module.INLINE_WAIT)
    monkeypatch.setattr(lease_module, "perf_counter", lambda: next(clock))

    def wait_and_begin() -> sqlite3.Connection:
        if has_waited:
            time.sleep(0.0001)
        return begin()

    monkeypatch.setattr(lease, "_connect_inline", wait_and_begin)
    statement = count_statement(database, 100)
    rows = lease.fetch_inline(statement, NO_PARAMETERS)
    assert rows == (None if has_waited else [(100,)])
    assert bool(statement.thread_until) == has_waited


async def test_long_step_of_processor_is_left_to_thread_next(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compute(seconds: float) -> int:
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass
        return 1

    monkeypatch.setattr(lease_module, "has_waited", lambda _: False)
    lease = await lease_of(database)
    lease._driver._conn.create_function("compute", 1, compute)
    statement = database.compile(select(func.compute(2 * lease_module.INLINE_WAIT)))
    assert lease.fetch_inline(statement, NO_PARAMETERS) == [(1,)]
    assert statement.thread_until


@pytest.mark.parametrize("name", ["connect", "checkout"])
async def test_connection_of_host_setup_is_left_to_thread(database: Database, name: str) -> None:
    calls: list[int] = []

    def set_up(connection: Any, *_: object) -> None:
        driver = connection.driver_connection._conn
        driver.set_progress_handler(lambda: calls.append(get_ident()) or 0, 1000)

    event.listen(database.engine.sync_engine, name, set_up)
    with traced(await lease_of(database)) as executed:
        for _ in range(2):
            assert await database.fetch(count_statement(database, 1000), NO_PARAMETERS) == [(1000,)]
            assert calls
            assert get_ident() not in calls
            calls.clear()
    assert executed == [False, False]


async def test_read_sees_commit_of_this_process(database: Database) -> None:
    statement = database.compile(select(Thread.id))
    with traced(await lease_of(database)) as executed:
        for number in range(3):
            assert len(await database.fetch(statement, NO_PARAMETERS)) == number
            await database.write(lambda unit: add_threads(unit, 1))
    assert executed == [True] * 3


@pytest.mark.parametrize("change", [os.unlink, lambda path: os.rename(path, f"{path}.old")])
async def test_read_of_lost_file_is_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch, change: Callable[[str], None]
) -> None:
    monkeypatch.setattr(database_module, "READ_AGE", 0.0)
    await lease_of(database)
    assert await read_sum(database) == 42
    change(file_of(database))
    with pytest.raises(Unavailable, match="removed or replaced"):
        await read_sum(database)


async def test_dispose_leaves_no_open_file(database: Database) -> None:
    await lease_of(database)
    await read_sum(database)
    path = os.path.realpath(file_of(database))
    assert any(name.startswith(path) for name in open_files())
    await database.dispose()
    assert not any(name.startswith(path) for name in open_files())


def open_files() -> list[str]:
    folder = f"/proc/{os.getpid()}/fd"
    if not os.path.isdir(folder):
        pytest.skip("a list of open files is Linux's")
    names = []
    for number in os.listdir(folder):
        try:
            names.append(os.readlink(f"{folder}/{number}"))
        except OSError:
            continue
    return names
