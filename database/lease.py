"""Leases: connections of the pool that many reads use, one after the other.

A lease executes by its driver: on PostgreSQL by a prepared statement, on SQLite within the event
loop, or by one call of the thread for what takes long. SQLAlchemy's own way costs a greenlet, a
context and a cursor for each statement.
"""

from __future__ import annotations

import sqlite3
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from time import perf_counter
from typing import Any, TypeAlias

from sqlalchemy import Pool, Select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from ..concurrency.pending_tasks import PendingTasks
from ..concurrency.scheduler import yield_if_due
from ..concurrency.thread_usage import has_waited, processor_time, take_usage
from .drivers import asyncpg
from .row_reader import NO_PARAMETERS, RowReader, as_records
from .sqlite import roll_back
from .statement import CompiledStatement, Rows, StatementCache

Observer: TypeAlias = Callable[[str], None]
"""What is called with the text of each statement before it is executed."""

MAX_PREPARED = 200
"""How many prepared statements a connection has at most."""

CUSTOM_PLANS = 5
"""How often PostgreSQL plans a prepared statement for its arguments, before it may decide for one
plan of all (its documentation, PREPARE, "Notes"): for a pattern that every title has, too."""

INLINE_TIME, INLINE_WAIT = 0.002, 0.01
"""Seconds of the processor that a statement may take in the event loop on SQLite until it is
interrupted; and seconds at all, if it has waited, as for a disk. The time in which others had the
processor does not count: there, the thread would take as long."""

INLINE_STEPS = 200
"""The steps of SQLite's virtual machine between two looks at the clock: some ten rows."""

_OUTDATED = (
    asyncpg.InvalidCachedStatementError,
    asyncpg.OutdatedSchemaCacheError,
    asyncpg.InvalidSQLStatementNameError,
)
"""What asyncpg raises where a table has changed under a prepared statement, or it is gone."""


class Lease(RowReader):
    """A connection that is out of the pool for many reads.

    :param connection: in AUTOCOMMIT, without a transaction.
    :param pool: the pool that it is from.
    :param ends_at: the time of the event loop after which it goes back to the pool.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        pool: Pool,
        ends_at: float,
        statements: StatementCache,
        pending_tasks: PendingTasks,
    ) -> None:
        self.dialect = connection.dialect
        self.observers: Sequence[Observer] = ()
        self.pool = pool
        self.ends_at = ends_at
        self.idle_since = 0.0
        self._connection = connection
        self._statements = statements
        self._pending_tasks = pending_tasks
        assert connection.sync_connection is not None
        self._proxied: Any = connection.sync_connection.connection
        self._driver: Any = self._proxied.driver_connection
        self.is_lost = False
        """Whether a statement has ended the connection."""
        self.is_customized = False
        """Whether a host sets up the pool's connections, with functions or handlers of its own."""

    @property
    def is_open(self) -> bool:
        """Return whether the connection can be used."""
        return not self.is_lost

    async def end(self, *, is_stale: bool) -> None:
        """Give the connection back to its pool.

        :param is_stale: whether it is closed instead, since nobody uses the pool any more.
        """
        with suppress(SQLAlchemyError, OSError):
            try:
                if is_stale or not self.is_open:
                    await self._connection.invalidate()
            finally:
                await self._connection.close()

    async def fetch(
        self, statement: CompiledStatement, parameters: Mapping[str, Any] = NO_PARAMETERS
    ) -> Rows:
        text, arguments = statement.bind(parameters)
        for observe in self.observers:
            observe(text)
        try:
            rows = await self._fetch(text, arguments, statement.depends_on_values)
        except Exception as error:
            raised = self._translate(error, text, arguments)
            if raised is None:
                raise
            raise raised from raised.orig
        except BaseException:
            self.is_lost = True
            await self._cancel()
            raise
        return await statement.process(rows) if statement.has_processors else rows

    def fetch_inline(
        self, statement: CompiledStatement, parameters: Mapping[str, Any]
    ) -> Rows | None:
        """Return the driver's rows at once, without a wait, if the driver can do that."""
        return None

    async def select(
        self, statement: Select[Any], parameters: Mapping[str, Any] = NO_PARAMETERS
    ) -> Rows:
        """Return the rows of a select, as sequences of values.

        The select is compiled once for all that differ from it by their values only.
        """
        compiled, values = self._statements.compile(statement, self.dialect)
        return await self.fetch(compiled, {**values, **parameters})

    async def read(
        self, statement: Select[Any], parameters: Mapping[str, Any] = NO_PARAMETERS
    ) -> list[Mapping[str, Any]]:
        compiled, values = self._statements.compile(statement, self.dialect)
        rows = await self.fetch(compiled, {**values, **parameters})
        return await as_records(compiled.columns, rows)

    @abstractmethod
    def _fetch(self, text: str, arguments: list[Any], depends_on_values: bool) -> Awaitable[Rows]:
        """Return the driver's rows.

        :param depends_on_values: whether the statement is planned for each list of arguments.
        """

    async def _cancel(self) -> None:
        """End the statement of a task that has been cancelled."""

    def _translate(self, error: Exception, text: str, arguments: list[Any]) -> DBAPIError | None:
        """Return what SQLAlchemy raises for an error of the driver; None for any other error."""
        dialect = self.dialect
        try:
            self._proxied.dbapi_connection._handle_exception(error)
        except Exception as translated:
            error = translated
        if not isinstance(error, dialect.loaded_dbapi.Error):
            return None
        self.is_lost = dialect.is_disconnect(error, self._proxied.dbapi_connection, None)
        wrapped = DBAPIError.instance(
            text,
            tuple(arguments),
            error,
            dialect.loaded_dbapi.Error,
            hide_parameters=self._connection.sync_engine.hide_parameters,
            connection_invalidated=self.is_lost,
            dialect=dialect,
        )
        assert isinstance(wrapped, DBAPIError)
        return wrapped


@dataclass
class _Prepared:
    """A prepared statement of asyncpg."""

    statement: Any
    uses: int = 0


class PostgresLease(Lease):
    """A connection of asyncpg, with its prepared statements."""

    @property
    def is_open(self) -> bool:
        """Return whether the connection can be used; asyncpg knows it without asking."""
        return not (self.is_lost or self._driver.is_closed())

    @cached_property
    def _prepared(self) -> OrderedDict[str, _Prepared]:
        """The prepared statements: they live as long as the connection, which the pool keeps."""
        prepared: Any = self._proxied.info.setdefault("tallied.prepared", OrderedDict())
        return prepared  # type: ignore[no-any-return]

    async def _fetch(self, text: str, arguments: list[Any], depends_on_values: bool) -> Rows:
        prepared = self._prepared
        try:
            entry = prepared.get(text)
            if entry is None or (depends_on_values and entry.uses >= CUSTOM_PLANS):
                entry = await self._prepare(prepared, text)
            else:
                prepared.move_to_end(text)
            entry.uses += 1
            rows: Rows = await entry.statement.fetch(*arguments)
        except _OUTDATED:
            prepared.clear()
            rows = await (await self._prepare(prepared, text)).statement.fetch(*arguments)
        return rows

    async def _cancel(self) -> None:
        # asyncpg sends the cancel request before it closes; the answer must not come before that.
        await self._pending_tasks.run_shielded(self.end(is_stale=True))

    async def _prepare(self, prepared: OrderedDict[str, _Prepared], text: str) -> _Prepared:
        entry = prepared[text] = _Prepared(await self._driver.prepare(text))
        if len(prepared) > MAX_PREPARED:
            prepared.popitem(last=False)  # asyncpg deallocates it with the next one.
        return entry


class SqliteLease(Lease):
    """A connection of aiosqlite, whose driver keeps prepared statements itself.

    A short statement is executed in the event loop: the way to the connection's thread and back
    takes longer than most reads. The thread, which has nothing else to do meanwhile, executes what
    takes long, waits for a lock, or fails, and all on a connection that a host has set up: its
    functions may take long, and a progress handler of its own could not be given back.
    """

    _is_inline = False
    """Whether the connection is set up for the event loop."""
    _began = 0.0
    _usage: Any = None
    _busy_timeout = 0

    async def fetch(
        self, statement: CompiledStatement, parameters: Mapping[str, Any] = NO_PARAMETERS
    ) -> Rows:
        await yield_if_due()
        rows = self.fetch_inline(statement, parameters)
        if rows is None:
            return await super().fetch(statement, parameters)
        return await statement.process(rows) if statement.has_processors else rows

    def fetch_inline(
        self, statement: CompiledStatement, parameters: Mapping[str, Any]
    ) -> Rows | None:
        """Return the driver's rows of a short statement; None for one that needs the thread."""
        self._began = perf_counter()
        if self.is_customized or self._began < statement.thread_until:
            return None
        text, arguments = statement.bind(parameters)
        self._usage = take_usage()
        try:
            rows: Rows = self._connect_inline().execute(text, arguments).fetchall()
        except Exception:  # Which error it is, the thread finds out.
            statement.leave_to_thread()
            return None
        if perf_counter() - self._began > INLINE_WAIT and self._is_overdue():
            # A single step may take that long.
            statement.leave_to_thread()
        else:
            statement.thread_time /= 2
        for observe in self.observers:
            observe(text)
        return rows

    async def end(self, *, is_stale: bool) -> None:
        """Give the connection back to its pool, as it was."""
        try:
            self._disconnect_inline()
        except (sqlite3.Error, ValueError):  # It is closed.
            is_stale = True
        await super().end(is_stale=is_stale)

    def _connect_inline(self) -> sqlite3.Connection:
        """Return the connection for the event loop, where it waits for nothing."""
        connection: sqlite3.Connection = self._driver._conn
        if not self._is_inline:
            (self._busy_timeout,) = connection.execute("PRAGMA busy_timeout").fetchone()
            self._is_inline = True
            connection.set_progress_handler(self._is_overdue, INLINE_STEPS)
            connection.execute("PRAGMA busy_timeout = 0").close()
        return connection

    def _disconnect_inline(self) -> None:
        if self._is_inline:
            connection: sqlite3.Connection = self._driver._conn
            connection.set_progress_handler(None, 0)
            connection.execute(f"PRAGMA busy_timeout = {self._busy_timeout}").close()
            self._is_inline = False

    def _is_overdue(self) -> bool:
        seconds = perf_counter() - self._began
        if seconds < INLINE_TIME:
            return False
        if seconds > INLINE_WAIT and has_waited(self._usage):
            return True
        return processor_time(self._usage) > INLINE_TIME

    def _fetch(self, text: str, arguments: list[Any], depends_on_values: bool) -> Awaitable[Rows]:
        self._disconnect_inline()
        rows: Awaitable[Rows] = self._driver.execute_fetchall(text, arguments)
        return rows

    async def _cancel(self) -> None:
        await self._pending_tasks.run_shielded(roll_back(self._driver, None))
