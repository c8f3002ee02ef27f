"""Reactions: who has reacted to a comment and how, and the total of each kind."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from .author import Author
from .base import Base, CounterInteger, UTCDateTime, now
from .comment import Comment

KIND_LENGTH = 30
"""The most characters of the name of a kind."""


class ReactionTotal(Base):
    """The number of reactions of one kind to a comment; the row comes with the first of them."""

    __tablename__ = "tallied_reaction_total"

    comment_id: Mapped[UUID] = mapped_column(
        ForeignKey("tallied_comment.id", ondelete="CASCADE"), primary_key=True
    )
    kind: Mapped[str] = mapped_column(String(KIND_LENGTH), primary_key=True)
    count: Mapped[int] = mapped_column(CounterInteger, server_default=text("0"))

    comment: Mapped[Comment] = relationship(lazy="raise")


class Reaction(Base):
    """One reaction of an author to a comment, which go together with either of them."""

    __tablename__ = "tallied_reaction"

    comment_id: Mapped[UUID] = mapped_column(primary_key=True)
    author_id: Mapped[UUID] = mapped_column(
        ForeignKey("tallied_author.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    kind: Mapped[str] = mapped_column(String(KIND_LENGTH), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)

    total: Mapped[ReactionTotal] = relationship(lazy="raise")
    author: Mapped[Author] = relationship(lazy="raise")

    __table_args__ = (
        ForeignKeyConstraint(
            ["comment_id", "kind"],
            ["tallied_reaction_total.comment_id", "tallied_reaction_total.kind"],
            ondelete="CASCADE",
        ),
        # The latest reactions of a kind, and the foreign key.
        Index(
            "ix_tallied_reaction_comment_id_kind_created_at_author_id",
            "comment_id",
            "kind",
            "created_at",
            "author_id",
        ),
    )
