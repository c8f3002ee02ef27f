"""Faults of PostgreSQL: a proxy in front of the server of the tests, and its backends."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import URL, make_url

from tallied.benchmarks.faulty_proxy import FaultyProxy
from tallied.database import Database

from .databases import OVERSEER


def socket_path(url: URL) -> Path:
    """Return the Unix socket of the server that `url` names."""
    return Path(str(url.query["host"])) / f".s.PGSQL.{url.port or 5432}"


@asynccontextmanager
async def proxied(url: str, **options: Any) -> AsyncIterator[tuple[FaultyProxy, Database]]:
    """Open the database of `url` through a proxy.

    :param options: arguments of :class:`Database`.
    """
    direct = make_url(url)
    async with FaultyProxy(socket_path(direct)) as proxy:
        through = direct.set(host="127.0.0.1", port=proxy.port, query={})
        database = Database(through.render_as_string(False), **options)
        try:
            yield proxy, database
        finally:
            proxy.reopen()
            proxy.resume()
            await database.dispose()


def execute(url: str, statement: str, *parameters: Any) -> list[Any]:
    """Execute a statement on a connection of its own, in autocommit, and return its rows."""
    direct = make_url(url).set(drivername="postgresql").render_as_string(False)
    with psycopg.connect(direct, autocommit=True) as connection:
        cursor = connection.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []


def terminate_backends(url: str) -> int:
    """Have the server close all other connections to the database, and return their number."""
    return len(
        execute(
            url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            # Autovacuum may be at work in the database.
            " AND backend_type = 'client backend' AND application_name <> %s",
            OVERSEER,
        )
    )


def idle_transactions(url: str, within: float = 2.0) -> int:
    """Return how many transactions are idle, once there is none or the seconds are over."""
    deadline = time.monotonic() + within
    while True:
        ((count,),) = execute(
            url,
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND state LIKE 'idle in transaction%%'",
        )
        if not count or time.monotonic() > deadline:
            return int(count)
        time.sleep(0.02)
