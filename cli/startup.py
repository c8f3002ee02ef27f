"""What commands begin with: the settings, the application, the database."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from ..counters import Counters
from ..database import Database
from ..discussion import Discussion
from ..errors import ConfigurationError
from ..models.counters import counters as tallied_counters
from ..settings import Settings
from . import applications, runner
from .options import option_of, told_with

T = TypeVar("T")


def read_settings(**given: str | int | None) -> Settings:
    """Return the settings of the environment, with what a command was given in their place."""
    values = {name: value for name, value in given.items() if value is not None}
    return replace(Settings.from_environ(os.environ), **values)  # type: ignore[arg-type]


def load(app: str, database: str | None) -> Discussion:
    """Return the Discussion of an application.

    :raises ConfigurationError: for one that cannot be loaded, and beside a database.
    """
    if database is not None:
        raise ConfigurationError(
            "--app and --database contradict each other; leave --database out, since the"
            " application has one."
        )
    return applications.load(app)


def run(
    work: Callable[[Database, Counters], Awaitable[T]],
    database: str | None,
    app: str | None,
    *,
    must_exist: bool = False,
    warn: Callable[[str], object],
) -> T:
    """Run on the database of an application, with its counters; by default, on the settings'."""
    with told_with(option_of(app, database)):
        if app is not None:
            return applications.run(load(app, database), work, must_exist=must_exist, warn=warn)
        return runner.run(
            read_settings(database=database),
            lambda opened: work(opened, tallied_counters),
            must_exist=must_exist,
            warn=warn,
        )
