"""What the benchmark stores before it measures, and looks up afterwards."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.orm import Session

from tallied.database import Database, UnitOfWork
from tallied.migrations.runner import migrate
from tallied.models import Author, Comment, Mark, Reaction, ReactionTotal, Thread

from ..databases import blocking_engine

SUBJECT = "7"
"""The subject of the viewer who has marks and adds reactions."""

OTHER_KIND = "thanks"
"""The kind of the reaction that somebody else has added to each comment before.

A connection to PostgreSQL keeps the plan of a foreign key's check. One that was made for a table
with a few rows scans it, and takes longer with each reaction, until the table is analyzed.
"""

MESSAGE = "The message of a comment has some ten words at least. "


class Stored(NamedTuple):
    """The keys of what is stored."""

    threads: Sequence[UUID]
    comments: Sequence[UUID]
    """The comments in these threads."""
    tree: UUID
    """Another thread, with replies and reactions."""


async def fill(url: str, threads: int, comments: int) -> Stored:
    """Create the tables, the threads and their comments, a tree, and a viewer's marks."""
    database = Database(url)
    await migrate(database)
    for start in range(0, threads, 100):
        numbers = range(start, min(start + 100, threads))

        async def work(unit: UnitOfWork, numbers: Sequence[int] = numbers) -> None:
            unit.session.add_all(
                Thread(
                    title=f"Thread {number} of the benchmark",
                    comments=[Comment(author_name="Ada", message=MESSAGE) for _ in range(comments)],
                )
                for number in numbers
            )

        await database.write(work)
    async with database.read() as connection:
        keys = list(await connection.scalars(select(Thread.id)))
        own = list(await connection.scalars(select(Comment.id)))
    other = await database.write(_add_author)
    for start in range(0, len(own), 1000):
        some = own[start : start + 1000]
        await database.write(partial(_add_reactions, comments=some, author=other))
    await database.write(partial(_add_marks, threads=keys[::2]))
    tree = await database.write(_add_tree)
    if not database.is_sqlite:
        async with database.read() as connection:
            await connection.execute(text("VACUUM ANALYZE"))
    await database.dispose()
    for ids in (keys, own):
        random.Random(1).shuffle(ids)
    return Stored(keys, own, tree)


async def _add_author(unit: UnitOfWork) -> UUID:
    author = Author(subject="9", name="Bob")
    unit.session.add(author)
    await unit.session.flush()
    return author.id


async def _add_reactions(unit: UnitOfWork, comments: Sequence[UUID], author: UUID) -> None:
    """Add a reaction to each of these comments."""
    unit.session.add_all(ReactionTotal(comment_id=id, kind=OTHER_KIND) for id in comments)
    await unit.session.flush()
    unit.session.add_all(
        Reaction(comment_id=id, author_id=author, kind=OTHER_KIND) for id in comments
    )


async def _add_marks(unit: UnitOfWork, threads: Sequence[UUID]) -> None:
    """Add an author who has read a comment of each of these threads."""
    author = Author(subject=SUBJECT, name="Ada")
    unit.session.add(author)
    await unit.session.flush()
    unit.session.add_all(
        Mark(author_id=author.id, thread_id=thread, last_read_seq=1) for thread in threads
    )


async def _add_tree(unit: UnitOfWork) -> UUID:
    """Add a thread of 20 comments with 3 replies each, and a reaction to each of them."""
    thread = Thread(title="A tree of comments")
    comments = []
    for _ in range(20):
        top = Comment(author_name="Ada", message=MESSAGE, thread=thread)
        comments.append(top)
        comments += [
            Comment(
                author_name="Bob", message=MESSAGE, thread=thread, parent=top, root=top, depth=1
            )
            for _ in range(3)
        ]
    author = Author(subject="8", name="Eve")
    unit.session.add_all([thread, author, *comments])
    await unit.session.flush()
    unit.session.add_all(ReactionTotal(comment_id=comment.id, kind="like") for comment in comments)
    await unit.session.flush()
    unit.session.add_all(
        Reaction(comment_id=comment.id, author_id=author.id, kind="like") for comment in comments
    )
    return thread.id


def forget_reactions(url: str) -> None:
    """Delete the reactions of the viewer of the benchmark, so that they can be added again."""
    engine = blocking_engine(url)
    # By tables, not by the ORM: this is beside the counters, which it sets as well.
    comment, reaction, total = (
        class_.metadata.tables[class_.__tablename__]
        for class_ in (Comment, Reaction, ReactionTotal)
    )
    own = select(Author.id).where(Author.subject == SUBJECT).scalar_subquery()
    with engine.begin() as connection:
        query = select(reaction.c.comment_id).where(reaction.c.author_id == own).distinct()
        ids = connection.scalars(query).all()
        for start in range(0, len(ids), 500):
            some = ids[start : start + 500]
            for table in (reaction, total):
                is_new = table.c.comment_id.in_(some) & (table.c.kind != OTHER_KIND)
                connection.execute(delete(table).where(is_new))
            count = update(comment).where(comment.c.id.in_(some)).values(reaction_count=1)
            connection.execute(count)
    if engine.dialect.name == "postgresql":  # Or it does so in the middle of somebody's round.
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for table in (comment, reaction, total):
                connection.execute(text(f"VACUUM ANALYZE {table.name}"))
    engine.dispose()


def count_sessions(url: str) -> int | None:
    """Return the number of connections that a PostgreSQL database has ever had."""
    if url.startswith("sqlite"):
        return None
    query = "SELECT sessions FROM pg_stat_database WHERE datname = current_database()"
    engine = blocking_engine(url)
    with engine.connect() as connection:
        sessions: int = connection.scalar(text(query)) or 0
    engine.dispose()
    return sessions


def count_wrong(url: str) -> int:
    """Return the number of threads whose counter differs from their comments."""
    engine = blocking_engine(url)
    true = select(func.count()).where(Comment.thread_id == Thread.id).scalar_subquery()
    query = select(func.count()).select_from(Thread).where(Thread.comment_count != true)
    with Session(engine) as session:
        wrong: int = session.scalar(query) or 0
    engine.dispose()
    return wrong
