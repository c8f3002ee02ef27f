"""The revision: what a comment said after one of its edits."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from .base import Base, UTCDateTime


class Revision(Base):
    """A message that a comment had, or has; the first row comes with the first edit.

    The latest revision of a comment has its present message. :mod:`tallied.resolvers.revisions`
    alone writes the rows.
    """

    __tablename__ = "tallied_revision"

    comment_id: Mapped[UUID] = mapped_column(
        ForeignKey("tallied_comment.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """The comment's `revision` at that time."""
    message: Mapped[str] = mapped_column(Text)
    word_count: Mapped[int] = mapped_column()
    edited_at: Mapped[datetime] = mapped_column(UTCDateTime)
    """When it was written; of the original, when the comment was."""
    editor_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("tallied_author.id", ondelete="SET NULL"), index=True
    )
