"""Open the database that the settings name, or say in one sentence why it cannot be used."""

from __future__ import annotations

import asyncio
import ssl
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
)
from ..database.urls import parse_url
from ..errors import Busy, ConfigurationError, Unavailable
from ..settings import SETTINGS, Settings
from .run import require_newest

CONNECT_TIMEOUT = 10.0
"""Seconds that PostgreSQL has to accept a connection."""

RETRY_TIME = 0.5
"""Seconds after which a database that did not answer is tried again."""

IDLE_TIMEOUT = 600.0
"""Seconds that a transaction of a command may wait, as for a reader of what it prints."""

_REMEDIES = {
    "sqlite": "check that it is an SQLite file in a folder that is there and may be written to, or"
    " restore a backup of it",
    "postgresql": "check that it runs, and the URL's user, password, host, port and database",
}


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
async def opened(
    settings: Settings,
    *,
    must_exist: bool = False,
    must_be_newest: bool | None = None,
    wait: Wait = NO_WAIT,
) -> AsyncIterator[Database]:
    """The database of `settings`, which has answered, until the block ends.

    :param must_exist: refuse a database that is not there or not migrated.
    :param must_be_newest: refuse one that is not migrated; by default, as `must_exist`.
    :raises ConfigurationError: for a database that cannot be reached or used, and for
        one that fails within the block.
    """
    url = parse_url(settings.database)
    options: dict[str, Any] = {}
    if url.get_backend_name() == "sqlite":
        _check_file(url, must_exist)
    else:
        options["connect_args"] = {"timeout": CONNECT_TIMEOUT}
    database = Database(
        settings.database,
        schema=settings.database_schema or None,
        attempts=settings.transaction_attempts,
        pool_size=settings.pool_size,
        idle_timeout=IDLE_TIMEOUT,
        **options,
    )
    is_newest = must_exist if must_be_newest is None else must_be_newest
    async with _in_use(database, must_be_newest=is_newest, wait=wait):
        yield database


@asynccontextmanager
async def in_use(
    database: Database,
    *,
    must_exist: bool = False,
    must_be_newest: bool | None = None,
    wait: Wait = NO_WAIT,
) -> AsyncIterator[Database]:
    """The same for a database of a host's, whose engine is closed at the end of the block, too.

    :raises ConfigurationError: as :func:`opened`.
    """
    if database.is_sqlite:
        _check_there(database.url, must_exist, "run `tallied migrate --app …` first")
    is_newest = must_exist if must_be_newest is None else must_be_newest
    try:
        async with _in_use(database, must_be_newest=is_newest, wait=wait):
            yield database
    finally:
        await database.engine.dispose()


@asynccontextmanager
async def _in_use(database: Database, *, must_be_newest: bool, wait: Wait) -> AsyncIterator[None]:
    url = database.url
    try:
        await _check_answer(database, wait)
        if must_be_newest:
            await require_newest(database)
        yield
    except BrokenPipeError:
        raise  # Not the database: whoever reads our output has gone.
    except (DBAPIError, OSError, Unavailable) as error:
        raise failure(error, url) from error
    finally:
        await database.dispose()


def _check_there(url: URL, must_exist: bool, remedy: str) -> DatabaseFile:
    file = file_of(url)
    if file is None:
        raise ConfigurationError(
            "A database in memory ends with the command; name a file, sqlite+aiosqlite:///FILE."
        )
    if must_exist and not file.is_there:
        raise ConfigurationError(f"There is no database at {url.database}; {remedy}.")
    return file


def _check_file(url: URL, must_exist: bool) -> None:
    remedy = "run `tallied migrate` first, or name another database with --database"
    _check_there(url, must_exist, remedy).prepare()
    # Without asyncio first: where opening fails, aiosqlite's thread may outlive the event
    # loop, and then prints a traceback.
    engine = create_engine(url.set(drivername="sqlite"), poolclass=NullPool)
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            with engine.connect() as connection:
                connection.execute(text("PRAGMA journal_mode = WAL"))
            return
        except Exception as error:
            # Processes that switch a new file to WAL at once fail at once.
            busy = isinstance(error, DBAPIError) and asks_for_retry(error)
            if not busy or time.monotonic() > deadline:
                raise unreachable_error(error, url) from error
            time.sleep(0.05)


async def _check_answer(database: Database, wait: Wait) -> None:
    began = time.monotonic()
    is_told = False
    while True:
        try:
            async with database.read() as connection:
                await connection.execute(text("SELECT 1"))
            return
        except Exception as error:  # Whatever a driver raises, this database cannot be used.
            left = began + wait.seconds - time.monotonic()
            if left <= 0 or not _is_unreachable(error):
                raise unreachable_error(error, database.url) from error
            if not is_told:
                is_told = True
                wait.warn(
                    f"The database at {place(database.url)} does not answer yet"
                    f" ({_reason(error, database.url)}); waiting up to {wait.seconds:g} seconds for"
                    f" it ({SETTINGS['database_wait']})."
                )
            await asyncio.sleep(min(left, RETRY_TIME))


def _is_unreachable(error: Exception) -> bool:
    """Return whether the database may be on its way up, and nothing is wrong with its address.

    A refused connection, a name that is not resolved, and PostgreSQL's class 08 and 57P01 to
    57P03, as while it starts (Appendix A).
    """
    cause = _cause(error)
    if isinstance(cause, OSError):  # TimeoutError is one, too
        return not isinstance(cause, ssl.SSLError | PermissionError)
    state = str(getattr(cause, "sqlstate", None) or "")
    return state.startswith("08") or state in ("57P01", "57P02", "57P03")


def unreachable_error(error: Exception, url: URL) -> ConfigurationError:
    """What to raise for a database that cannot be used; names no password."""
    return ConfigurationError(
        f"The database at {place(url)} does not answer ({_reason(error, url)});"
        f" {_REMEDIES[url.get_backend_name()]}."
    )


def failure(error: Exception, url: URL) -> ConfigurationError:
    """What to raise for a database that has failed while it was used; names no password."""
    return ConfigurationError(f"The database at {place(url)} has failed: {_reason(error, url)}.")


def has_answered(reported: BaseException) -> bool:
    """Whether the database is there, and has refused a statement."""
    error = underlying(reported)
    return (
        isinstance(error, DBAPIError)
        and error.statement is not None
        and not error.connection_invalidated
    )


def place(url: URL) -> str:
    """The URL without what may be secret."""
    query = {key: url.query[key] for key in ("host", "port") if key in url.query}
    return url.set(query=query).render_as_string(hide_password=True)


def _cause(reported: BaseException) -> BaseException:
    """Return the driver's own error, which the dialect's and SQLAlchemy's are wrapped around."""
    error = underlying(reported)
    orig = error.orig if isinstance(error, DBAPIError) else None
    cause: BaseException = getattr(orig, "__cause__", None) or orig or error
    return cause


def underlying(error: BaseException) -> BaseException:
    """Return the database's own error, where `error` stands for it."""
    return error.__cause__ or error if isinstance(error, Busy | Unavailable) else error


def _reason(error: BaseException, url: URL) -> str:
    cause = _cause(error)
    if isinstance(cause, TimeoutError):
        return f"no answer within {CONNECT_TIMEOUT:.0f} seconds"
    reason = (" ".join(str(cause).split()) or type(cause).__name__).rstrip(".")
    for secret in (url.password, url.query.get("password")):
        if secret:
            reason = reason.replace(str(secret), "***")
    return reason
