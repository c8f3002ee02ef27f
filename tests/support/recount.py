"""The true counters, recomputed from the rows."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, select
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import instance_state

from tallied.models import Author, Comment, Thread


class Counted(NamedTuple):
    """The counters of a thread, or of an author, who has no time."""

    comment_count: int
    word_count: int
    last_comment_at: datetime | None = None


def truth(connection: Connection, thread_id: Any) -> Counted:
    """Return the true counters of a thread, counted in Python from the messages."""
    rows = connection.execute(
        select(Comment.message, Comment.word_count, Comment.created_at).where(
            Comment.thread_id == thread_id, Comment.shown
        )
    ).all()
    assert [row.word_count for row in rows] == [len(row.message.split()) for row in rows]
    times = [row.created_at for row in rows]
    return Counted(len(rows), sum(row.word_count for row in rows), max(times, default=None))


def stored(connection: Connection, thread_id: Any) -> Counted:
    """Return the stored counters of a thread."""
    columns = (Thread.comment_count, Thread.word_count, Thread.last_comment_at)
    return Counted(*connection.execute(select(*columns).where(Thread.id == thread_id)).one())


def truth_of_author(connection: Connection, author_id: Any) -> Counted:
    """Return the true counters of an author, counted in Python from the messages."""
    query = select(Comment.message).where(Comment.author_id == author_id, Comment.shown)
    messages = connection.scalars(query)
    words = [len(message.split()) for message in messages]
    return Counted(len(words), sum(words))


def stored_of_author(connection: Connection, author_id: Any) -> Counted:
    """Return the stored counters of an author."""
    columns = (Author.comment_count, Author.word_count)
    return Counted(*connection.execute(select(*columns).where(Author.id == author_id)).one())


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


def drifted(bind: Engine | Connection) -> int:
    """Return how many threads and authors have a counter that differs from the recount."""
    if isinstance(bind, Engine):
        with bind.connect() as connection:
            return drifted(connection)
    threads, authors = (bind.scalars(select(model.id)).all() for model in (Thread, Author))
    return sum(stored(bind, key) != truth(bind, key) for key in threads) + sum(
        stored_of_author(bind, key) != truth_of_author(bind, key) for key in authors
    )
