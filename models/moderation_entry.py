"""The moderation entry: one act of moderation, in a log that is only appended to."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from .base import Base, UTCDateTime, new_id, now


class ModerationEntry(Base):
    """The change of a comment's status by a moderator, by flags, or by a check of comments.

    It is written in the transaction of the change, and outlives the comment. So it names the
    comment and the thread by their keys alone, and holds no text of theirs.
    """

    __tablename__ = "tallied_moderation_log"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    comment_id: Mapped[UUID] = mapped_column()
    thread_id: Mapped[UUID] = mapped_column()
    moderator_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("tallied_author.id", ondelete="SET NULL"), index=True
    )
    """The author of the moderator; None for the host, flags and checks, and after a deletion."""
    former_status: Mapped[str | None] = mapped_column(String(20))
    """None for a new comment that a check has made pending."""
    status: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)

    __table_args__ = (
        # The history of one comment.
        Index("ix_tallied_moderation_log_comment_id_created_at", "comment_id", "created_at"),
    )
