"""The start and the end of every command: settings, application and database."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from ..checks import check_host_counters
from ..counters import Counters
from ..database import Database
from ..errors import ConfigurationError
from ..migrations.opener import Wait, open_database
from ..models.counters import counters as tallied_counters
from ..settings import Settings
from .applications import load_discussion
from .options import add_option, format_option

T = TypeVar("T")


def read_settings(**options: str | int | None) -> Settings:
    """Return the settings of the environment, replaced by the options that were given."""
    values = {name: value for name, value in options.items() if value is not None}
    return replace(Settings.from_environ(os.environ), **values)  # type: ignore[arg-type]


def run(
    work: Callable[[Database, Counters], Awaitable[T]],
    database: str | None,
    app: str | None = None,
    *,
    settings: Settings | None = None,
    must_exist: bool = False,
    warn: Callable[[str], object],
) -> T:
    """Open the database, await `work` with it and its counters, and close it.

    :param database: the option ``--database``.
    :param app: the option ``--app``; its database and counters are used.
    :param settings: by default, those of the environment.
    :param must_exist: refuse a database that is not there or not migrated, and an application's
        counters that are not kept.
    :param warn: called with a sentence if the database has to be waited for.
    :raises ConfigurationError: for a database or an application that cannot be used.
    """

    async def main() -> T:
        wait = Wait(used.database_wait, warn)
        async with open_database(source, must_exist=must_exist, wait=wait) as opened:
            if app is None:
                return await work(opened, tallied_counters)
            counters, findings = await check_host_counters(opened)
            if must_exist and findings:
                raise ConfigurationError(
                    " ".join(f"({f.id}) {f.sentence} {f.hint}" for f in findings)
                )
            return await work(opened, counters)

    with add_option(format_option(app, database)):
        source: Settings | Database
        if app is None:
            source = used = settings or read_settings(database=database)
        else:
            discussion = load_discussion(app, database)
            source, used = discussion.database, discussion.settings
        return asyncio.run(main())
