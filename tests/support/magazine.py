"""Models of a host, whose rows point to Tallied's threads and copy their counters."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, ForeignKey, Identity, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from tallied.counters import Latest, Sum
from tallied.models import Comment, Thread
from tallied.models.base import UTCDateTime
from tallied.models.counters import counters


class Host(DeclarativeBase):
    """The base of the host's models."""


def counter() -> Mapped[int]:
    return mapped_column(server_default=text("0"))


class Issue(Host):
    """A parent of articles: a chain goes on beyond a copy."""

    __tablename__ = "issue"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    comments: Mapped[int] = counter()


class Article(Host):
    """A row with a thread of its own, one to one, or without one."""

    __tablename__ = "article"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    headline: Mapped[str] = mapped_column(default="Untitled")
    thread_id: Mapped[Any] = mapped_column(
        ForeignKey(Thread.id, ondelete="SET NULL"), unique=True, nullable=True
    )
    issue_id: Mapped[int | None] = mapped_column(
        ForeignKey("issue.id", ondelete="SET NULL"), index=True
    )
    comment_count: Mapped[int] = counter()
    words: Mapped[int] = counter()
    last_comment_at: Mapped[datetime | None] = mapped_column(UTCDateTime)

    thread: Mapped[Thread | None] = relationship(Thread)
    issue: Mapped[Issue | None] = relationship()


class Topic(Host):
    """A row of which teasers copy a column that is not a counter."""

    __tablename__ = "topic"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    weight: Mapped[int] = mapped_column(default=0)
    is_open: Mapped[bool] = mapped_column(default=True)

    teasers: Mapped[list[Teaser]] = relationship(back_populates="topic")


class Teaser(Host):
    """A row of which several may point to the same thread, and are deleted with it."""

    __tablename__ = "teaser"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    thread_id: Mapped[Any] = mapped_column(
        ForeignKey(Thread.id, ondelete="CASCADE"), index=True, nullable=True
    )
    topic_id: Mapped[int | None] = mapped_column(ForeignKey("topic.id"), index=True)
    comment_count: Mapped[int] = counter()
    weight: Mapped[int] = counter()
    open_weight: Mapped[int | None]

    thread: Mapped[Thread | None] = relationship(Thread)
    topic: Mapped[Topic | None] = relationship(back_populates="teasers")


class HostSession(Session):
    """The session class of the host's counters and Tallied's."""


magazine = counters.extend(
    Sum(Article.comment_count, of=Thread.comment_count, via=Article.thread),
    Sum(Article.words, of=Thread.word_count, via=Article.thread),
    Latest(Article.last_comment_at, of=Thread.last_comment_at, via=Article.thread),
    Sum(Issue.comments, of=Article.comment_count, via=Article.issue),
    Sum(Teaser.comment_count, of=Thread.comment_count, via=Teaser.thread),
    Sum(Teaser.weight, of=Topic.weight, via=Teaser.topic),
    Latest(Teaser.open_weight, of=Topic.weight, via=Teaser.topic, where=Topic.is_open.is_(True)),
)
magazine.install(HostSession)


class Numbers(NamedTuple):
    """The copies of an article."""

    comment_count: int
    words: int
    last_comment_at: datetime | None


def shown(article: Article) -> Numbers:
    """Return the counters in memory, without loading any."""
    return Numbers(*(vars(article)[name] for name in Numbers._fields))


def truth(connection: Connection) -> dict[int, Numbers]:
    """Return the true copies of all articles, counted in Python from the messages."""
    rows = connection.execute(select(Comment.thread_id, Comment.message, Comment.created_at)).all()
    numbers_ = {}
    for key, thread_id in connection.execute(select(Article.id, Article.thread_id)):
        own = [
            (len(m.split()), at)
            for other_id, m, at in rows
            if thread_id is not None and other_id == thread_id
        ]
        sizes, times = [size for size, _ in own], [at for _, at in own]
        numbers_[key] = Numbers(len(sizes), sum(sizes), max(times, default=None))
    return numbers_


def stored(connection: Connection) -> dict[int, Numbers]:
    """Return the stored copies of all articles."""
    columns = (Article.comment_count, Article.words, Article.last_comment_at)
    return {row[0]: Numbers(*row[1:]) for row in connection.execute(select(Article.id, *columns))}


def issues(
    connection: Connection, numbers: Mapping[int, Numbers] | None = None
) -> tuple[dict[int, int], dict[int, int]]:
    """Return the stored and the true counters of the issues.

    :param numbers: the :func:`truth`, by default as it is now.
    """
    stored_counts = {row[0]: row[1] for row in connection.execute(select(Issue.id, Issue.comments))}
    true = dict.fromkeys(stored_counts, 0)
    numbers = truth(connection) if numbers is None else numbers
    for key, issue in connection.execute(select(Article.id, Article.issue_id)):
        if issue is not None:
            true[issue] += numbers[key].comment_count
    return stored_counts, true


def assert_exact(session: Session, *, verified: bool = True) -> None:
    """Assert that memory, columns and recount agree for all articles and issues.

    :param verified: whether the engine's own recount must agree, too, on all of its counters.
    """
    connection = session.connection()
    true = truth(connection)
    assert stored(connection) == true
    stored_counts, counted = issues(connection, true)
    assert stored_counts == counted
    loaded = [o for o in session if isinstance(o, Article) and "comment_count" in vars(o)]
    for article in loaded:
        key = vars(article).get("id")
        if key in true:
            assert shown(article) == true[key]
    if verified:
        assert list(magazine.verify(connection)) == []


def make_tables(engine: Engine) -> None:
    """Create the tables of the host, beside those of Tallied."""
    Host.metadata.create_all(engine, checkfirst=False)
