"""The flag: the report of a comment by a viewer, for moderators."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from .base import Base, UTCDateTime, now
from .comment import Comment


class Flag(Base):
    """The report of a comment by an author, at most one of each; open until it is moderated."""

    __tablename__ = "tallied_flag"

    comment_id: Mapped[UUID] = mapped_column(
        ForeignKey("tallied_comment.id", ondelete="CASCADE"), primary_key=True
    )
    author_id: Mapped[UUID] = mapped_column(
        ForeignKey("tallied_author.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    reason: Mapped[str] = mapped_column(String(20))
    note: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    closed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When a moderator decided about the comment; None while the flag is open."""

    comment: Mapped[Comment] = relationship(lazy="raise", passive_deletes=True)
