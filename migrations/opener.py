"""Open the database of a command, or say in one sentence why it cannot be used."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from ..database import (
    BUSY_TIMEOUT,
    Database,
    DatabaseFile,
    asks_for_retry,
    file_of,
    is_read_only,
    messages,
)
from ..database.urls import parse_url
from ..errors import ConfigurationError, Unavailable
from ..settings import SETTINGS, Settings
from .runner import require_newest

RETRY_TIME = 0.5
"""Seconds after which a database that did not answer is tried again."""

IDLE_TIMEOUT = 600.0
"""Seconds that a transaction of a command may be idle, as while its output is read."""


@dataclass(frozen=True)
class Wait:
    """A wait for a database that cannot be reached yet.

    :param seconds: the longest that it takes; 0 for no wait.
    :param warn: called with a sentence as the wait begins.
    """

    seconds: float
    warn: Callable[[str], object]


NO_WAIT = Wait(0, lambda _: None)


@asynccontextmanager
async def open_database(
    source: Settings | Database,
    *,
    must_exist: bool = False,
    must_be_newest: bool | None = None,
    wait: Wait = NO_WAIT,
) -> AsyncIterator[Database]:
    """Yield the database once it has answered, and close it and its engine at the end.

    :param source: the settings that name the database, or a database of a host.
    :param must_exist: refuse a database that is not there or not migrated.
    :param must_be_newest: refuse one that is not migrated; by default, as `must_exist`.
    :raises ConfigurationError: for a database that cannot be reached or used, and for
        one that fails within the block.
    """
    if isinstance(source, Settings):
        database = _make_database(source, must_exist)
    else:
        database = source
        if database.is_sqlite:
            remedy = "run `tallied migrate --app …` first"
            _check_there(database.url, must_exist, remedy, "give the Discussion the URL of a file")
    try:
        await _check_answer(database, wait)
        if must_exist if must_be_newest is None else must_be_newest:
            await require_newest(database)
        yield database
    except BrokenPipeError:
        raise  # The reader of our output has gone; the database is not at fault.
    except (DBAPIError, OSError, Unavailable) as error:
        raise messages.failed_error(error, database.url) from error
    finally:
        await database.dispose()
        await database.engine.dispose()


def _make_database(settings: Settings, must_exist: bool) -> Database:
    url = parse_url(settings.database)
    options: dict[str, Any] = {}
    if url.get_backend_name() == "sqlite":
        _check_file(url, must_exist)
    else:
        options["connect_args"] = {"timeout": messages.CONNECT_TIMEOUT}
    return Database(
        settings.database,
        schema=settings.database_schema or None,
        attempts=settings.transaction_attempts,
        pool_size=settings.pool_size,
        idle_timeout=IDLE_TIMEOUT,
        **options,
    )


def _check_there(
    url: URL, must_exist: bool, remedy: str, remedy_in_memory: str = "name a file"
) -> DatabaseFile:
    file = file_of(url)
    if file is None:
        raise ConfigurationError(
            "A database in memory ends with the command;"
            f" {remedy_in_memory}, sqlite+aiosqlite:///FILE."
        )
    if must_exist and not file.is_there:
        raise ConfigurationError(f"There is no database at {url.database}; {remedy}.")
    return file


def _check_file(url: URL, must_exist: bool) -> None:
    remedy = "run `tallied migrate` first, or name another database with --database"
    _check_there(url, must_exist, remedy).prepare()
    # Without asyncio first: if opening fails, aiosqlite's thread may outlive the event loop
    # and print a traceback.
    engine = create_engine(url.set(drivername="sqlite"), poolclass=NullPool)
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            with engine.connect() as connection:
                connection.execute(text("PRAGMA journal_mode = WAL"))
            return
        except Exception as error:
            if isinstance(error, DBAPIError) and is_read_only(error):
                return  # It is read with the journal that it has.
            # Processes that switch a new file to WAL at the same time fail immediately.
            busy = isinstance(error, DBAPIError) and asks_for_retry(error)
            if not busy or time.monotonic() > deadline:
                raise messages.unreachable_error(error, url) from error
            time.sleep(0.05)


async def _check_answer(database: Database, wait: Wait) -> None:
    began = time.monotonic()
    has_warned = False
    while True:
        try:
            async with database.read() as connection:
                await connection.execute(text("SELECT 1"))
            return
        except Exception as error:  # Any error of a driver means that the database cannot be used.
            remaining = began + wait.seconds - time.monotonic()
            if remaining <= 0 or not messages.may_be_starting(error):
                raise messages.unreachable_error(error, database.url) from error
            if not has_warned:
                has_warned = True
                wait.warn(
                    f"The database at {messages.display_url(database.url)} does not answer yet"
                    f" ({messages.describe_reason(error, database.url)}); waiting up to"
                    f" {wait.seconds:g} seconds for it ({SETTINGS['database_wait']})."
                )
            await asyncio.sleep(min(remaining, RETRY_TIME))
