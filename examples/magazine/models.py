"""The magazine's own tables, on its own MetaData: its users and its articles."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from sqlalchemy import ForeignKey, Index, MetaData, String, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from tallied.models import Thread

HEADLINE_LENGTH = 200


class Base(DeclarativeBase):
    """The base of the magazine's models; Tallied's have another."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class User(Base):
    """Someone who can sign in: to comment, to write articles, or to edit the magazine."""

    __tablename__ = "user_account"
    # A key that is free again must never become someone else's: it is the subject of an author.
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40), unique=True)
    password_hash: Mapped[str] = mapped_column(String(200))
    session_key: Mapped[str] = mapped_column(String(50))
    """What a session must know; a new one ends all sessions of the user."""
    is_editor: Mapped[bool] = mapped_column(default=False)

    @property
    def subject(self) -> str:
        """Return the subject by which Tallied identifies the user."""
        return subject_of(self.id)


class Article(Base):
    """An article: a draft until it is published, when its discussion is opened."""

    __tablename__ = "article"

    id: Mapped[int] = mapped_column(primary_key=True)
    headline: Mapped[str] = mapped_column(String(HEADLINE_LENGTH))
    body: Mapped[str] = mapped_column(Text)
    author_id: Mapped[int] = mapped_column(ForeignKey("user_account.id"), index=True)
    published_on: Mapped[date | None]
    """None for a draft, which its author and the editors alone may read."""

    # What the article has had since Tallied was plugged in.
    thread_id: Mapped[UUID | None] = mapped_column(
        ForeignKey(Thread.id, ondelete="SET NULL"), unique=True, index=True
    )
    comment_count: Mapped[int] = mapped_column(server_default=text("0"))
    """How many comments its discussion has; a counter, see counters.py."""

    author: Mapped[User] = relationship(lazy="raise")
    thread: Mapped[Thread | None] = relationship(Thread, lazy="raise")

    __table_args__ = (Index("ix_article_published_on_id", "published_on", "id"),)


def subject_of(user_id: int) -> str:
    """Return the subject by which Tallied identifies a user."""
    return f"user-{user_id}"
