"""Bring a database to the newest revision, safely while others do the same.

A migration is one unit of work: all of it or nothing, on SQLite too. Processes that
migrate at once queue, on PostgreSQL on an advisory lock, on SQLite on its write lock,
and those that come later find nothing to do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from threading import Lock
from typing import Any, TypeAlias

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from ..database import BUSY_TIMEOUT, Database, UnitOfWork, asks_for_retry
from ..errors import Busy, ConfigurationError, Unavailable
from ..models import Base
from .revisions import VERSION_TABLE, State, read_state_on

__all__ = [
    "VERSION_TABLE",
    "State",
    "acquire_lock",
    "downgrade",
    "migrate",
    "read_state",
    "require_newest",
]

Config: TypeAlias = Any
"""Alembic's configuration."""

QUEUE_TIMEOUT = "60s"
"""How long to wait for another process that migrates the same PostgreSQL database."""

LOCK_TIMEOUT = "5s"
"""How long a migration waits for a lock on a table, with every later query behind it."""

_ADVISORY_LOCK = 0x74616C6C696564
_LOCK_NOT_AVAILABLE = "55P03"
_alembic = Lock()


async def read_state(database: Database) -> State:
    """Return the revision of `database` and the newest one, read without a lock.

    :raises ConfigurationError: when a newer Tallied has migrated the database.
    """
    async with database.read() as connection:
        return await connection.run_sync(read_state_on, database.schema)


async def migrate(database: Database) -> State:
    """Bring `database` to the newest revision, and return where it stood before.

    :raises ConfigurationError: when the database cannot be migrated: a newer Tallied
        has been there, or it has tables of Tallied that no migration made.
    :raises Busy: when another process holds the locks for too long.
    """
    before = await _read_state_when_free(database)
    if before.is_newest:
        return before
    return await _run(database, _upgrade)


async def downgrade(database: Database, revision: str = "base") -> State:
    """Bring `database` back to `revision`, and return where it stood before.

    To "base" drops Tallied's tables, with all that is in them.
    """
    return await _run(database, lambda config, _: _load_steps().downgrade(config, revision))


async def require_newest(database: Database) -> None:
    """Refuse a database that is not at the newest revision.

    :raises ConfigurationError: with what to do about it.
    """
    state = await read_state(database)
    if state.current is None:
        raise ConfigurationError(
            "The database has not been set up for Tallied; run `tallied migrate` first."
        )
    if not state.is_newest:
        raise ConfigurationError(
            f"The database is at revision {state.current}, and this Tallied needs"
            f" {state.newest}; run `tallied migrate` first."
        )


def acquire_lock(connection: Connection) -> None:
    """Wait for other processes that migrate this database, then bound the waits for tables.

    On SQLite the unit of work has taken the only lock there is with its BEGIN IMMEDIATE.
    """
    if connection.dialect.name != "postgresql":
        return
    connection.execute(text(f"SET LOCAL lock_timeout = '{QUEUE_TIMEOUT}'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))


async def _run(database: Database, step: Callable[[Config, State], None]) -> State:
    def run(connection: Connection) -> State:
        acquire_lock(connection)
        if database.schema:
            _set_search_path(connection, database.schema)
        before = read_state_on(connection, database.schema)
        step(_load_steps().make_config(connection, database.schema), before)
        return before

    async def work(unit: UnitOfWork) -> State:
        return await (await unit.session.connection()).run_sync(run)

    try:
        async with _one_at_a_time():
            return await database.write(work)
    except Unavailable as error:
        # The messages of the database are for the person who migrates.
        raise error.__cause__ or error from None
    except Busy as error:
        if getattr(getattr(error.__cause__, "orig", None), "sqlstate", "") != _LOCK_NOT_AVAILABLE:
            raise
        raise Busy(
            "Another transaction holds a lock on Tallied's tables; migrate again once it has ended."
        ) from error


def _set_search_path(connection: Connection, schema: str) -> None:
    """Resolve the names in the migrations within the schema, until the transaction ends."""
    quoted = connection.dialect.identifier_preparer.quote_identifier(schema)
    with suppress(DBAPIError), connection.begin_nested():
        # Where every schema finds it; what the migrations do without it, they say.
        connection.execute(text("CREATE EXTENSION IF NOT EXISTS pg_trgm"))
    if not inspect(connection).has_schema(schema):  # IF NOT EXISTS needs the right to make it.
        connection.execute(text(f"CREATE SCHEMA {quoted}"))
    search_path = "current_setting('search_path')"
    connection.execute(
        text(f"SELECT set_config('search_path', :first || ', ' || {search_path}, true)"),
        {"first": quoted},
    )


async def _read_state_when_free(database: Database) -> State:
    """Read the state, again if another process is switching the new SQLite file to WAL.

    That fails at once, whatever the busy timeout.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            return await read_state(database)
        except Busy as error:
            cause = error.__cause__
            busy = isinstance(cause, DBAPIError) and asks_for_retry(cause)
            if not busy or time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.05)


@asynccontextmanager
async def _one_at_a_time() -> AsyncIterator[None]:
    """Migrate one database at a time, since Alembic's `context` and `op` are global.

    Not an asyncio.Lock, which belongs to one event loop.
    """
    while not _alembic.acquire(blocking=False):
        await asyncio.sleep(0.02)
    try:
        yield
    finally:
        _alembic.release()


def _upgrade(config: Config, before: State) -> None:
    connection: Connection = config.attributes["connection"]
    if before.current is None:
        names = inspect(connection).get_table_names(config.attributes["schema"])
        tables = sorted(set(names) & set(Base.metadata.tables))
        if tables:
            raise ConfigurationError(
                f"The database has tables that no migration of Tallied made ({', '.join(tables)});"
                " rename or drop them, or name another database."
            )
    _load_steps().upgrade(config, "head")


def _load_steps() -> Any:
    """Import what needs Alembic: a server mostly has nothing to migrate, and spares 9 MB."""
    return import_module(".steps", __package__)
