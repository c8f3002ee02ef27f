"""The true counters, recomputed from the rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, select
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import instance_state

from tallied.database import Database
from tallied.models import Author, Comment, Thread


class Counted(NamedTuple):
    """The counters of a thread, or of an author, who has no time."""

    comment_count: int
    word_count: int
    last_comment_at: datetime | None = None


COLUMNS = (
    Comment.thread_id,
    Comment.author_id,
    Comment.message,
    Comment.word_count,
    Comment.created_at,
)


def recounted(comments: Sequence[Any]) -> Counted:
    """Return the true counters of what these comments count for, by their messages."""
    assert [row.word_count for row in comments] == [len(row.message.split()) for row in comments]
    times = [row.created_at for row in comments]
    return Counted(len(times), sum(row.word_count for row in comments), max(times, default=None))


def truth(connection: Connection, thread_id: Any) -> Counted:
    """Return the true counters of a thread."""
    statement = select(*COLUMNS).where(Comment.thread_id == thread_id, Comment.shown)
    return recounted(connection.execute(statement).all())


def stored(connection: Connection, thread_id: Any) -> Counted:
    """Return the stored counters of a thread."""
    columns = (Thread.comment_count, Thread.word_count, Thread.last_comment_at)
    return Counted(*connection.execute(select(*columns).where(Thread.id == thread_id)).one())


def shown(thread: Thread) -> Counted:
    """Return the counters in memory, without loading any."""
    values = vars(thread)
    if instance_state(thread).key is None:  # a new object shows empty counters and holds none
        values = {"comment_count": 0, "word_count": 0, "last_comment_at": None} | values
    return Counted(values["comment_count"], values["word_count"], values["last_comment_at"])


def assert_exact(session: Session, *threads: Thread) -> None:
    """Assert after a flush that memory, column and recount agree for `threads`."""
    connection = session.connection()
    for thread in threads:
        true = truth(connection, thread.id)
        assert stored(connection, thread.id) == true
        assert shown(thread) == true


async def count_drifted(database: Database) -> int:
    """Return the same as :func:`drifted`."""
    async with database.read() as connection:
        return await connection.run_sync(drifted)


def drifted(bind: Engine | Connection) -> int:
    """Return how many threads and authors have a counter that differs from the recount."""
    if isinstance(bind, Engine):
        with bind.connect() as connection:
            return drifted(connection)
    comments: defaultdict[Any, list[Any]] = defaultdict(list)
    for row in bind.execute(select(*COLUMNS).where(Comment.shown)):
        for key in (row.thread_id, row.author_id):
            comments[key].append(row)
    columns = (Thread.id, Thread.comment_count, Thread.word_count, Thread.last_comment_at)
    threads = bind.execute(select(*columns)).all()
    authors = bind.execute(select(Author.id, Author.comment_count, Author.word_count)).all()
    return sum(Counted(*stored) != recounted(comments[key]) for key, *stored in threads) + sum(
        tuple(stored) != recounted(comments[key])[:2] for key, *stored in authors
    )
