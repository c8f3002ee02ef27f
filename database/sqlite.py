"""What SQLite needs: pragmas, transactions that begin as writers, statements that can be ended."""

from __future__ import annotations

import asyncio

import aiosqlite
from sqlalchemy import Connection
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.util import await_only

WAL_SIZE = 64 * 2**20
"""Bytes that the write-ahead log keeps of the disk once a burst of changes is over."""


def configure(connection: DBAPIConnection, *, busy_timeout: float) -> None:
    """Set the pragmas of a connection that Tallied has opened.

    :param busy_timeout: seconds that a statement waits for another's lock.
    """
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {int(busy_timeout * 1000)}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute(f"PRAGMA journal_size_limit = {WAL_SIZE}")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def enforce_foreign_keys(connection: DBAPIConnection, record: object) -> None:
    """Have a connection of a host's engine enforce foreign keys."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def path_of(connection: DBAPIConnection) -> str | None:
    """Return where the file of a connection is, as SQLite has it; None for one in memory."""
    cursor = connection.cursor()
    cursor.execute("SELECT file FROM pragma_database_list WHERE name = 'main'")
    row = cursor.fetchone()
    cursor.close()
    return (row and row[0]) or None


def interrupt(failed: ExceptionContext) -> None:
    """End what SQLite's thread still executes for a task that has been cancelled.

    SQLAlchemy goes on to close the connection, which would wait for that thread, and which
    leaves the write lock taken as long as anything refers to one of its statements.
    """
    connection = failed.connection
    if isinstance(failed.original_exception, asyncio.CancelledError) and connection is not None:
        driver = connection.connection.driver_connection
        assert isinstance(driver, aiosqlite.Connection)
        cursor = getattr(getattr(failed.execution_context, "cursor", None), "_cursor", None)
        await_only(asyncio.shield(roll_back(driver, cursor)))


async def roll_back(driver: aiosqlite.Connection, cursor: aiosqlite.Cursor | None) -> None:
    """Roll back, behind the statement that the thread executes or is about to, if any.

    :param cursor: the statement's.
    """
    rollback = asyncio.ensure_future(driver.rollback())
    # Not at once: what ends by itself meanwhile is not in need of it.
    while not (await asyncio.wait([rollback], timeout=0.02))[0]:
        await driver.interrupt()
    try:
        await rollback
    except aiosqlite.OperationalError:
        # An interrupt ends all that is executed until the last statement is over: one that has
        # come too late for a statement, whose rows are still to be read, meets the rollback.
        if cursor is not None:
            await cursor.close()
        await driver.rollback()


def begin_immediate(connection: Connection) -> None:
    """Begin a transaction as a writer, which waits for others instead of failing halfway."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
