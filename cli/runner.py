"""What every command does first and last: the database is opened, and closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..database import Database
from ..migrations.opening import Wait, in_use, opened
from ..settings import Settings

T = TypeVar("T")


def run(
    settings: Settings,
    work: Callable[[Database], Awaitable[T]],
    *,
    must_exist: bool = False,
    warn: Callable[[str], object],
) -> T:
    """Open the database of `settings`, await ``work(database)``, and close it.

    :param warn: called with a sentence where the database has to be waited for.
    :param must_exist: refuse a database that is not there or not migrated.
    :raises ConfigurationError: for a database that cannot be reached or used.
    """

    async def main() -> T:
        wait = Wait(settings.database_wait, warn)
        async with opened(settings, must_exist=must_exist, wait=wait) as database:
            return await work(database)

    return asyncio.run(main())


def run_on(
    database: Database,
    work: Callable[[Database], Awaitable[T]],
    *,
    must_exist: bool = False,
    wait: Wait,
) -> T:
    """The same with a database of a host's, which is closed at the end, engine and all."""

    async def main() -> T:
        async with in_use(database, must_exist=must_exist, wait=wait):
            return await work(database)

    return asyncio.run(main())
