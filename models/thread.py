"""The thread: a title, its comments, and what is cached about them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import ColumnElement, Index, String, func, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from .base import Base, UTCDateTime, new_id, now

if TYPE_CHECKING:
    from .comment import Comment


class Thread(Base):
    """A discussion. Its counters are declared in :mod:`tallied.models.counters`."""

    __tablename__ = "tallied_thread"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    title: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    updated_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    """When the thread itself was last changed (made, renamed); a comment does not touch it."""

    comment_count: Mapped[int] = mapped_column(server_default=text("0"))
    word_count: Mapped[int] = mapped_column(server_default=text("0"))
    last_comment_at: Mapped[datetime | None] = mapped_column(UTCDateTime)

    comments: Mapped[list[Comment]] = relationship(
        back_populates="thread",
        cascade="all, delete-orphan",
        passive_deletes=True,
        order_by="Comment.created_at, Comment.id",
        lazy="raise",
    )


def last_activity() -> ColumnElement[datetime]:
    """When a thread was last commented on, or made where it has no comment; never null."""
    return func.coalesce(Thread.last_comment_at, Thread.created_at)


# Every order in which the API pages through threads, each with the key as its tie-break.
Index("ix_tallied_thread_created_at_id", Thread.created_at, Thread.id)
Index("ix_tallied_thread_last_activity_id", last_activity(), Thread.id)
Index("ix_tallied_thread_comment_count_id", Thread.comment_count, Thread.id)
Index("ix_tallied_thread_word_count_id", Thread.word_count, Thread.id)
