"""Specifics of SQLite: pragmas, BEGIN IMMEDIATE, interruption of statements."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Engine, PoolProxiedConnection, event
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.util import await_only

from ..counters.sql.driver import execute, is_observed
from ..errors import Unavailable
from .file import DatabaseFile

WAL_SIZE = 64 * 2**20
"""Bytes of the disk that the write-ahead log keeps after a burst of changes."""


CACHE_SIZE = 1000
"""Kibibytes of pages that a connection keeps in memory.

SQLite's 2,000 are a fifth of a server's memory with ten connections. The operating system, which
all connections share, keeps the pages as well.
"""

_BORROWED = "tallied.foreign_keys"


def configure(connection: DBAPIConnection, *, busy_timeout: float) -> None:
    """Set the pragmas of a connection that Tallied has opened.

    :param busy_timeout: seconds that a statement waits for another's lock.
    """
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {int(busy_timeout * 1000)}")
    try:
        cursor.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        if not str(error.sqlite_errorname).startswith("SQLITE_READONLY"):
            raise  # A file that cannot be written to is read with the journal that it has.
    cursor.execute(f"PRAGMA cache_size = -{CACHE_SIZE}")
    cursor.execute(f"PRAGMA journal_size_limit = {WAL_SIZE}")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def enforce_foreign_keys(connection: DBAPIConnection, *_: object) -> None:
    """Enforce foreign keys on a connection of a host's engine."""
    _set_foreign_keys(connection, "ON")


def borrow_foreign_keys(connection: PoolProxiedConnection, engine: Engine) -> bool:
    """Enforce foreign keys on a connection until it goes back to its pool.

    The application may have rows of its own that violate them.

    :returns: whether they are enforced. The pragma does nothing within a transaction (SQLite's
        documentation, "PRAGMA foreign_keys").
    """
    if _has_foreign_keys(connection):
        return True
    _set_foreign_keys(connection, "ON")
    if not _has_foreign_keys(connection):
        return False
    if not event.contains(engine, "checkin", _return_foreign_keys):
        event.listen(engine, "checkin", _return_foreign_keys)
    connection.info[_BORROWED] = True
    return True


def _return_foreign_keys(connection: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
    if entry.info.pop(_BORROWED, False) and connection is not None:
        _set_foreign_keys(connection, "OFF")


def _has_foreign_keys(connection: PoolProxiedConnection) -> bool:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys")
    row = cursor.fetchone()
    cursor.close()
    return row == (1,)


def _set_foreign_keys(connection: DBAPIConnection, value: str) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA foreign_keys = {value}")
    cursor.close()


def path_of(connection: DBAPIConnection) -> str | None:
    """Return where the file of a connection is, as SQLite has it; None for one in memory.

    It reads the file, so that the connection has its write-ahead log open from now on: SQLite
    removes that with the last connection that has.
    """
    cursor = connection.cursor()
    cursor.execute("PRAGMA schema_version")
    cursor.fetchall()
    cursor.execute("PRAGMA database_list")
    paths = {name: path for _, name, path in cursor.fetchall()}
    cursor.close()
    return paths["main"] or None


async def empty_log(reader: AsyncEngine, file: DatabaseFile, *, patience: float) -> None:
    """Bring what the write-ahead log has into the file that was opened, and remove the log.

    For a file that was removed or replaced: SQLite leaves the log of such a one behind, and would
    read it as that of the file which has the name now, and spoil that one. It also is what the
    old file lacks, should somebody have it.

    :param reader: an engine without transactions, whose pool opens no other file.
    :param patience: seconds to wait for a connection that others have.
    """
    deadline = time.monotonic() + patience
    while file.has_own_log and time.monotonic() < deadline:
        with suppress(DBAPIError, OSError, PoolTimeoutError, Unavailable):
            # Each connection may be in use, and another one is not opened any more.
            async with reader.connect() as connection:
                result = await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                if not result.one()[0]:  # whether others kept it from the end
                    file.remove_log()
                    break
        await asyncio.sleep(0.05)


def interrupt(failed: ExceptionContext) -> None:
    """End what SQLite's thread still executes for a task that has been cancelled.

    SQLAlchemy goes on to close the connection, which would wait for that thread, and which
    leaves the write lock taken as long as anything refers to one of its statements.
    """
    connection = failed.connection
    if isinstance(failed.original_exception, asyncio.CancelledError) and connection is not None:
        driver = connection.connection.driver_connection
        cursor = getattr(getattr(failed.execution_context, "cursor", None), "_cursor", None)
        await_only(asyncio.shield(roll_back(driver, cursor)))


async def roll_back(driver: Any, cursor: Any) -> None:
    """Roll back, behind the statement that the thread executes or is about to, if any.

    :param driver: a connection of aiosqlite.
    :param cursor: the cursor of the statement, or None.
    """
    rollback = asyncio.ensure_future(driver.rollback())
    # Not at once: what ends by itself meanwhile is not in need of it.
    while not (await asyncio.wait([rollback], timeout=0.02))[0]:
        await driver.interrupt()
    try:
        await rollback
    except sqlite3.OperationalError:
        # An interrupt ends all that is executed until the last statement is over: one that has
        # come too late for a statement, whose rows are still to be read, meets the rollback.
        if cursor is not None:
            await cursor.close()
        await driver.rollback()


def begin_immediate(connection: Connection) -> None:
    """Begin a transaction as a writer, which waits for others instead of failing halfway."""
    if is_observed(connection):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:  # in one step of the driver's thread, and not in four
        execute(connection, "BEGIN IMMEDIATE")
