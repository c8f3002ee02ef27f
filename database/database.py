"""The database: where rows are read, and the one place where they are written.

Reads take a connection in AUTOCOMMIT from the pool, and rows, not entities, come
back. Writes run as a **unit of work**: one transaction, rolled back unless it ends
well, committed in one place, and run again from its start when the database asks for
that (a deadlock or a serialization failure). On SQLite a unit begins with ``BEGIN
IMMEDIATE``, since a transaction that turns into a writer halfway fails at once
whatever the busy timeout, and the units of one process queue on one lock.

No wait is endless: for a connection, for the queue, for another's lock, for the answer to a commit.
A task that is cancelled takes its statement along: asyncpg sends PostgreSQL a cancel request, and
SQLite is interrupted here. Failures are in :mod:`~tallied.database.failures`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, async_sessionmaker
from sqlalchemy.orm import Session

from ..concurrency.pending_tasks import PendingTasks, run_bounded
from ..counters.registry.session_classes import Installable
from ..errors import Busy, ConfigurationError, Unavailable
from ..models.counters import counters
from ..settings import Settings
from .disk import FullDisk
from .engine import EngineFactory, is_sqlite, listen
from .failures import BUSY, classify, translate, unknown_outcome
from .file import DatabaseFile, file_of
from .followers import call_followers
from .group_commit import OVERTAKING_TIME, GroupCommits
from .leases import LeaseBlock, Leases
from .postgresql import Connector
from .retries import Retries
from .row_reader import EngineReader, RowReader
from .sqlite import empty_log
from .statement import CompiledStatement, Rows, StatementCache
from .transaction_end import TransactionEnd
from .unit_of_work import UnitOfWork, forbid_commit, install_counters, install_guards
from .urls import check_url, parse_url

T = TypeVar("T")

BUSY_TIMEOUT = 5.0
"""Seconds that a unit waits for locks, and a task for a connection."""

READ_AGE = 0.05
"""Seconds between checks of SQLite's file by reads."""

IDLE_TIMEOUT = 60.0
"""Seconds that a transaction may wait for its client, if nothing limits a unit of work."""

CLOSE_TIME = 2.0
"""Seconds that the connections of a pool have to close."""


class CountedSession(Session):
    """The session class on which the counters are installed."""


counters.install(CountedSession)


class Database:
    """One database, its pool of connections, and its units of work.

    :param database: its URL, as SQLAlchemy writes it, for ``sqlite+aiosqlite`` or
        ``postgresql+asyncpg``; or a host's own engine for one of these. That stays as it is,
        but that on SQLite its connections enforce foreign keys from now on.
    :param session_class: the class of a unit's session, or what makes such sessions, as Flask-
        SQLAlchemy's ``db.session``; the counters are installed on it, if they are not yet.
    :param schema: the schema of the database that Tallied's tables are in (PostgreSQL); by
        default, the one that the connections look into.
    :param attempts: how often a unit is run at most, while the database asks for that.
    :param patience: seconds that a unit waits for others, and for what follows its commit, and
        anyone for a connection.
    :param pool_size: how many connections are open at most, for a URL.
    :param idle_timeout: seconds after which PostgreSQL ends a transaction that waits for nothing
        but its client, and releases its locks: more than a unit may take, with its hooks. It is
        for a URL; a host's own engine has what the host sets.
    :param options: further arguments of :func:`sqlalchemy.create_engine`, for a URL.
    :raises ConfigurationError: for a database that cannot be used.
    """

    def __init__(
        self,
        database: str | AsyncEngine,
        *,
        session_class: Installable = CountedSession,
        schema: str | None = None,
        attempts: int = Settings.transaction_attempts,
        patience: float = BUSY_TIMEOUT,
        pool_size: int = Settings.pool_size,
        idle_timeout: float = IDLE_TIMEOUT,
        **options: Any,
    ) -> None:
        self.session_class = install_counters(session_class)
        self.is_ours = isinstance(database, str)
        self.url = (
            check_url(database.url) if isinstance(database, AsyncEngine) else parse_url(database)
        )
        self.attempts = attempts
        self.patience = patience
        self.is_sqlite = is_sqlite(self.url)
        self.schema = schema
        if schema is not None and self.is_sqlite:
            raise ConfigurationError("SQLite has no schemas; leave the schema out.")
        self._pending_tasks = PendingTasks()
        of_host = DatabaseFile() if self.is_sqlite else None  # Its connections name it later.
        self.file = file_of(self.url) if self.is_sqlite and self.is_ours else of_host
        """The file of an SQLite database, a host's too; None for any other database."""
        self.connector: Connector | None = None
        """The opener of connections; None for SQLite and for a host's engine."""
        factory: EngineFactory | None = None
        if isinstance(database, AsyncEngine):
            self.engine = database
        else:
            factory = EngineFactory(
                self.url,
                patience=patience,
                idle_timeout=idle_timeout,
                pool_size=pool_size,
                pending_tasks=self._pending_tasks,
                file=self.file,
            )
            self.engine = factory.create(options)
            self.connector = factory.connector
        translate: dict[str, Any] = {"schema_translate_map": {None: schema}} if schema else {}
        self.reader = self.engine.execution_options(isolation_level="AUTOCOMMIT", **translate)
        self.plain = self.engine.execution_options(**translate)
        """The engine for streams by a cursor: in a transaction that is not IMMEDIATE on SQLite."""
        self._writer = self.engine.execution_options(**translate)
        self._leases = Leases(
            self.reader,
            self.engine.sync_engine,
            self._open,
            factory.is_plain if factory else lambda: False,
            recycle=options.get("pool_recycle", -1),
            patience=patience,
            statements=StatementCache(schema),
            pending_tasks=self._pending_tasks,
        )
        self.full_disk = FullDisk(self._writer)
        self._queue = asyncio.Lock() if self.is_sqlite else None
        overtaking_time = None if self.is_sqlite else OVERTAKING_TIME
        self.group_commits = GroupCommits(
            self.write, self._pending_tasks, patience, overtaking_time
        )
        if self.file is not None and self.is_ours:
            self.file.when_lost = self._empty_log
        if self.is_sqlite:
            listen(
                self.engine,
                self.file,
                is_ours=self.is_ours,
                writer=self._writer,
                reader=self.reader,
            )
        install_guards(self.session_class)
        self.sessions = async_sessionmaker(
            self._writer, sync_session_class=self.session_class, expire_on_commit=False
        )

    async def open_file(self) -> None:
        """Open the file of an SQLite database, which must exist from now on.

        :raises ConfigurationError: where there is none.
        :raises Unavailable: as :meth:`check_file` does.
        """
        if self.file is None:
            return
        if self.is_ours and not self.file.is_there:
            raise ConfigurationError(
                f"There is no database at {self.url.database}; run `tallied migrate` first."
            )
        async with self.read():
            pass

    def check_file(self, *, max_age: float = 0.0) -> None:
        """Check that the file of an SQLite database is still the one that was opened.

        Reads are refused as well as writes: those that need a new connection could not be
        answered, and what others read nobody would find after a restart.

        :param max_age: seconds for which the result of a former check stands.
        :raises Unavailable: where the file was removed or replaced; from then on, always.
        """
        if self.file is not None:
            self.file.check(max_age=max_age)

    def _empty_log(self) -> None:
        assert self.file is not None
        self._leases.end_idle()  # They keep the log from being emptied by another connection.
        self._pending_tasks.start(empty_log(self.reader, self.file, patience=self.patience))

    def read(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Return a block with a connection; each statement sees what is committed at its start.

        :raises Busy: when no connection is free, or another holds a lock for too long;
            behind a transaction pooler, nothing bounds the wait for a lock.
        :raises Unavailable: when the database cannot be used, and as :meth:`check_file` does.
        """
        return _translating(self._read())

    async def run_query(self, query: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Return what `query` reads on a connection as :meth:`read` has it.

        It is run again where its connection was lost, so it must do nothing else than read.

        :raises Busy: as :meth:`read`.
        :raises Unavailable: when the database cannot be used for longer than :attr:`patience`.
        """
        return await self._retries().read(self._read, query)

    def rows(self) -> AbstractAsyncContextManager[RowReader]:
        """Return a block with a reader of rows, which executes compiled statements one at a time.

        It leases a connection and uses its driver; with an engine that a host, an option or a
        listener has made different, it uses SQLAlchemy. It raises the same as :meth:`read`.
        """
        return _translating(self._rows())

    async def query_rows(self, query: Callable[[RowReader], Awaitable[T]]) -> T:
        """Return what `query` reads by a reader of :meth:`rows`, as :meth:`run_query` does."""
        return await self._retries().read(self._rows, query)

    async def fetch(self, statement: CompiledStatement, parameters: Mapping[str, Any]) -> Rows:
        """Return the rows of a compiled statement, as :meth:`query_rows` reads them."""
        began, observers = time.monotonic(), self._leases.observers()
        retries = None
        if observers is not None:  # The plain case needs neither a block nor retries.
            try:
                if self.file is not None:
                    self.check_file(max_age=READ_AGE)
                return await self._leases.fetch(statement, parameters, observers)
            except Exception as error:
                retries = self._retries(began)
                await retries.wait(error)
        retries = retries or self._retries(began)
        return await retries.read(self._rows, lambda reader: reader.fetch(statement, parameters))

    def _retries(self, began: float | None = None) -> Retries:
        return Retries(self.attempts, self.patience, is_sqlite=self.is_sqlite, began=began)

    def compile(self, statement: Select[Any]) -> CompiledStatement:
        """Return `statement` as the driver has it, for a reader of :meth:`rows`."""
        return CompiledStatement(statement, self.engine.dialect, self.schema)

    def _rows(self) -> AbstractAsyncContextManager[RowReader]:
        observers = self._leases.observers()
        if observers is None:
            return self._engine_rows()
        self.check_file(max_age=READ_AGE)
        return LeaseBlock(self._leases, observers)

    @asynccontextmanager
    async def _engine_rows(self) -> AsyncIterator[RowReader]:
        async with self._read() as connection:
            yield EngineReader(connection)

    @asynccontextmanager
    async def _read(self) -> AsyncIterator[AsyncConnection]:
        with self._pending_tasks.block(), self._leases.reserve():
            connection = await self._open(self.reader.connect())
            try:
                yield connection
            finally:
                await self._pending_tasks.run_shielded(connection.close())

    async def _open(self, connection: AsyncConnection) -> AsyncConnection:
        """Check a connection out of the pool.

        With aiosqlite, AUTOCOMMIT is set by another thread, while the task may be cancelled.
        """
        self.check_file(max_age=READ_AGE)
        if not self.is_sqlite:
            return await connection.start()
        return await self._pending_tasks.opened(connection.start(), AsyncConnection.close)

    async def write(self, work: Callable[[UnitOfWork], Awaitable[T]]) -> T:
        """Run `work` as one unit of work, and return what it returns once it is committed.

        `work` may be run more than once; what it does outside of the session belongs into
        :attr:`UnitOfWork.after_commit`.

        What follows the commit is waited for, but no longer than :attr:`patience`.

        :raises Busy: when the unit has waited too long for others, or the database asked for
            a retry too often.
        :raises Unavailable: when the database cannot be used for longer than :attr:`patience`, and
            as :meth:`check_file` does.
        :raises OutcomeUnknown: when it was lost while it committed, or has not answered to the
            commit for longer than :attr:`patience`.
        :raises InvalidRequestError: where `work` commits the session, rolls it back or closes it;
            nothing of the unit is written then.
        """
        retries = self._retries()
        while True:
            try:
                unit, result, cancelled = await self._attempt(work, can_repeat=retries.may_repeat)
                break
            except Exception as error:
                await retries.wait(error)
        await self._follow(unit, cancelled)
        return result

    async def _attempt(
        self, work: Callable[[UnitOfWork], Awaitable[T]], *, can_repeat: bool
    ) -> tuple[UnitOfWork, T, asyncio.CancelledError | None]:
        with self._pending_tasks.block():
            async with self._turn():
                session = self.sessions()
                unit = UnitOfWork(session)
                unit.can_repeat = can_repeat
                # SQLite waits for nothing but the machine's own disk, and cannot be left alone.
                patience = None if self.is_sqlite else self.patience
                transaction_end = TransactionEnd(session, patience, self._pending_tasks)
                try:
                    with forbid_commit(session):
                        result = await work(unit)
                        # Its statements may wait for locks; the commit is to wait for nothing.
                        await session.flush()
                    with unit.untimed():
                        cancelled = await transaction_end.commit()
                except BaseException as error:
                    await transaction_end.roll_back(error)
                    raise
                return unit, result, cancelled

    async def _follow(self, unit: UnitOfWork, cancelled: asyncio.CancelledError | None) -> None:
        """Run the callbacks that follow the commit to their end, even if the task is cancelled."""
        lost = None
        try:
            self.check_file()  # What is acknowledged is in a file that had its name after that.
        except Unavailable as error:
            lost = error
        if unit.on_commit is not None:
            unit.on_commit()
        if unit.after_commit:
            with unit.untimed():
                await call_followers(unit, self._pending_tasks, self.patience)
        if cancelled:
            raise cancelled
        if lost is not None:
            raise unknown_outcome() from lost

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Wait for the turn of one unit: SQLite runs the units of this process one by one."""
        if self._queue is None:
            with self._leases.reserve():
                yield
            return
        try:
            async with asyncio.timeout(self.patience):
                await self._queue.acquire()
        except TimeoutError as error:
            raise Busy(BUSY) from error
        try:
            with self._leases.reserve():
                yield
        finally:
            self._queue.release()

    async def dispose(self) -> None:
        """Close the pool after the pending reads, writes and callbacks, or after the patience.

        A host's stays open.
        """
        await self._pending_tasks.wait(self.patience)
        if self.is_ours:
            if ended := self._leases.end_idle():
                await asyncio.wait(ended, timeout=min(self.patience, CLOSE_TIME))
            abort = self.connector.terminate if self.connector else (lambda: None)
            work = run_bounded(self.engine.dispose(), min(self.patience, CLOSE_TIME), abort)
            await self._pending_tasks.run_shielded(work)


@asynccontextmanager
async def _translating(block: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
    """Raise the errors of a database that failed as Tallied's own."""
    try:
        async with block as value:
            yield value
    except Exception as error:
        if failure := classify(error):
            raise translate(failure, error) from error
        raise
