"""Comments that reply to each other, written past the API."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import select

from tallied.database import Database, UnitOfWork
from tallied.models import Author, Base, Comment, Thread, WithdrawnText
from tallied.models.base import new_id
from tallied.models.comment import DELETED
from tallied.resolvers.withdrawal import CommentTree, lock_tree
from tallied.schema.ids import encode_id

from .host import Client, key


async def grow(database: Database, roots: int, seed: int = 7) -> str:
    """Fill in a thread with a tree, and return its id."""
    chance = random.Random(seed)
    author = Author(id=new_id(), subject="77", name="Ada")
    thread = Thread(title="Looms")
    comments: list[Comment] = []
    for number in range(roots * 12):
        parent = chance.choice(comments) if number >= roots else None
        while parent is not None and parent.depth == 4:
            parent = chance.choice(comments)
        comments.append(
            Comment(
                thread_id=thread.id,
                author_id=author.id if number % 3 else None,
                author_name=None if number % 3 else "Grace",
                message=f"comment {number}",
                parent_id=parent and parent.id,
                root_id=parent and (parent.root_id or parent.id),
                depth=0 if parent is None else parent.depth + 1,
            )
        )
    parents = {comment.parent_id for comment in comments}
    for comment in comments[::9]:
        comment.status = "rejected"
        comment.placeholder = comment.id in parents
        if comment.placeholder:
            comment.message, comment.author_id, comment.author_name = "", None, None

    async def work(unit: UnitOfWork) -> None:
        unit.session.add_all([author, thread])
        await unit.session.flush()
        unit.session.add_all(comments)

    await database.write(work)
    return encode_id("Thread", thread.id)


async def add_reply(database: Database, parent: str, message: str = "re ply", **values: Any) -> str:
    """Add a reply to a comment, and return its global id."""
    parent_id = key(parent)

    async def work(unit: UnitOfWork) -> UUID:
        above = await unit.session.get_one(Comment, parent_id)
        reply = Comment(
            thread_id=above.thread_id,
            parent_id=above.id,
            root_id=above.root_id or above.id,
            depth=above.depth + 1,
            message=message,
            **values,
        )
        unit.session.add(reply)
        await unit.session.flush()
        return reply.id

    return encode_id("Comment", await database.write(work))


async def add_chain(client: Client, thread: str, length: int) -> list[str]:
    """Add a comment of the client, and replies by the same author, each to the one before."""
    ids = [await client.comment(thread, "word 0")]
    async with client.database.read() as connection:
        query = select(Comment.author_id, Comment.author_name).where(Comment.id == key(ids[0]))
        author_id, name = (await connection.execute(query)).one()
    for number in range(1, length):
        values = {"author_id": author_id, "author_name": name}
        ids.append(await add_reply(client.database, ids[-1], f"word {number}", **values))
    return ids


async def read_rows(database: Database) -> dict[str, Comment]:
    """Return all comments by their global ids."""
    async with database.sessions() as session:
        rows = await session.scalars(select(Comment))
        return {encode_id("Comment", row.id): row for row in rows}


async def read_texts(database: Database) -> dict[str, WithdrawnText]:
    """Return all withdrawn texts by the global ids of their comments."""
    async with database.sessions() as session:
        rows = await session.scalars(select(WithdrawnText))
        return {encode_id("Comment", row.comment_id): row for row in rows}


async def read_values(database: Database) -> set[str]:
    """Return all that Tallied's tables hold, as texts."""
    async with database.engine.connect() as connection:
        return {
            value if isinstance(value, str) else getattr(value, "hex", str(value))
            for table in Base.metadata.sorted_tables
            for row in await connection.execute(select(table))
            for value in row
        }


async def change_tree(
    database: Database, comment: str, change: Callable[[CommentTree, UUID], None]
) -> None:
    """Change a comment in its tree, as moderation does."""

    async def work(unit: UnitOfWork) -> None:
        tree = await lock_tree(unit.session, [key(comment)])
        change(tree, key(comment))
        await tree.write()

    await database.write(work)


async def assert_sound(database: Database) -> None:
    """Assert that replies are where their parents are, and no text where it must not be."""
    rows, texts = await read_rows(database), await read_texts(database)
    by_key = {row.id: row for row in rows.values()}
    for row in rows.values():
        parent = None if row.parent_id is None else by_key[row.parent_id]
        root_id = parent and (parent.root_id or parent.id)
        depth, thread_id = (
            (0, row.thread_id) if parent is None else (parent.depth + 1, parent.thread_id)
        )
        assert (row.root_id, row.depth, row.thread_id) == (root_id, depth, thread_id)
    children: dict[UUID, list[Comment]] = {}
    for row in rows.values():
        if row.parent_id is not None:
            children.setdefault(row.parent_id, []).append(row)
    for id, row in rows.items():
        below = children.get(row.id, [])
        is_withdrawn = not row.shown and bool(below)
        assert below or row.status != DELETED, "a tombstone without replies"
        has_listed = any(child.shown or child.placeholder for child in below)
        assert row.placeholder == (is_withdrawn and has_listed)
        if is_withdrawn:
            held = (row.message, row.author_id, row.author_name, row.submission_key)
            assert held == ("", None, None, None)
        else:
            assert row.message
            assert id not in texts
        assert (row.deleted_at is None) == (row.deleted_by is None) == (row.status != DELETED)
        assert is_withdrawn or row.status != DELETED
    assert texts.keys() <= rows.keys()
