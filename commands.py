"""What the commands do, without the command line: open, check, verify, rebuild."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import orjson
from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DBAPIError

from .counters import Drift
from .database import Database, parse_url
from .errors import ConfigurationError
from .migrations.run import require_newest
from .models import Thread
from .models.counters import counters
from .settings import Settings

T = TypeVar("T")

CONNECT_TIMEOUT = 10.0
"""Seconds that PostgreSQL has to accept the first connection."""


@dataclass(frozen=True)
class Verified:
    """What :func:`verify` has found."""

    threads: int
    """How many threads there are."""
    drifted: int
    """How many counters are wrong."""

    def __str__(self) -> str:
        if self.drifted:
            return f"{self.drifted:,} counters are wrong; run `tallied rebuild`."
        return f"The counters of all {self.threads:,} threads are right."


def run(
    settings: Settings,
    work: Callable[[Database], Awaitable[T]],
    *,
    must_exist: bool = False,
) -> T:
    """Open the database of `settings`, await ``work(database)``, and close it.

    :param must_exist: refuse a database that is not there or not migrated.
    :raises ConfigurationError: for a database that cannot be reached or used.
    """
    return asyncio.run(_run(settings, work, must_exist))


async def verify(database: Database, report: Callable[[Drift], None]) -> Verified:
    """Recount everything, change nothing, and `report` each counter that is wrong."""

    def work(connection: Connection) -> Verified:
        threads = connection.execute(select(func.count()).select_from(Thread)).scalar_one()
        drifted = 0
        for drift in counters.verify(connection):
            drifted += 1
            report(drift)
        return Verified(threads, drifted)

    async with database.engine.connect() as connection:
        return await connection.run_sync(work)


async def rebuild(
    database: Database,
    batch_size: int = 1000,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Put every wrong counter right while others write, and return how many rows were wrong.

    :param batch_size: how many threads are locked at a time.
    :param progress: called with how many threads are done, and how many there are.
    """
    async with database.engine.connect() as connection:
        return await connection.run_sync(
            lambda sync: counters.rebuild(sync, batch_size=batch_size, progress=progress)
        )


def as_json(drift: Drift) -> str:
    """`drift` as one line of JSON; the difference between times is in seconds."""
    record = {
        "counter": drift.counter,
        "key": drift.key,
        "stored": drift.stored,
        "true": drift.true,
        "difference": drift.difference,
    }
    return orjson.dumps(record, default=_plain).decode()


async def _run(settings: Settings, work: Callable[[Database], Awaitable[T]], must_exist: bool) -> T:
    database = _open(settings)
    try:
        _check_file(database, must_exist)
        await _check_answer(database)
        if must_exist:
            await require_newest(database)
        return await work(database)
    except BrokenPipeError:
        raise  # Not the database: whoever reads our output has gone.
    except (DBAPIError, OSError) as error:
        raise ConfigurationError(
            f"The database at {_name(database)} has failed: {_reason(error, database)}."
        ) from error
    finally:
        await database.dispose()


def _open(settings: Settings) -> Database:
    sqlite = parse_url(settings.database).get_backend_name() == "sqlite"
    options = {} if sqlite else {"connect_args": {"timeout": CONNECT_TIMEOUT}}
    return Database(settings.database, attempts=settings.transaction_attempts, **options)


def _check_file(database: Database, must_exist: bool) -> None:
    path = database.url.database
    if not database.is_sqlite:
        return
    if path in (None, "", ":memory:") or database.url.query.get("mode") == "memory":
        raise ConfigurationError(
            "A database in memory ends with the command; name a file, sqlite+aiosqlite:///FILE."
        )
    if must_exist and not path.startswith("file:") and not Path(path).is_file():
        raise ConfigurationError(
            f"There is no database at {path}; run `tallied migrate` first, or name another"
            " with --database."
        )


async def _check_answer(database: Database) -> None:
    """Whatever a driver raises here, it means that the database cannot be used."""
    try:
        async with database.read() as connection:
            await connection.execute(text("SELECT 1"))
    except Exception as error:
        remedy = (
            "check that it is an SQLite file in a folder that is there and may be written to"
            if database.is_sqlite
            else "check that it runs, and the URL's user, password, host, port and database"
        )
        raise ConfigurationError(
            f"The database at {_name(database)} does not answer"
            f" ({_reason(error, database)}); {remedy}."
        ) from error


def _name(database: Database) -> str:
    """The URL without what may be secret."""
    return str(database.url.set(query={}).render_as_string(hide_password=True))


def _reason(error: Exception, database: Database) -> str:
    cause: Any = error.orig if isinstance(error, DBAPIError) else error
    cause = getattr(cause, "__cause__", None) or cause
    if isinstance(cause, TimeoutError):
        return f"no answer within {CONNECT_TIMEOUT:.0f} seconds"
    reason = " ".join(str(cause).split()) or type(cause).__name__
    password = database.url.password
    return reason.rstrip(".").replace(password, "***") if password else reason.rstrip(".")


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)
