"""How a database executes statements."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import cycle
from typing import Any
from uuid import UUID

from sqlalchemy import event

from tallied.database import Database
from tallied.models import Mark, Quota, Reaction, ReactionTotal, Revision
from tallied.models.base import new_id, now
from tallied.models.flag import Flag
from tallied.models.moderation_entry import ModerationEntry


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
    """Return how the database executes a statement."""
    explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
    async with database.read() as connection:
        rows = await connection.exec_driver_sql(explain + statement, tuple(parameters))
        return "\n".join(str(row[-1]) for row in rows)


def rows_about(
    comments: Sequence[UUID], threads: Sequence[UUID], authors: Sequence[UUID]
) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    """Yield a row about each of these comments for every table that has such, and a mark each.

    So no planner reads a table whole because it is empty.
    """
    triples = list(zip(comments, cycle(threads), cycle(authors), strict=False))
    time = {"created_at": now()}
    reactions = [{"comment_id": id, "kind": "like"} for id in comments]
    yield ReactionTotal, [{**row, "count": 1} for row in reactions]
    yield (
        Reaction,
        [
            {**row, **time, "author_id": author}
            for row, (_, _, author) in zip(reactions, triples, strict=True)
        ],
    )
    yield (
        Flag,
        [
            {"comment_id": id, "author_id": author, "reason": "spam", **time}
            for id, _, author in triples
        ],
    )
    message = {"number": 0, "message": "x", "word_count": 1, "edited_at": now()}
    yield (
        Revision,
        [{"comment_id": id, "editor_id": author, **message} for id, _, author in triples],
    )
    change = {"former_status": "published", "status": "spam", **time}
    yield (
        ModerationEntry,
        [
            {
                "id": new_id(),
                "comment_id": id,
                "thread_id": thread,
                "moderator_id": author,
                **change,
            }
            for id, thread, author in triples
        ],
    )
    yield (
        Quota,
        [
            {
                "subject": str(author),
                "purpose": str(number),
                "comment_id": id,
                "count": 1,
                "ends_at": now(),
            }
            for number, (id, _, author) in enumerate(triples)
        ],
    )
    marks = dict.fromkeys((thread, author) for _, thread, author in triples)
    yield (
        Mark,
        [
            {"thread_id": thread, "author_id": author, "last_read_seq": 1}
            for thread, author in marks
        ],
    )


LISTED = {"(shown OR placeholder)", "((parent_id IS NULL) AND (shown OR placeholder))"}


def assert_by_index(database: Database, plan: str) -> None:
    """Assert that no table is read as a whole, and none is searched for a match."""
    if not database.is_sqlite:
        assert "Seq Scan" not in plan, plan
        filters = re.findall(r"^ +Filter: (.*)", plan, re.MULTILINE)
        # Of the rows that an index has found, those that are not listed are left out.
        assert {*filters} <= LISTED, plan
        return
    for line in plan.splitlines():
        if line.startswith("SCAN tallied_") and line != "SCAN tallied_delta":
            assert "USING" in line, plan
            assert "WHERE" not in line, plan


def sqlite_steps(database: Database, statement: str, parameters: Any, *, every: int = 1) -> int:
    """Return how many instructions of SQLite's virtual machine a query takes.

    :param every: the number of instructions that are counted as one.
    """
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    with closing(sqlite3.connect(str(database.url.database))) as connection:
        connection.set_progress_handler(step, every)
        connection.execute(statement, parameters).fetchall()
    return steps


async def rows_visited(database: Database, statement: str, parameters: Any) -> int:
    """Return how many rows the steps of a query have read; on SQLite, how many rows it could.

    There it is the number of steps of the virtual machine, of which each row takes some twenty.
    """
    if database.is_sqlite:
        return sqlite_steps(database, statement, parameters, every=20)
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
