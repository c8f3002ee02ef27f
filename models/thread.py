"""The thread: a title, its comments, and what is cached about them."""

from __future__ import annotations

import logging
import unicodedata
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import (
    DDL,
    ColumnElement,
    Connection,
    ForeignKey,
    Index,
    String,
    Text,
    event,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ..content.characters import strip_ignorable
from .author import Author
from .base import Base, CounterInteger, UTCDateTime, new_id, now

if TYPE_CHECKING:
    from .comment import Comment

TITLE_LENGTH = 200
"""The most characters of a title."""

_logger = logging.getLogger("tallied.models")


def fold(title: str) -> str:
    """Return a title for searches, in which case and the width of characters do not matter.

    Invisible characters are removed. Python does it, since the databases treat case
    differently: SQLite knows only ASCII, and PostgreSQL follows its locale.
    """
    return unicodedata.normalize("NFKC", strip_ignorable(title)).casefold()


class Thread(Base):
    """A discussion. Its counters are declared in :mod:`tallied.models.counters`."""

    __tablename__ = "tallied_thread"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    title: Mapped[str] = mapped_column(String(TITLE_LENGTH))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    updated_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    """When the thread itself was last changed; comments do not change it."""
    locked_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When the thread was locked; None if it accepts comments."""
    author_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("tallied_author.id", ondelete="SET NULL"), index=True
    )
    target_type: Mapped[str | None] = mapped_column(String(50))
    """The registered type of the host's object that the thread is about, or None."""
    target_id: Mapped[str | None] = mapped_column(String(255))

    comment_count: Mapped[int] = mapped_column(CounterInteger, server_default=text("0"))
    top_level_count: Mapped[int] = mapped_column(CounterInteger, server_default=text("0"))
    """The number of comments at the top level, placeholders included."""
    pending_count: Mapped[int] = mapped_column(CounterInteger, server_default=text("0"))
    """The number of comments that wait for a moderator."""
    flagged_count: Mapped[int] = mapped_column(CounterInteger, server_default=text("0"))
    """The number of comments that were flagged, and about which no moderator has decided."""
    word_count: Mapped[int] = mapped_column(CounterInteger, server_default=text("0"))
    last_seq: Mapped[int] = mapped_column(CounterInteger, server_default=text("0"))
    """The greatest number that a comment of the thread was ever given (:attr:`.Comment.seq`)."""
    last_comment_at: Mapped[datetime | None] = mapped_column(UTCDateTime)

    title_folded: Mapped[str] = mapped_column(Text, server_default=text("''"))
    """The title as it is searched, kept equal to ``fold(title)``."""

    author: Mapped[Author | None] = relationship(lazy="raise")
    comments: Mapped[list[Comment]] = relationship(
        back_populates="thread",
        cascade="all, delete-orphan",
        passive_deletes=True,
        order_by="Comment.created_at, Comment.id",
        lazy="raise",
    )


def last_activity(columns: Any = Thread) -> ColumnElement[datetime]:
    """Return the time of a thread's last comment, or of its creation without one; never null.

    :param columns: those of the table, or of an alias of it.
    """
    return func.coalesce(columns.last_comment_at, columns.created_at)


# Every order of threads in the API, each with the key as its tie-break.
Index("ix_tallied_thread_created_at_id", Thread.created_at, Thread.id)
Index("ix_tallied_thread_last_activity_id", last_activity(), Thread.id)
Index("ix_tallied_thread_comment_count_id", Thread.comment_count, Thread.id)
Index("ix_tallied_thread_word_count_id", Thread.word_count, Thread.id)

# One thread for each of the host's objects; none is the same as none.
Index("uq_tallied_thread_target_type_target_id", Thread.target_type, Thread.target_id, unique=True)

# Not in a savepoint, which a connection in AUTOCOMMIT has not: PostgreSQL's own block goes on.
_trigrams: DDL = DDL(  # type: ignore[no-untyped-call]
    "DO $$ BEGIN CREATE EXTENSION IF NOT EXISTS pg_trgm; EXCEPTION WHEN OTHERS THEN NULL; END $$"
)
event.listen(Thread.__table__, "before_create", _trigrams.execute_if(dialect="postgresql"))


def _has_trigrams(*arguments: Any, **_: Any) -> bool:
    """Return whether PostgreSQL has trigrams; a printed DDL has no connection to ask."""
    connection: Connection | None = arguments[2]
    if connection is None:
        return True
    query = "SELECT to_regproc('gin_extract_value_trgm') IS NOT NULL"
    if connection.scalar(text(query)):
        return True
    _logger.warning(
        "the titles of threads have no index, since pg_trgm cannot be installed; a filter by "
        "title reads them all"
    )
    return False


# What PostgreSQL finds a text within titles by (its documentation, F.35, pg_trgm). SQLite has
# no such index; there, all titles are searched, as where the extension is missing.
Index(
    "ix_tallied_thread_title_folded",
    Thread.title_folded,
    postgresql_using="gin",
    postgresql_ops={"title_folded": "gin_trgm_ops"},
    info={"dialect": "postgresql"},
).ddl_if(dialect="postgresql", callable_=_has_trigrams)
