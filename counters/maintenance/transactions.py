"""The transactions of :mod:`.rebuild`, on any host's connection.

Each holds locks, and must see what others have committed by the time it has them. So it is READ
COMMITTED on PostgreSQL, where every statement has its own snapshot (PostgreSQL's documentation,
13.2.1), whatever the default of the connection. On SQLite it takes the write lock before it reads:
a transaction that reads and then writes fails if another has written meanwhile ("Isolation In
SQLite", SQLITE_BUSY_SNAPSHOT).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, false, text, update
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Mapper
from sqlalchemy.util import await_only

from ..sql.recount import plain_table

T = TypeVar("T")

ATTEMPTS = 10
"""How often a transaction is tried when the database asks for a retry."""

SQLITE_PAUSE = 0.15
"""Seconds between two batches on SQLite, where no queue gives a waiting writer its turn.

A writer that finds the file locked looks again after 100 ms at most (sqlite3.c,
``sqliteDefaultBusyCallback``), so it finds it free between any two batches.
"""


@contextmanager
def transactional(connection: Connection) -> Iterator[None]:
    """Enable transactions of `connection` in the block, even if it is in AUTOCOMMIT.

    On SQLite nothing needs to be done, where a transaction can always be begun by hand.
    """
    raw = connection.connection.dbapi_connection
    dialect = connection.dialect
    if raw is None or dialect.name == "sqlite" or not dialect.detect_autocommit_setting(raw):
        yield
        return
    connection.execution_options(isolation_level="READ COMMITTED")
    try:
        yield
    finally:
        connection.rollback()
        connection.execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def locking(connection: Connection, mapper: Mapper[Any]) -> Iterator[None]:
    """Begin a transaction that may lock rows of `mapper`, and sees what is committed by then."""
    with connection.begin():
        if connection.dialect.name == "sqlite":
            _take_write_lock(connection, mapper)
        else:
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL READ COMMITTED"))
        yield


def _take_write_lock(connection: Connection, mapper: Mapper[Any]) -> None:
    """Begin as a writer; or become one, where the host's own BEGIN has been sent already."""
    driver: Any = connection.connection.driver_connection
    if not driver.in_transaction:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    parents = plain_table(mapper, ())
    first = next(iter(parents.c))
    connection.execute(update(parents).where(false()).values({first: first}))


def pause(connection: Connection) -> None:
    """Give waiting writers a turn on SQLite; PostgreSQL's locks are queues already."""
    if connection.dialect.name == "sqlite":
        sleep(connection, SQLITE_PAUSE)


def sleep(connection: Connection, seconds: float) -> None:
    """Wait, without blocking the event loop of an asynchronous driver."""
    if connection.dialect.is_async:
        await_only(asyncio.sleep(seconds))
    else:
        time.sleep(seconds)


def run_with_retries(connection: Connection, work: Callable[[], T]) -> T:
    """Run `work`, and again when the database asks for a retry; return its result."""
    for attempt in range(1, ATTEMPTS):
        try:
            return work()
        except DBAPIError as error:
            if not _may_succeed(error):
                raise
        sleep(connection, random.uniform(0, 0.01 * 2**attempt))
    return work()


def _may_succeed(error: DBAPIError) -> bool:
    """Return whether a transaction as a whole may succeed when it is run again.

    PostgreSQL: serialization_failure, deadlock_detected and lock_not_available, where the
    connection has a ``lock_timeout`` (Appendix A). SQLite: SQLITE_BUSY and its extended codes.
    """
    if getattr(error.orig, "sqlstate", None) in ("40001", "40P01", "55P03"):
        return True
    cause = getattr(error.orig, "__cause__", None) or error.orig
    name = getattr(error.orig, "sqlite_errorname", None) or getattr(cause, "sqlite_errorname", "")
    return isinstance(error, OperationalError) and str(name).startswith("SQLITE_BUSY")
