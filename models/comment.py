"""The comment: a message in a thread, its author and its number of words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ..auth.viewer import NAME_LENGTH
from .author import Author
from .base import Base, UTCDateTime, new_id, now
from .words import count_words

if TYPE_CHECKING:
    from .thread import Thread


class Comment(Base):
    """One message in a thread."""

    __tablename__ = "tallied_comment"

    count_words: ClassVar[Callable[[str], int]] = staticmethod(count_words)
    """The function that counts words; replace it before the first comment is written."""

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    thread_id: Mapped[UUID] = mapped_column(ForeignKey("tallied_thread.id", ondelete="CASCADE"))
    author_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("tallied_author.id", ondelete="SET NULL")
    )
    author_name: Mapped[str | None] = mapped_column(String(NAME_LENGTH))
    """The name that a guest gave; None for an author, also a deleted one."""
    author_name_key: Mapped[str | None] = mapped_column(Text)
    """The key for searches by name, kept equal to ``name_key(author_name)``."""
    message: Mapped[str] = mapped_column(Text)
    word_count: Mapped[int] = mapped_column()
    """The words of `message`, kept equal to ``count_words(message)``."""
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    edited_at: Mapped[datetime | None] = mapped_column(UTCDateTime)

    submission_key: Mapped[str | None] = mapped_column(String(64))
    """The hash of a submission with an id of the client; None without such an id."""

    thread: Mapped[Thread] = relationship(back_populates="comments", lazy="raise")
    author: Mapped[Author | None] = relationship(lazy="raise")

    __table_args__ = (
        # Which of two that are the same comes first; none is the same as none.
        Index("uq_tallied_comment_submission_key", "submission_key", unique=True),
        # The page of a thread's comments, its latest comment, and the foreign key.
        Index("ix_tallied_comment_thread_id_created_at_id", "thread_id", "created_at", "id"),
        # The same of one author, and the foreign key.
        Index(
            "ix_tallied_comment_author_id_thread_id_created_at_id",
            "author_id",
            "thread_id",
            "created_at",
            "id",
        ),
        # The same of a guest.
        Index(
            "ix_tallied_comment_thread_id_author_name_key_created_at_id",
            "thread_id",
            "author_name_key",
            "created_at",
            "id",
        ),
    )
