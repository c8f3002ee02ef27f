"""The pair of tables that every way works on, mapped anew for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from uuid_utils.compat import uuid7

from tallied.counters import Derived
from tallied.models.base import UTCDateTime


def count_words(message: str) -> int:
    """Count the words of `message` as the published recipes do."""
    return len(message.split())


class StoredWords:
    """The cached column."""

    word_count: Mapped[int] = mapped_column(server_default=text("0"))


class WithoutReplies:
    """No further columns of a comment."""


@dataclass(frozen=True)
class Strategy:
    """One way to keep ``thread.word_count``, or not to.

    Listeners hang on the two classes and on the session class, which no other way
    shares; so all ways can be used in one process, and on one database.
    """

    name: str
    Thread: type[Any]
    Comment: type[Any]
    Session: type[Session]
    keeps: tuple[str, ...] = ("word_count",)
    """The columns of the thread that it keeps."""
    is_derived: bool = True
    """Whether a listener of Tallied computes the words of a comment, or the application does."""
    lock: Callable[[Session, UUID], None] | None = None
    """Locks the thread before a comment is added, if the application does so."""

    def values(self, message: str) -> dict[str, Any]:
        """Return the values that an application gives a comment with `message`."""
        words = {} if self.is_derived else {"word_count": count_words(message)}
        return {"message": message, **words}

    def __str__(self) -> str:
        return self.name

    @property
    def metadata(self) -> Any:
        """Return the two tables, which have the same columns in every strategy."""
        return self.Thread.metadata


def map_strategy(
    name: str,
    words: type[Any] = StoredWords,
    replies: type[Any] = WithoutReplies,
    *,
    prefix: str = "",
    keeps: tuple[str, ...] = ("word_count",),
    is_derived: bool = True,
) -> Strategy:
    """Return a strategy that does nothing yet: new classes for the tables and the sessions.

    :param words: a mixin that maps ``Thread.word_count``.
    :param replies: a mixin of further columns of a comment.
    :param prefix: what the tables' names begin with; the same in every way that needs no
        tables of its own.
    """

    class Base(DeclarativeBase):
        pass

    class Thread(words, Base):
        __tablename__ = f"{prefix}thread"

        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
        title: Mapped[str] = mapped_column(default="Engines")
        comment_count: Mapped[int] = mapped_column(server_default=text("0"))
        last_comment_at: Mapped[datetime | None] = mapped_column(UTCDateTime)

        comments = relationship("Comment", back_populates="thread", passive_deletes=True)

    class Comment(replies, Base):
        __tablename__ = f"{prefix}comment"

        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
        thread_id: Mapped[UUID] = mapped_column(
            ForeignKey(f"{prefix}thread.id", ondelete="CASCADE"), index=True
        )
        message: Mapped[str]
        word_count: Mapped[int]
        created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=lambda: datetime.now(UTC))

        thread = relationship("Thread", back_populates="comments")

    if is_derived:
        Derived(Comment.word_count, of=Comment.message, compute=count_words)
    session_class = type("WaySession", (Session,), {})
    return Strategy(name, Thread, Comment, session_class, keeps, is_derived)
