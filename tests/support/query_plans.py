"""How a database executes statements."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from sqlalchemy import event

from tallied.database import Database


@contextmanager
def executed(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """Yield the statements of the block with their parameters, as the driver got them."""
    result: list[tuple[str, Any]] = []

    def record(*event: Any) -> None:
        result.append(event[2:4])

    event.listen(database.engine.sync_engine, "before_cursor_execute", record)
    yield result
    event.remove(database.engine.sync_engine, "before_cursor_execute", record)


async def plan_of(database: Database, statement: str, parameters: Any) -> str:
    """How the database executes a statement."""
    explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
    async with database.read() as connection:
        rows = await connection.exec_driver_sql(explain + statement, tuple(parameters))
        return "\n".join(str(row[-1]) for row in rows)


LISTED = {"(shown OR placeholder)", "((parent_id IS NULL) AND (shown OR placeholder))"}


def assert_by_index(database: Database, plan: str) -> None:
    """No table is read from its start to its end, and none is looked through for a match."""
    if not database.is_sqlite:
        assert "Seq Scan" not in plan, plan
        filters = re.findall(r"^ +Filter: (.*)", plan, re.MULTILINE)
        # Of the rows that an index has found, those that are not listed are left out.
        assert {*filters} <= LISTED, plan
        return
    for line in plan.splitlines():
        if line.startswith(("SCAN tallied_thread", "SCAN tallied_comment")):
            assert "USING" in line, plan
            assert "WHERE" not in line, plan


async def rows_visited(database: Database, statement: str, parameters: Any) -> int:
    """Return how many rows the steps of a query have read; on SQLite, how many rows it could.

    There it is the number of steps of the virtual machine, of which each row takes some twenty.
    """
    if database.is_sqlite:
        steps = 0

        def step() -> int:
            nonlocal steps
            steps += 1
            return 0

        with closing(sqlite3.connect(str(database.url.database))) as connection:
            connection.set_progress_handler(step, 20)
            connection.execute(statement, parameters).fetchall()
        return steps
    explain = "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) "
    async with database.read() as connection:
        result = await connection.exec_driver_sql(explain + statement, parameters)
        (root,) = result.scalar_one()
    return sum(map(_rows_of_step, _steps(root["Plan"])))


def _steps(step: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield step
    for child in step.get("Plans", ()):
        yield from _steps(child)


def _rows_of_step(step: dict[str, Any]) -> int:
    names = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    return int(sum(step.get(name, 0) for name in names) * step["Actual Loops"])
