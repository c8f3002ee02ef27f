"""The migration that widens the counters to 64 bits, on a database with data."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from alembic.util import CommandError
from sqlalchemy import Connection, Integer, column, inspect, select, table, text
from support.catalog import read as read_by_connection
from uuid_utils.compat import uuid7

from tallied.database import Database
from tallied.migrations.runner import downgrade, migrate, read_state
from tallied.models import Author, Comment, Thread
from tallied.models.counters import counters

pytestmark = pytest.mark.filterwarnings(
    "ignore:Skipped unsupported reflection of expression-based index"
)

BEFORE = "tallied_0003"
MOMENT = datetime(2026, 3, 1, tzinfo=UTC)
WORDS = 1_073_741_823
"""Of a comment; two of them fit into 32 bits by one, three do not."""


OLD_COMMENT = table(
    "tallied_comment",
    *(
        column(name, Comment.__table__.c[name].type)
        for name in ("id", "thread_id", "author_id", "created_at", "message", "word_count")
    ),
)
"""The table as it is before, too: later revisions give it more columns."""


async def read(database: Database, function: Any) -> Any:
    """Read by a new connection, since asyncpg's statements are prepared for the old types."""
    await database.engine.dispose()
    return await read_by_connection(database, function)


def fill(connection: Connection) -> None:
    """Store a thread of two long comments by one author."""
    author, thread = uuid7(), uuid7()
    counted = {"comment_count": 2, "word_count": 2 * WORDS, "created_at": MOMENT}
    connection.execute(Author.__table__.insert(), {"id": author, "subject": "7", **counted})
    row = {"id": thread, "title": "Looms", "updated_at": MOMENT, "last_comment_at": MOMENT}
    connection.execute(Thread.__table__.insert(), {**row, **counted})
    for _ in range(2):
        add_comment(connection, thread, author)


def add_comment(connection: Connection, thread: Any, author: Any) -> None:
    """Store a comment that claims its words, since no test can write a billion."""
    row = {"id": uuid7(), "thread_id": thread, "author_id": author, "created_at": MOMENT}
    values = {**row, "message": "as many", "word_count": WORDS}
    connection.execute(OLD_COMMENT.insert(), values)


def add_third_comment(connection: Connection) -> None:
    thread, author = (connection.scalars(select(model.__table__.c.id)).one() for model in MODELS)
    add_comment(connection, thread, author)
    connection.commit()
    assert counters.rebuild(connection) == 2


MODELS = (Thread, Author)


def stored(connection: Connection) -> list[tuple[int, int]]:
    tables = [model.__table__ for model in MODELS]
    query = (select(table.c.comment_count, table.c.word_count) for table in tables)
    return [tuple(connection.execute(item).one()) for item in query]


def type_names(connection: Connection) -> set[str]:
    return {
        str(column["type"])
        for model in MODELS
        for column in inspect(connection).get_columns(model.__tablename__)
        if isinstance(column["type"], Integer)
    }


def drifts(connection: Connection) -> list[str]:
    return [str(drift) for drift in counters.verify(connection, derived=False)]


async def test_counters_are_widened_and_keep_their_values(old: Database) -> None:
    assert await read(old, type_names) == {"INTEGER"}
    for _ in range(2):
        assert (await migrate(old)).current == BEFORE
        assert await read(old, type_names) == {"INTEGER" if old.is_sqlite else "BIGINT"}
        assert await read(old, stored) == [(2, 2_147_483_646)] * 2
        assert await read(old, drifts) == []
        await downgrade(old, BEFORE)
        assert await read(old, type_names) == {"INTEGER"}
        assert await read(old, stored) == [(2, 2_147_483_646)] * 2


async def test_count_past_32_bits_is_kept_and_recounted(old: Database) -> None:
    await migrate(old)
    await read(old, add_third_comment)
    assert await read(old, stored) == [(3, 3_221_225_469)] * 2
    assert await read(old, drifts) == []


async def test_downgrade_that_would_overflow_is_refused(old: Database) -> None:
    newest = (await migrate(old)).newest
    await read(old, add_third_comment)
    with pytest.raises(CommandError, match=r"tallied_thread has counters above 2,147,483,647"):
        await downgrade(old, BEFORE)
    assert (await read_state(old)).current == newest
    assert await read(old, stored) == [(3, 3_221_225_469)] * 2
    async with old.engine.begin() as connection:
        await connection.execute(text("DELETE FROM tallied_comment"))
    assert await read(old, counters.rebuild) == 2
    await downgrade(old, BEFORE)
    assert await read(old, stored) == [(0, 0)] * 2
