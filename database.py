"""The database: where rows are read, and the one place where they are written.

Reads take a connection in AUTOCOMMIT from the pool, and rows, not entities, come
back. Writes run as a **unit of work**: one transaction, rolled back unless it ends
well, committed in one place, and run again from its start when the database asks for
that (a deadlock or a serialization failure). On SQLite a unit begins with ``BEGIN
IMMEDIATE``, since a transaction that turns into a writer halfway fails at once
whatever the busy timeout, and the units of one process queue on one lock.

No wait is endless: for a connection of the pool, for the queue, for another's lock. And
a task that is cancelled takes its statement along: asyncpg sends PostgreSQL a cancel
request, and SQLite is interrupted here.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiosqlite
from sqlalchemy import Connection, event
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect, ExceptionContext
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only, greenlet_spawn

from .errors import Busy, ConfigurationError
from .models.counters import counters
from .unfinished import Unfinished
from .units import Repeated, undivided, watch
from .units import UnitOfWork as UnitOfWork
from .urls import check_url, parse_url, split_url

logger = logging.getLogger("tallied")

T = TypeVar("T")

BUSY_TIMEOUT = 5.0
"""Seconds that a unit waits for others, and anyone for a connection of the pool."""

BUSY = "The database is busy with other changes; send the same request again."


class CountedSession(Session):
    """The session class on which the counters are installed."""


counters.install(CountedSession)


class Database:
    """One database, its pool of connections, and its units of work.

    :param database: its URL, as SQLAlchemy writes it, for ``sqlite+aiosqlite`` or
        ``postgresql+asyncpg``; or a host's own engine for one of these. That stays as it is,
        but that on SQLite its connections enforce foreign keys from now on.
    :param session_class: what a unit's session is; the counters are installed on it, if they
        are not yet.
    :param schema: the schema of the database that Tallied's tables are in (PostgreSQL); by
        default, the one that the connections look into.
    :param attempts: how often a unit is tried when the database asks for a retry.
    :param patience: seconds that a unit waits for others, and for what follows its commit, and
        anyone for a connection.
    :param options: further arguments of :func:`sqlalchemy.create_engine`, for a URL.
    :raises ConfigurationError: for a database that cannot be used.
    """

    def __init__(
        self,
        database: str | AsyncEngine,
        *,
        session_class: type[Session] = CountedSession,
        schema: str | None = None,
        attempts: int = 10,
        patience: float = BUSY_TIMEOUT,
        **options: Any,
    ) -> None:
        _check_session_class(session_class)
        self.is_ours = isinstance(database, str)
        self.url = (
            check_url(database.url) if isinstance(database, AsyncEngine) else parse_url(database)
        )
        self.attempts = attempts
        self.patience = patience
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.schema = schema
        if schema is not None and self.is_sqlite:
            raise ConfigurationError("SQLite has no schemas; leave the schema out.")
        if isinstance(database, AsyncEngine):
            self.engine = database
        else:
            self.engine = self._create(options)
        translate: dict[str, Any] = {"schema_translate_map": {None: schema}} if schema else {}
        self.reader = self.engine.execution_options(isolation_level="AUTOCOMMIT", **translate)
        self.plain = self.engine.execution_options(**translate)
        """For what is streamed, by a cursor: in a transaction, and on SQLite no IMMEDIATE one."""
        self._writer = self.engine.execution_options(**translate)
        self._unfinished = Unfinished()
        self._queue = asyncio.Lock() if self.is_sqlite else None
        self._listen()
        counters.install(session_class)
        watch(session_class)
        self.session_class = session_class
        self.sessions = async_sessionmaker(
            self._writer, sync_session_class=session_class, expire_on_commit=False
        )

    def _create(self, options: dict[str, Any]) -> AsyncEngine:
        if "poolclass" not in options and not self._is_in_memory():
            options.setdefault("pool_timeout", self.patience)
        url, arguments = split_url(self.url)
        arguments = {**options.pop("connect_args", {}), **arguments}
        return create_async_engine(url, connect_args=arguments, **options)

    def _listen(self) -> None:
        shared = self.engine.sync_engine
        if self.is_ours and self.is_sqlite:
            event.listen(shared, "do_connect", self._connect)
        elif self.is_ours:
            event.listen(shared, "connect", self._configure)
        elif self.is_sqlite:
            event.listen(shared, "connect", _enforce_foreign_keys)
        if self.is_sqlite:
            event.listen(self._writer.sync_engine, "begin", _begin_immediate)
            for engine in (self.reader, self._writer):
                event.listen(engine.sync_engine, "handle_error", _interrupt)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection to read from; each statement sees what is committed when it starts.

        :raises Busy: when no connection is to be had, or another holds a lock for too long.
        """
        try:
            with self._unfinished.block():
                connection = await self._open(self.reader.connect())
                try:
                    yield connection
                finally:
                    await self._unfinished.to_its_end(connection.close())
        except PoolTimeoutError as error:
            raise Busy(BUSY) from error
        except DBAPIError as error:
            if _is_refused_a_lock(error):
                raise Busy(BUSY) from error
            raise

    async def _open(self, connection: AsyncConnection) -> AsyncConnection:
        """Check a connection out of the pool.

        With aiosqlite, AUTOCOMMIT is set by another thread, while the task may be cancelled.
        """
        if not self.is_sqlite:
            return await connection.start()
        return await self._unfinished.opened(connection.start(), AsyncConnection.close)

    async def write(self, work: Callable[[UnitOfWork], Awaitable[T]]) -> T:
        """Run `work` as one unit of work, and return what it returns once it is committed.

        `work` may be run more than once, so all that it does outside of the session
        belongs into :attr:`UnitOfWork.after_commit`.

        What follows the commit is waited for, but no longer than :attr:`patience`: then it goes
        on by itself, and :meth:`dispose` waits for it.

        :raises Busy: when the unit has waited too long for others, or the database asked for
            a retry too often.
        :raises InvalidRequestError: where `work` commits the session, rolls it back or closes it;
            nothing of the unit is written then.
        """
        deadline = time.monotonic() + self.patience
        for attempt in range(self.attempts):
            if attempt:
                await asyncio.sleep(random.uniform(0, 0.01 * 2 ** min(attempt, 6)))
            try:
                return await self._attempt(work, can_repeat=attempt == 0)
            except Repeated:
                continue
            except PoolTimeoutError as error:
                raise Busy(BUSY) from error
            except DBAPIError as error:
                if _is_refused_a_lock(error):
                    raise Busy(BUSY) from error
                if not asks_for_retry(error):
                    raise
                # PostgreSQL made this unit give way to others, and it may be quick the next time;
                # SQLite has kept it waiting for as long as it may.
                if self.is_sqlite and time.monotonic() > deadline:
                    break
        raise Busy(BUSY)

    async def _attempt(self, work: Callable[[UnitOfWork], Awaitable[T]], *, can_repeat: bool) -> T:
        with self._unfinished.block():
            async with self._turn():
                session = self.sessions()
                unit = UnitOfWork(session)
                unit.can_repeat = can_repeat
                try:
                    with undivided(session):
                        result = await work(unit)
                    cancelled = await _to_its_end(session.commit())
                except BaseException:
                    await session.rollback()
                    raise
                finally:
                    await self._unfinished.to_its_end(session.close())
        await self._follow(unit, cancelled)
        return result

    async def _follow(self, unit: UnitOfWork, cancelled: asyncio.CancelledError | None) -> None:
        """Do what waits for the commit: to its end, though its task may be cancelled before."""
        following = self._unfinished.start(unit.committed())
        with unit.untimed():
            done, _ = await asyncio.wait({following}, timeout=self.patience)
        if cancelled:
            raise cancelled
        if done:
            await following
        else:
            logger.warning(
                "what follows a commit takes longer than %s seconds, and goes on by itself",
                self.patience,
            )

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """The turn of one unit among those of this process, which SQLite runs one by one."""
        if self._queue is None:
            yield
            return
        try:
            async with asyncio.timeout(self.patience):
                await self._queue.acquire()
        except TimeoutError as error:
            raise Busy(BUSY) from error
        try:
            yield
        finally:
            self._queue.release()

    async def dispose(self) -> None:
        """Close the pool, once what reads, writes or follows a commit has ended, or patience has.

        A host's stays open.
        """
        await self._unfinished.wait(self.patience)
        if self.is_ours:
            await self._unfinished.to_its_end(self.engine.dispose())

    def _is_in_memory(self) -> bool:
        return self.is_sqlite and (
            self.url.database in (None, "", ":memory:") or self.url.query.get("mode") == "memory"
        )

    def _connect(
        self, dialect: Dialect, record: object, arguments: list[Any], options: dict[str, Any]
    ) -> DBAPIConnection:
        """Open the file, which another thread does, while the task may be cancelled.

        So it is for what configures it: a file whose journal_mode is changed is locked until
        the last reference to the statement has gone.
        """

        def open() -> DBAPIConnection:
            connection = dialect.connect(*arguments, **options)
            try:
                self._configure(connection, record)
            except BaseException:
                connection.close()
                raise
            return connection

        return await_only(self._unfinished.opened(greenlet_spawn(open), _close_driver))

    def _configure(self, connection: DBAPIConnection, record: object) -> None:
        milliseconds = int(self.patience * 1000)
        cursor = connection.cursor()
        if self.is_sqlite:
            cursor.execute(f"PRAGMA busy_timeout = {milliseconds}")
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA foreign_keys = ON")
        else:
            # Not a parameter of the connection: poolers such as PgBouncer refuse those.
            cursor.execute(f"SET lock_timeout = {milliseconds}")
            connection.commit()
        cursor.close()


def _check_session_class(session_class: object) -> None:
    """Refuse what makes sessions, and is not the class that the counters listen to."""
    if not (isinstance(session_class, type) and issubclass(session_class, Session)):
        name = getattr(session_class, "__name__", type(session_class).__name__)
        raise ConfigurationError(
            f"session_class must be a class derived from sqlalchemy.orm.Session, not {name}; pass"
            " the class that an AsyncSession or async_sessionmaker takes as sync_session_class."
        )


def _enforce_foreign_keys(connection: DBAPIConnection, record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


async def _close_driver(connection: DBAPIConnection) -> None:
    await greenlet_spawn(connection.close)


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


async def _to_its_end(commit: Coroutine[Any, Any, None]) -> asyncio.CancelledError | None:
    """Commit, also when the task is cancelled meanwhile: nobody could tell how it ended.

    :returns: the cancellation, which has to wait until what follows a commit is done.
    """
    task = asyncio.ensure_future(commit)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError as cancelled:
        await task
        return cancelled
    return None


def _is_refused_a_lock(error: DBAPIError) -> bool:
    """PostgreSQL: lock_not_available and too_many_connections."""
    return getattr(error.orig, "sqlstate", None) in ("55P03", "53300")


def _interrupt(failed: ExceptionContext) -> None:
    """End what SQLite's thread still executes for a task that has been cancelled.

    SQLAlchemy goes on to close the connection, which would wait for that thread, and which
    leaves the write lock taken as long as anything refers to one of its statements.
    """
    connection = failed.connection
    if isinstance(failed.original_exception, asyncio.CancelledError) and connection is not None:
        driver = connection.connection.driver_connection
        assert isinstance(driver, aiosqlite.Connection)
        cursor = getattr(getattr(failed.execution_context, "cursor", None), "_cursor", None)
        await_only(asyncio.shield(_roll_back(driver, cursor)))


async def _roll_back(driver: aiosqlite.Connection, cursor: aiosqlite.Cursor | None) -> None:
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


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
