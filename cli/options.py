"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from shlex import quote
from typing import Annotated

import typer
from typer.models import OptionInfo

from ..checks.reports import with_option
from ..database.urls import shell_argument
from ..errors import ConfigurationError
from ..settings import SETTINGS
from .output import Form

DatabaseURL = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        help="sqlite+aiosqlite:///FILE or postgresql+asyncpg://USER:PASSWORD@HOST/DATABASE. "
        "[default: $TALLIED_DATABASE, or sqlite+aiosqlite:///tallied.db]",
    ),
]

App = Annotated[
    str | None,
    typer.Option(
        "--app",
        metavar="MODULE:NAME",
        help="The Discussion of an application, such as forum:discussion: its database, its "
        "counters and its function that counts words. Replaces --database.",
    ),
]


def setting_option(name: str, metavar: str | None = None) -> OptionInfo:
    """Return the option of a command that replaces a setting, as the setting is declared."""
    setting = SETTINGS[name]
    low, high = setting.bounds or (None, None)
    text = f"{setting.text} [default: {setting.default}]"
    option: OptionInfo = typer.Option(f"--{name}", min=low, max=high, metavar=metavar, help=text)
    return option


Format = Annotated[
    Form,
    typer.Option(
        "--format",
        help="text for people, or json for programs: one object per line, errors included.",
    ),
]

CounterNames = Annotated[
    list[str] | None,
    typer.Argument(metavar="COUNTER", help="Such as Thread.word_count, or Thread. [default: all]"),
]

Conditions = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CONDITION",
        help="Check only rows that meet this condition: a column, one of = != < <= > >= in, and "
        "a value, such as 'created_at >= 2026-01-01'. May be given several times. The counters "
        "must be of one class, such as Thread.",
    ),
]


def format_option(app: str | None, database: str | None) -> str:
    """Return the option that gives another command the same database, without a password."""
    if app is not None:
        return f"--app {quote(app)}"
    return "" if database is None else f"--database {shell_argument(database) or '…'}"


@contextmanager
def add_option(option: str) -> Iterator[None]:
    """Add the option to the commands that an error names."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(with_option(str(error), option)) from error
