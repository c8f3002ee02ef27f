"""Deletions, restorations, purges and erasures use indexes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select, text, update
from support.query_plans import assert_by_index, executed, plan_of, rows_about
from support.rows import fetch_value, store

from tallied.database import Database, UnitOfWork
from tallied.host.access import Access, HostRules
from tallied.models import Author, Comment, Thread, WithdrawnText
from tallied.models.base import new_id, now
from tallied.resolvers import erasure, purge
from tallied.resolvers.comments import delete_comment, restore_comment
from tallied.resolvers.erasure import ERASERS, Eraser


def comment(thread_id: UUID, time: datetime) -> dict[str, Any]:
    message = {"message": "one two three", "word_count": 3}
    return {"id": new_id(), "thread_id": thread_id, "created_at": time, **message}


async def bury(database: Database) -> None:
    """Make many comments tombstones with one reply each, of one author, among other texts."""
    comments, texts = Comment.__table__, WithdrawnText.__table__
    author = new_id()
    threads = [Thread(title="T") for _ in range(3000)]
    rows = [
        {**comment(threads[number % 3000].id, now()), "author_name": "Ada"}
        for number in range(6000)
    ]
    await store(database, *threads)
    async with database.engine.begin() as connection:
        await connection.execute(insert(comments), rows)
        people = [
            {"id": author if n == 7 else new_id(), "subject": str(n), "created_at": now()}
            for n in range(500)
        ]
        await connection.execute(insert(Author.__table__), people)
        replies = [
            {
                **comment(row["thread_id"], now()),
                "parent_id": row["id"],
                "root_id": row["id"],
                "depth": 1,
                "author_id": author if number < 50 else None,
            }
            for number, row in enumerate(rows)
        ]
        await connection.execute(insert(comments), replies)
        is_above = comments.c.id.in_(select(comments.c.parent_id))
        counted = {"child_count": 1, "reply_count": 1, "listed_reply_count": 1}
        await connection.execute(update(comments).where(is_above).values(counted))
        deleted = [row["id"] for row in rows[3000:]]
        values = {"status": "deleted", "shown": False, "placeholder": True}
        times = {"deleted_at": now(), "deleted_by": "host"}
        for start in range(0, len(deleted), 500):
            chosen = comments.c.id.in_(deleted[start : start + 500])
            await connection.execute(update(comments).where(chosen).values(**values, **times))
        await connection.execute(
            insert(texts),
            [
                {
                    "comment_id": id,
                    "message": "x",
                    "author_id": author if number % 50 == 0 else None,
                    "status": "published",
                    "withdrawn_at": now() - timedelta(days=number % 29),
                }
                for number, id in enumerate(deleted)
            ],
        )
        authors = [row["id"] for row in people]
        about = rows_about([row["id"] for row in rows[::2]], [t.id for t in threads], authors)
        for model, values in about:
            await connection.execute(insert(model.__table__), values)
        await connection.execute(text("ANALYZE"))


async def erase(unit: UnitOfWork, eraser: Eraser, author: UUID) -> None:
    keys = await erasure._find(unit.session, eraser, author, 5)
    await eraser.erase(unit.session, author, keys)


@pytest.mark.slow
async def test_deletions_use_indexes(database: Database) -> None:
    """Neither a deletion, a restoration, a purge nor an erasure reads a whole table."""
    await bury(database)
    access = Access(HostRules()).as_host()
    ids = select(Comment.id).order_by(Comment.id).limit(1)
    tombstone = await fetch_value(database, ids.where(Comment.status == "deleted"))
    parent = await fetch_value(database, ids.where(Comment.child_count > 0, Comment.shown))
    reply = await fetch_value(
        database, ids.where(Comment.parent_id.is_not(None), Comment.parent_id != tombstone)
    )
    author = await fetch_value(database, select(Author.id).where(Author.subject == "7"))
    with executed(database) as statements:
        await database.write(lambda unit: delete_comment(unit, access, parent))
        await database.write(lambda unit: delete_comment(unit, access, reply))
        await database.write(lambda unit: restore_comment(unit, access, tombstone))
        await database.write(
            lambda unit: purge._purge_batch(unit, now() - timedelta(days=28), None, 50)
        )
        for eraser in ERASERS:
            await database.write(lambda unit, it=eraser: erase(unit, it, author))
    assert len(statements) > 20
    for statement, parameters in statements:
        if not statement.startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
            continue
        if parameters and isinstance(parameters[0], tuple):
            parameters = parameters[0]  # of a statement that is executed with many
        plan = await plan_of(database, statement, parameters)
        if database.is_sqlite:
            assert_by_index(database, plan)
        else:
            assert "Seq Scan" not in plan, (statement, plan)
