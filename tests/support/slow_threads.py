"""Statements on the threads that take an hour, and how many of them run."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import text

from tallied.database import Database
from tallied.models import Thread


async def slow_down(database: Database) -> None:
    """Make each look at the threads take an hour."""
    columns = ", ".join(column.name for column in Thread.__table__.columns)
    hour = (
        "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n)"
        if database.is_sqlite
        else "(SELECT count(*) FROM pg_sleep(3600))"
    )
    async with database.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE tallied_thread RENAME TO real_thread"))
        view = f"SELECT {columns} FROM real_thread WHERE {hour} > 0"
        await connection.execute(text(f"CREATE VIEW tallied_thread AS {view}"))


def running(request: pytest.FixtureRequest) -> int:
    """Return how many statements PostgreSQL executes that take an hour."""
    server = request.getfixturevalue("postgresql").render_as_string(False)
    with psycopg.connect(server) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'"
            " AND query LIKE '%tallied_thread%' AND pid <> pg_backend_pid()"
        ).fetchone()
    assert row is not None
    return int(row[0])
