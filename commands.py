"""What the commands do, without the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import orjson
from sqlalchemy import Connection, func, select

from .counters import Drift
from .database import Database
from .models import Thread
from .models.counters import counters
from .opening import opened
from .settings import Settings

T = TypeVar("T")


@dataclass(frozen=True)
class Verified:
    """What :func:`verify` has found."""

    threads: int
    """How many threads there are."""
    drifted: int
    """How many counters are wrong."""

    def __str__(self) -> str:
        if self.drifted:
            wrong = "1 counter is" if self.drifted == 1 else f"{self.drifted:,} counters are"
            return f"{wrong} wrong; run `tallied rebuild`."
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

    async def main() -> T:
        async with opened(settings, must_exist=must_exist) as database:
            return await work(database)

    return asyncio.run(main())


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


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)
