"""The quota: what somebody may do within a time, for the checks of comments."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from .base import Base, UTCDateTime


class Quota(Base):
    """How often an author, or a network of guests, has done something since a quota began.

    It has no name, no address and no text, but hashes of them, and counts for nothing once it has
    ended.
    """

    __tablename__ = "tallied_quota"

    subject: Mapped[str] = mapped_column(String(64), primary_key=True)
    """The key of an author, or the hash of a network."""
    purpose: Mapped[str] = mapped_column(String(64), primary_key=True)
    """What is counted: a word, or the hash of a text."""
    comment_id: Mapped[UUID] = mapped_column()
    """The comment that was counted last."""
    count: Mapped[int] = mapped_column()
    ends_at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)
