"""Migrations of a database with data lose nothing and end in the newest tables."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import (
    Connection,
    column,
    delete,
    insert,
    inspect,
    make_url,
    select,
    table,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError
from support.catalog import catalog, described, read
from uuid_utils.compat import uuid7

from tallied.cli import maintenance
from tallied.database import Database, UnitOfWork
from tallied.errors import Busy
from tallied.migrations import runner
from tallied.migrations.runner import downgrade, migrate, read_state
from tallied.models import Author, Comment, Thread
from tallied.models.thread import fold

# SQLAlchemy reads no such index of SQLite; they are compared by their statements.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Skipped unsupported reflection of expression-based index"
)

BEFORE = "tallied_0002"
START = datetime(2026, 3, 1, tzinfo=UTC)
THREADS = ("Engines", "Über Mühlen", "Naught")
MESSAGES = {"Engines": ("one two", "three"), "Über Mühlen": ("drei", "vier fünf", "日本語 🙂")}


def fill(connection: Connection) -> None:
    """Store three threads and five comments."""
    for number, title in enumerate(THREADS):
        id, begun = uuid7(), START + timedelta(days=number)
        times = [begun + timedelta(hours=hour) for hour in range(len(MESSAGES.get(title, ())))]
        messages = MESSAGES.get(title, ())
        thread = {
            "id": id,
            "title": title,
            "title_folded": fold(title),
            "created_at": begun,
            "updated_at": begun,
            "comment_count": len(messages),
            "word_count": sum(len(message.split()) for message in messages),
            "last_comment_at": max(times, default=None),
        }
        connection.execute(insert(Thread.__table__).values(thread))
        for time, message in zip(times, messages, strict=True):
            comment = {
                "id": uuid7(),
                "thread_id": id,
                "author_name": f"Ada {time.hour}",
                "message": message,
                "word_count": len(message.split()),
                "created_at": time,
                "edited_at": time + timedelta(minutes=5) if time.hour else None,
            }
            # Of these columns alone: the model has more, which it fills in.
            columns = (column(name, Comment.__table__.c[name].type) for name in comment)
            connection.execute(insert(table("tallied_comment", *columns)).values(comment))


OLD_COLUMNS = {
    Thread: "id title title_folded created_at updated_at comment_count word_count last_comment_at",
    Comment: "id thread_id author_name message word_count created_at edited_at",
}


def contents(connection: Connection) -> Any:
    """Return the rows of the old columns."""
    result = {}
    for model, names in OLD_COLUMNS.items():
        columns = [model.__table__.c[name] for name in names.split()]
        rows = connection.execute(select(*columns).order_by(model.__table__.c.id))
        result[model.__name__] = [row._asdict() for row in rows]
    assert (len(result["Thread"]), len(result["Comment"])) == (3, 5)
    return result


def everything(connection: Connection) -> Any:
    """Return the tables, and what the database's own catalog has beside them."""
    more = catalog(connection)
    if connection.dialect.name == "sqlite":
        # The statements of tables differ in the order of what they say.
        more = [row for row in more if row[0] == "index"]
    return described(connection), more


async def drifts(database: Database) -> list[str]:
    result: list[str] = []
    await maintenance.verify(database, lambda drift: result.append(str(drift)))
    return result


@pytest.mark.slow
async def test_upgrade_and_downgrade_lose_nothing(old: Database) -> None:
    before, tables = await read(old, contents), await read(old, everything)
    for _ in range(2):
        assert (await migrate(old)).current == BEFORE
        assert await read(old, contents) == before
        assert await drifts(old) == []
        assert (await downgrade(old, BEFORE)).current != BEFORE
        assert await read(old, contents) == before
        assert await read(old, everything) == tables


async def test_migrated_tables_equal_new_tables(old: Database) -> None:
    await migrate(old)
    migrated = await read(old, everything)
    assert {row[1] for row in await read(old, catalog) if row[0] == "index"} >= {
        "ix_tallied_thread_last_activity_id",
        "ix_tallied_thread_author_id",
        "uq_tallied_thread_target_type_target_id",
        "ix_tallied_comment_thread_id_created_at_id",
        "ix_tallied_comment_thread_id_author_name_key_created_at_id",
        "ix_tallied_comment_author_id_thread_id_created_at_id",
    }
    await downgrade(old)
    await migrate(old)
    assert await read(old, everything) == migrated


async def test_foreign_keys_cascade_to_comments(old: Database) -> None:
    await migrate(old)
    thread, comment = Thread.__table__, Comment.__table__
    for statement in (
        update(comment).values(thread_id=uuid7()),
        update(comment).values(author_id=uuid7()),
        update(thread).values(author_id=uuid7()),
    ):
        with pytest.raises(IntegrityError):
            async with old.engine.begin() as connection:
                await connection.execute(statement)
    if old.is_sqlite:
        async with old.engine.connect() as connection:
            assert (await connection.execute(text("PRAGMA foreign_key_check"))).all() == []
    async with old.engine.begin() as connection:
        await connection.execute(delete(thread).where(thread.c.title == "Engines"))
        assert len((await connection.execute(select(comment.c.id))).all()) == 3


async def test_comments_of_authors_survive_downgrade(old: Database) -> None:
    await migrate(old)

    async def write(unit: UnitOfWork) -> None:
        author = Author(subject="7", name="Ada")
        comments = [Comment(author=author, message="one two three") for _ in range(2)]
        unit.session.add(Thread(title="Looms", author=author, comments=comments))

    await old.write(write)
    assert await drifts(old) == []
    await downgrade(old, BEFORE)
    assert "tallied_author" not in await read(old, lambda sync: inspect(sync).get_table_names())
    async with old.engine.connect() as connection:
        query = select(Comment.author_name, Comment.word_count).join(Comment.thread)
        rows = (await connection.execute(query.where(Thread.title == "Looms"))).all()
    assert [tuple(row) for row in rows] == [("", 3)] * 2
    await migrate(old)
    assert await drifts(old) == []


async def test_migration_waits_bounded_time_for_tables(
    old: Database, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader is enough on PostgreSQL; on SQLite, it is a writer."""
    monkeypatch.setattr(runner, "LOCK_TIMEOUT", "100ms")
    before, tables = await read(old, contents), await read(old, everything)
    if old.is_sqlite:
        with closing(sqlite3.connect(make_url(empty_url).database or "")) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Busy, match="busy with other changes"):
                await migrate(old)
    else:
        url = make_url(empty_url).set(drivername="postgresql").render_as_string(False)
        with psycopg.connect(url) as reader:
            reader.execute("SELECT count(*) FROM tallied_comment")
            with pytest.raises(Busy, match=r"lock on Tallied's tables; migrate again once"):
                await migrate(old)
    assert (await read_state(old)).current == BEFORE
    assert await read(old, everything) == tables
    assert (await migrate(old)).current == BEFORE
    assert await read(old, contents) == before
