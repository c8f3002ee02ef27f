"""The database: where rows are read, and the one place where they are written.

Reads take a connection in AUTOCOMMIT from the pool, and rows, not entities, come
back. Writes run as a **unit of work**: one transaction, rolled back unless it ends
well, committed in one place, and run again from its start when the database asks for
that (a deadlock or a serialization failure). On SQLite a unit begins with ``BEGIN
IMMEDIATE``, since a transaction that turns into a writer halfway fails at once
whatever the busy timeout, and the units of one process queue on one lock.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Connection, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session

from .errors import Busy, ConfigurationError
from .models.counters import counters

T = TypeVar("T")

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
BUSY_TIMEOUT = 5.0
"""Seconds that a unit waits for another process's unit on the same SQLite file."""


class CountedSession(Session):
    """The session class on which the counters are installed."""


counters.install(CountedSession)


@dataclass
class UnitOfWork:
    """What one writing transaction works with."""

    session: AsyncSession
    after_commit: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """What must happen once, when the unit has committed, in order; never before."""


class Database:
    """One database, its pool of connections, and its units of work.

    :param url: as SQLAlchemy writes it, for ``sqlite+aiosqlite`` or ``postgresql+asyncpg``.
    :param attempts: how often a unit is tried when the database asks for a retry.
    :param options: further arguments of :func:`sqlalchemy.create_engine`.
    :raises ConfigurationError: for a URL that cannot be used.
    """

    def __init__(self, url: str, *, attempts: int = 10, **options: Any) -> None:
        self.url = parse_url(url)
        self.attempts = attempts
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = create_async_engine(self.url, **options)
        self.reader = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._writer = self.engine.execution_options()
        self._queue: asyncio.Lock | nullcontext[None] = nullcontext()
        if self.is_sqlite:
            self._queue = asyncio.Lock()
            event.listen(self.engine.sync_engine, "connect", _configure_sqlite)
            event.listen(self._writer.sync_engine, "begin", _begin_immediate)
        self.sessions = async_sessionmaker(
            self._writer, sync_session_class=CountedSession, expire_on_commit=False
        )

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection to read from; each statement sees what is committed when it starts."""
        async with self.reader.connect() as connection:
            yield connection

    async def write(self, work: Callable[[UnitOfWork], Awaitable[T]]) -> T:
        """Run `work` as one unit of work, and return what it returns once it is committed.

        `work` may be run more than once, so all that it does outside of the session
        belongs into :attr:`UnitOfWork.after_commit`.

        :raises Busy: when the database asked for a retry too often.
        """
        for attempt in range(self.attempts):
            if attempt:
                await asyncio.sleep(random.uniform(0, 0.01 * 2 ** min(attempt, 6)))
            try:
                async with self._queue, self.sessions() as session, session.begin():
                    unit = UnitOfWork(session)
                    result = await work(unit)
            except DBAPIError as error:
                if not asks_for_retry(error):
                    raise
                continue
            for callback in unit.after_commit:
                await callback()
            return result
        raise Busy("The database is busy with other changes; send the same request again.")

    async def dispose(self) -> None:
        """Close the pool."""
        await self.engine.dispose()


def parse_url(text: str) -> Any:
    """The SQLAlchemy URL of `text`, with the asynchronous driver filled in.

    :raises ConfigurationError: for what is no URL of SQLite or PostgreSQL.
    """
    remedy = "use sqlite+aiosqlite:///FILE or postgresql+asyncpg://USER:PASSWORD@HOST/DATABASE."
    try:
        url = make_url(text)
        driver = DRIVERS.get(url.get_backend_name())
    except (ArgumentError, ValueError) as error:
        raise ConfigurationError(f"The database URL cannot be read; {remedy}") from error
    if driver is None or url.drivername not in (driver, url.get_backend_name()):
        raise ConfigurationError(
            f"The database URL names {url.drivername!r}, which Tallied cannot use; {remedy}"
        )
    return url.set(drivername=driver)


def asks_for_retry(error: DBAPIError) -> bool:
    """Whether the unit as a whole may succeed when it is run again.

    PostgreSQL: serialization_failure and deadlock_detected (Appendix A, class 40).
    SQLite: SQLITE_BUSY and its extended codes.
    """
    if getattr(error.orig, "sqlstate", None) in ("40001", "40P01"):
        return True
    cause = getattr(error.orig, "__cause__", None) or error.orig
    name = getattr(error.orig, "sqlite_errorname", None) or getattr(cause, "sqlite_errorname", "")
    return isinstance(error, OperationalError) and str(name).startswith("SQLITE_BUSY")


def _configure_sqlite(connection: DBAPIConnection, record: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT * 1000)}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
