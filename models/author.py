"""The author: an identity of the host, with cached counts."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import String, text
from sqlalchemy.orm import Mapped, mapped_column

from ..auth.viewer import NAME_LENGTH, SUBJECT_LENGTH
from .base import Base, CounterInteger, UTCDateTime, new_id, now


class Author(Base):
    """An identity of the host that has written something.

    After its deletion, its threads and comments stay without an author.
    """

    __tablename__ = "tallied_author"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    subject: Mapped[str] = mapped_column(String(SUBJECT_LENGTH), unique=True)
    """The host's own name for the identity, such as a user's id; the API never shows it."""
    name: Mapped[str | None] = mapped_column(String(NAME_LENGTH))
    """The display name, as the host last gave it."""
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)

    comment_count: Mapped[int] = mapped_column(CounterInteger, server_default=text("0"))
    word_count: Mapped[int] = mapped_column(CounterInteger, server_default=text("0"))
