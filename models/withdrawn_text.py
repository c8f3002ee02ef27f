"""The withdrawn text: what a comment held before it was deleted or hidden."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from ..auth.viewer import NAME_LENGTH
from .base import Base, UTCDateTime, now


class WithdrawnText(Base):
    """The text and the author of a comment that has replies, and is deleted or hidden.

    They are in no row that readers reach. The row goes with its comment; that of a deleted comment
    is purged after a time. :mod:`tallied.resolvers.withdrawal` alone writes it.
    """

    __tablename__ = "tallied_withdrawn_text"

    comment_id: Mapped[UUID] = mapped_column(
        ForeignKey("tallied_comment.id", ondelete="CASCADE"), primary_key=True
    )
    message: Mapped[str] = mapped_column(Text)
    author_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("tallied_author.id", ondelete="SET NULL"), index=True
    )
    author_name: Mapped[str | None] = mapped_column(String(NAME_LENGTH))
    status: Mapped[str] = mapped_column(String(20))
    """The status of the comment before its deletion, or before it was hidden."""
    withdrawn_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    """When the comment was deleted, or else when it was hidden."""

    __table_args__ = (
        # What is to be purged.
        Index("ix_tallied_withdrawn_text_withdrawn_at_comment_id", "withdrawn_at", "comment_id"),
    )
