"""The engine: opening and configuring connections, and the wait for one."""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, event
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_only, greenlet_spawn

from ..concurrency.pending_tasks import PendingTasks
from . import sqlite
from .file import DatabaseFile
from .network import refuse_closed, timeouts
from .postgresql import Connector
from .urls import is_pooled, split_url

_STATEMENT_CACHES = ("statement_cache_size", "prepared_statement_cache_size")
"""The sizes of asyncpg's cache and SQLAlchemy's; 0 is for a pooler that is not recognised."""


class EngineFactory:
    """Creates the engine of a URL.

    :param patience: seconds that a statement waits for another's lock, and anyone for a
        connection of the pool.
    :param idle_timeout: seconds after which PostgreSQL ends a transaction that waits for its
        client.
    :param pool_size: how many connections the pool has at most.
    :param unfinished: what a connection is opened in, where its task may be cancelled meanwhile.
    :param file: the file of an SQLite database; None for one in memory, and for PostgreSQL.
    """

    def __init__(
        self,
        url: URL,
        *,
        patience: float,
        idle_timeout: float,
        pool_size: int,
        pending_tasks: PendingTasks,
        file: DatabaseFile | None,
    ) -> None:
        self._url = url
        self._patience = patience
        self._idle_timeout = idle_timeout
        self._pool_size = pool_size
        self._pending_tasks = pending_tasks
        self._file = file
        self.connector: Connector | None = None
        self._has_plain_options = True

    def is_plain(self) -> bool:
        """Return whether the driver may be used directly, with prepared statements.

        PostgreSQL's first connection tells whether there is a transaction pooler between.
        """
        connector = self.connector
        return self._has_plain_options and (connector is None or connector.owns_sessions)

    def create(self, options: dict[str, Any]) -> AsyncEngine:
        """Create the engine.

        :param options: further arguments of :func:`sqlalchemy.create_engine`.
        """
        options = {"hide_parameters": True, **options}  # which are what users have written
        if "poolclass" not in options and not is_in_memory(self._url):
            # A fixed size: each overflow connection would be opened for one use.
            size = {"pool_size": self._pool_size, "max_overflow": 0}
            options = {"pool_timeout": self._patience, **size, **options}
        url, arguments = split_url(self._url)
        arguments = {**options.pop("connect_args", {}), **arguments}
        has_statements = 0 not in [arguments.get(name) for name in _STATEMENT_CACHES]
        self._has_plain_options = has_statements and not options.get("pool_pre_ping")
        if is_sqlite(url):
            engine = create_async_engine(url, connect_args=arguments, **options)
            event.listen(engine.sync_engine, "do_connect", self._open_sqlite)
            return engine
        arguments.setdefault("timeout", self._patience)
        self.connector = Connector(
            timeouts(self._patience, self._idle_timeout),
            is_pooled(self._url),
            arguments.get("async_creator_fn"),
        )
        arguments["async_creator_fn"] = self.connector.connect
        engine = create_async_engine(url, connect_args=arguments, **options)
        event.listen(engine.sync_engine, "checkout", refuse_closed)
        if "prepared_statement_cache_size" not in arguments:
            event.listen(engine.sync_engine, "connect", self.connector.forget_statements)
        return engine

    def _open_sqlite(
        self, dialect: Dialect, record: object, arguments: list[Any], options: dict[str, Any]
    ) -> DBAPIConnection:
        """Open the file, which another thread does, while the task may be cancelled.

        So it is for what configures it: a file whose journal_mode is changed is locked until
        the last reference to the statement has gone.
        """

        file = self._file

        def open() -> DBAPIConnection:
            if file is None:
                connection = dialect.connect(*arguments, **options)
            else:
                file.prepare()  # first: to read another file would spoil it with this one's log
                connection = dialect.connect(file.uri, **{**options, "uri": True})
            try:
                sqlite.configure(connection, busy_timeout=self._patience)
                if file is not None:
                    file.check()
            except BaseException:
                connection.close()
                raise
            return connection

        connection = await_only(self._pending_tasks.opened(greenlet_spawn(open), _close))
        if file is not None:
            file.add(connection)
        return connection


def listen(
    engine: AsyncEngine,
    file: DatabaseFile | None,
    *,
    is_ours: bool,
    writer: AsyncEngine,
    reader: AsyncEngine,
) -> None:
    """Add what the transactions and statements of an engine on SQLite need, a host's too.

    :param file: the database's; None where it is in memory.
    :param writer: the engine's variant in which transactions write.
    :param reader: the one that only reads.
    """
    if not is_ours:
        event.listen(engine.sync_engine, "connect", sqlite.enforce_foreign_keys)
    event.listen(writer.sync_engine, "begin", sqlite.begin_immediate)
    if file is not None:
        if not is_ours:
            # Its pool may have had connections before.
            event.listen(
                engine.sync_engine, "checkout", lambda connection, *_: _add_once(file, connection)
            )
        for name in ("close", "close_detached"):
            event.listen(engine.sync_engine, name, file.remove)
        # Not before the lock is there, which may have been waited for; and again as late as can
        # be. Database.write() looks a third time before it acknowledges anything.
        for name in ("begin", "commit"):
            event.listen(writer.sync_engine, name, lambda _: file.check())
    for variant in (reader, writer):
        event.listen(variant.sync_engine, "handle_error", sqlite.interrupt)


def _add_once(file: DatabaseFile, connection: DBAPIConnection) -> None:
    if connection not in file:
        file.add(connection, sqlite.path_of(connection))


def is_sqlite(url: URL) -> bool:
    """Return whether the URL is of an SQLite database."""
    return url.get_backend_name() == "sqlite"


def is_in_memory(url: URL) -> bool:
    """Return whether the URL is of an SQLite database without a file."""
    return is_sqlite(url) and (
        url.database in (None, "", ":memory:") or url.query.get("mode") == "memory"
    )


async def _close(connection: DBAPIConnection) -> None:
    await greenlet_spawn(connection.close)
