"""PostgreSQL: the settings of a session, and connections that go through a pooler.

A transaction pooler, such as PgBouncer, lends a client one of the server's sessions for the
time of a transaction. So no prepared statement is there for the next one, and what ``SET``
changes is left to others. Behind one, statements are unnamed and parsed with each execution
(asyncpg, ``statement_cache_size=0``, since its issue 1058 outside of transactions as well),
and the settings are those of each transaction, by ``SET LOCAL``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakSet

from sqlalchemy.engine.interfaces import DBAPIConnection

from .drivers import Transaction, asyncpg
from .network import KEEPALIVES, keep_alive


class PooledConnection(asyncpg.Connection):  # type: ignore[misc]
    """A connection through a pooler, whose transactions bring their settings along."""

    __slots__ = ("settings",)
    settings: dict[str, str]

    def transaction(
        self, *, isolation: str | None = None, readonly: bool = False, deferrable: bool = False
    ) -> Any:
        """Return a transaction that is still to be started."""
        return _LocalTransaction(self, isolation, readonly, deferrable)


class _LocalTransaction(Transaction):  # type: ignore[misc]
    async def start(self) -> None:
        """Begin, and set all that is to be set in one more round trip, as a simple query."""
        await super().start()
        settings = self._connection.settings
        sql = [f"SET LOCAL {name} = '{value}'" for name, value in settings.items()]
        try:
            await self._connection.execute("; ".join(sql))
        except asyncpg.PostgresError:
            if not self._connection.is_closed():
                await self.rollback()
            raise


class Connector:
    """Opens connections, and recognises a pooler that the URL does not name.

    :param settings: PostgreSQL's settings of each transaction, by their names.
    :param is_pooled: whether transactions are pooled; None where nobody has said.
    :param connect: what opens a connection of asyncpg; by default, asyncpg itself.
    """

    def __init__(
        self,
        settings: dict[str, str],
        is_pooled: bool | None,
        connect: Callable[..., Awaitable[Any]] | None = None,
    ) -> None:
        self._settings = settings
        self._has_named_pooler = is_pooled is not None
        self._is_pooled = bool(is_pooled)
        self.owns_sessions = False
        """Whether each connection is a session of its own, as the last one was."""
        self._connect = connect or asyncpg.connect
        self._open: WeakSet[Any] = WeakSet()

    @property
    def has_unnamed_pooler(self) -> bool:
        """Return whether there is a pooler of a kind that the URL does not name."""
        return self._is_pooled and not self._has_named_pooler

    async def connect(self, *arguments: Any, **options: Any) -> Any:
        """Open a connection; SQLAlchemy's ``async_creator_fn``.

        :raises TimeoutError: where the option ``timeout`` is over.
        """
        async with asyncio.timeout(options.get("timeout")):
            connection = await self._open_connection(*arguments, **options)
        self.owns_sessions = not self._is_pooled
        keep_alive(connection)
        self._open.add(connection)
        return connection

    def terminate(self) -> None:
        """Terminate all connections that are open, at once."""
        for connection in list(self._open):
            connection.terminate()

    async def _open_connection(self, *arguments: Any, **options: Any) -> Any:
        if not self._is_pooled:
            connection = await self._connect(*arguments, **options)
            try:
                if await self._set_for_session(connection):
                    return connection
                await connection.close()
            except BaseException:
                connection.terminate()
                raise
            self._is_pooled = True
        options = {"statement_cache_size": 0, "connection_class": PooledConnection} | options
        connection = await self._connect(*arguments, **options)
        connection.settings = self._settings
        return connection

    def forget_statements(self, connection: DBAPIConnection, record: object) -> None:
        """Do without SQLAlchemy's cache of statements behind a pooler, as by a size of 0.

        Statements that are parsed each time could stay in it, but for what it remembers of their
        columns: once a migration has changed the type of one, none of its rows could be read.
        """
        if self._is_pooled:
            connection._prepared_statement_cache = None

    async def _set_for_session(self, connection: Any) -> bool:
        """Set what is to be set, unless a pooler is between, whose sessions are not ours.

        A pooler makes up the process id that it greets a client with, and the server knows its own.
        As one simple query, this needs no prepared statement, and its tag counts the rows.

        :returns: whether the session is this connection's own.
        """
        sql = ", ".join(
            f"set_config('{name}', '{value}', false)"
            for name, value in (self._settings | KEEPALIVES).items()
        )
        if not self._has_named_pooler:
            sql += f" WHERE pg_backend_pid() = {connection.get_server_pid()}"
        tag: str = await connection.execute(f"SELECT {sql}")
        return tag != "SELECT 0"
