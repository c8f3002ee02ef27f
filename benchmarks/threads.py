"""Threads with any number of comments: stored in bulk, made exact, checked."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import (
    Connection,
    Engine,
    bindparam,
    func,
    insert,
    select,
    text,
    update,
)
from uuid_utils.compat import uuid7

from .strategies import Strategy

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

# Comments of 1 to 10 words, numbered through, made by the database itself.
NUMBERED = {
    "sqlite": """
        INSERT INTO {table} (id, thread_id, message, word_count, created_at)
        WITH RECURSIVE numbers (n) AS (
            SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n < :last
        )
        SELECT printf('%032x', n), :thread, substr(:words, 1, 5 * (1 + n % 10) - 1), 1 + n % 10, :at
        FROM numbers
    """,
    "postgresql": """
        INSERT INTO {table} (id, thread_id, message, word_count, created_at)
        SELECT lpad(to_hex(n), 32, '0')::uuid, :thread,
            substr(:words, 1, 5 * (1 + n % 10)::int - 1), 1 + n % 10, :at
        FROM generate_series(cast(:first AS bigint), :last) AS numbers (n)
    """,
}

_used = itertools.count(1)


def store_thread(connection: Connection, strategy: Strategy, comments: int) -> UUID:
    """Store a thread with so many `comments`; its counters are not yet right."""
    table = strategy.Comment.__table__
    thread_id = uuid7()
    connection.execute(insert(strategy.Thread.__table__), {"id": thread_id, "title": "Engines"})
    if comments:
        first = next(_used) * 10_000_000
        statement = text(NUMBERED[connection.dialect.name].format(table=table.name)).bindparams(
            bindparam("thread", thread_id, table.c.thread_id.type),
            bindparam("at", LONG_AGO, table.c.created_at.type),
        )
        numbers = {"first": first, "last": first + comments - 1, "words": "word " * 10}
        connection.execute(statement, numbers)
    return thread_id


def _truth(strategy: Strategy) -> dict[str, object]:
    thread, comment = strategy.Thread.__table__, strategy.Comment.__table__
    aggregates = {
        "comment_count": func.count(),
        "word_count": func.coalesce(func.sum(comment.c.word_count), 0),
        "last_comment_at": func.max(comment.c.created_at),
    }
    return {
        name: select(aggregate).where(comment.c.thread_id == thread.c.id).scalar_subquery()
        for name, aggregate in aggregates.items()
    }


def make_exact(engine: Engine, strategy: Strategy) -> None:
    """Put right all columns of all threads in the tables of `way`."""
    with engine.begin() as connection:
        connection.execute(update(strategy.Thread.__table__).values(_truth(strategy)))


def is_exact(engine: Engine, strategy: Strategy, threads: Iterable[UUID]) -> bool:
    """Return whether the columns that the strategy keeps are right for `threads`."""
    table = strategy.Thread.__table__
    truth = _truth(strategy)
    wrong = [table.c[name].is_distinct_from(truth[name]) for name in strategy.keeps]
    if not wrong:
        return True
    with engine.connect() as connection:
        for thread_id in threads:
            row = connection.execute(select(*wrong).where(table.c.id == thread_id)).one()
            if any(row):
                return False
    return True


def settle(engine: Engine) -> None:
    """Let PostgreSQL do now what it would do in the middle of the measurement."""
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
            connection.execute(text("CHECKPOINT"))
