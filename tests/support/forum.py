"""A small forum: two parents of one source, a collection, a deferred column, every ON DELETE."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, ForeignKey, Identity, event, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from tallied.counters import Count, Counters, Max, Sum


class Forum(DeclarativeBase):
    """The base of the forum."""


class Author(Forum):
    __tablename__ = "author"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    comment_count: Mapped[int] = mapped_column(server_default=text("0"))
    words: Mapped[int] = mapped_column(server_default=text("0"))


class Thread(Forum):
    __tablename__ = "thread"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    title: Mapped[str] = mapped_column(default="Untitled")
    body: Mapped[str | None] = mapped_column(deferred=True)
    comment_count: Mapped[int] = mapped_column(server_default=text("0"))
    words: Mapped[int] = mapped_column(server_default=text("0"))
    longest: Mapped[int | None]

    comments: Mapped[list[Comment]] = relationship(back_populates="thread")


class Comment(Forum):
    __tablename__ = "comment"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    thread_id: Mapped[int | None] = mapped_column(
        ForeignKey("thread.id", ondelete="CASCADE"), index=True
    )
    author_id: Mapped[int | None] = mapped_column(
        ForeignKey("author.id", ondelete="SET NULL"), index=True
    )
    words: Mapped[int] = mapped_column(default=3)
    note: Mapped[str | None]

    thread: Mapped[Thread | None] = relationship(back_populates="comments")
    author: Mapped[Author | None] = relationship()


class ForumSession(Session):
    """The session class of the forum's counters."""


forum = Counters(
    Count(Thread.comment_count, via=Comment.thread),
    Sum(Thread.words, of=Comment.words, via=Comment.thread),
    Max(Thread.longest, of=Comment.words, via=Comment.thread),
    Count(Author.comment_count, via=Comment.author),
    Sum(Author.words, of=Comment.words, via=Comment.author),
)
forum.install(ForumSession)

FIRST, SECOND = 900, 901
"""The keys of the two threads of `session`."""

ROWS = [(FIRST, 2), (FIRST, 5), (SECOND, 3), (SECOND, 4), (SECOND, 6)]
"""The comments of `session`: the thread and the words of each."""


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session with two threads, of 2 + 5 and 3 + 4 + 6 words, by one author; committed.

    The modules that are about the forum import it.
    """
    Forum.metadata.create_all(engine)
    with ForumSession(engine) as session:
        author = Author()
        for key in (FIRST, SECOND):
            words = [size for thread, size in ROWS if thread == key]
            comments = [Comment(words=size, author=author) for size in words]
            session.add(Thread(id=key, comments=comments))
        session.commit()
        yield session


def rows(connection: Connection) -> list[tuple[int | None, int]]:
    """Return the thread and the words of each stored comment."""
    result = connection.execute(select(Comment.thread_id, Comment.words))
    return sorted(tuple(row) for row in result)


@contextmanager
def listening(target: Any, name: str, listener: Callable[..., None]) -> Iterator[None]:
    """Call `listener` in the block, after all other listeners."""
    event.listen(target, name, listener)
    try:
        yield
    finally:
        event.remove(target, name, listener)
