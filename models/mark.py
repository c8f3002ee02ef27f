"""The mark: how far an author has read a thread."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from .base import Base, CounterInteger


class Mark(Base):
    """The place in a thread up to which an author has read it; it only moves forward.

    It goes together with its author and its thread. What is unread is not stored, but counted when
    it is read (:mod:`tallied.resolvers.unread`).
    """

    __tablename__ = "tallied_mark"

    author_id: Mapped[UUID] = mapped_column(
        ForeignKey("tallied_author.id", ondelete="CASCADE"), primary_key=True
    )
    thread_id: Mapped[UUID] = mapped_column(
        ForeignKey("tallied_thread.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    last_read_seq: Mapped[int] = mapped_column(CounterInteger)
    """The greatest number (:attr:`.Comment.seq`) of the comments that are read."""
