"""The engine: how connections are opened and configured, and how long one is waited for."""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, event
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_only, greenlet_spawn

from ..unfinished import Unfinished
from ..urls import split_url
from . import sqlite


class EngineFactory:
    """Makes the engine of a URL.

    :param patience: seconds that a statement waits for another's lock, and anyone for a
        connection of the pool.
    :param unfinished: what a connection is opened in, where its task may be cancelled meanwhile.
    """

    def __init__(self, url: URL, patience: float, unfinished: Unfinished) -> None:
        self._url = url
        self._patience = patience
        self._unfinished = unfinished

    def create(self, options: dict[str, Any]) -> AsyncEngine:
        """Create the engine.

        :param options: further arguments of :func:`sqlalchemy.create_engine`.
        """
        if "poolclass" not in options and not is_in_memory(self._url):
            options.setdefault("pool_timeout", self._patience)
        url, arguments = split_url(self._url)
        arguments = {**options.pop("connect_args", {}), **arguments}
        engine = create_async_engine(url, connect_args=arguments, **options)
        if is_sqlite(url):
            event.listen(engine.sync_engine, "do_connect", self._open_sqlite)
        else:
            event.listen(engine.sync_engine, "connect", self._configure_postgresql)
        return engine

    def _open_sqlite(
        self, dialect: Dialect, record: object, arguments: list[Any], options: dict[str, Any]
    ) -> DBAPIConnection:
        """Open the file, which another thread does, while the task may be cancelled.

        So it is for what configures it: a file whose journal_mode is changed is locked until
        the last reference to the statement has gone.
        """

        def open() -> DBAPIConnection:
            connection = dialect.connect(*arguments, **options)
            try:
                sqlite.configure(connection, busy_timeout=self._patience)
            except BaseException:
                connection.close()
                raise
            return connection

        return await_only(self._unfinished.opened(greenlet_spawn(open), _close))

    def _configure_postgresql(self, connection: DBAPIConnection, record: object) -> None:
        cursor = connection.cursor()
        # Not a parameter of the connection: poolers such as PgBouncer refuse those.
        cursor.execute(f"SET lock_timeout = {int(self._patience * 1000)}")
        connection.commit()
        cursor.close()


def listen(engine: AsyncEngine, *, is_ours: bool, writer: AsyncEngine, reader: AsyncEngine) -> None:
    """Add what the transactions and statements of an engine on SQLite need, a host's too.

    :param writer: the engine's variant in which transactions write.
    :param reader: the one that only reads.
    """
    if not is_ours:
        event.listen(engine.sync_engine, "connect", sqlite.enforce_foreign_keys)
    event.listen(writer.sync_engine, "begin", sqlite.begin_immediate)
    for variant in (reader, writer):
        event.listen(variant.sync_engine, "handle_error", sqlite.interrupt)


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
