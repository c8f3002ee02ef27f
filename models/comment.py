"""The comment: a message in a thread, its author and its number of words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    ForeignKey,
    Index,
    SmallInteger,
    String,
    Text,
    and_,
    false,
    literal_column,
    or_,
    text,
    true,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ..auth.viewer import NAME_LENGTH
from .author import Author
from .base import Base, CounterInteger, UTCDateTime, new_id, now
from .words import count_words

if TYPE_CHECKING:
    from .thread import Thread

PUBLISHED = "published"
"""The status of a comment that everyone sees who may read its thread."""

PENDING = "pending"
"""The status of a comment that waits for a moderator."""

REJECTED = "rejected"
"""The status of a comment that a moderator has hidden."""

SPAM = "spam"
"""The status of a comment that is hidden as spam."""

DELETED = "deleted"
"""The status of a tombstone: a comment that was deleted, and whose replies remain."""

Deleter: TypeAlias = Literal["author", "moderator", "host", "erasure"]
"""The role of who has deleted a comment; ``erasure`` if its author was erased."""


def is_shown(status: str) -> bool:
    """Return whether a comment of that status is shown to readers, and counted."""
    return status == PUBLISHED


class Comment(Base):
    """One message in a thread: at the top level, or a reply to another comment.

    Its counters are declared in :mod:`tallied.models.counters`.
    """

    __tablename__ = "tallied_comment"

    count_words: ClassVar[Callable[[str], int]] = staticmethod(count_words)
    """The function that counts words; replace it before the first comment is written."""

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    thread_id: Mapped[UUID] = mapped_column(ForeignKey("tallied_thread.id", ondelete="CASCADE"))
    author_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("tallied_author.id", ondelete="SET NULL")
    )
    author_name: Mapped[str | None] = mapped_column(String(NAME_LENGTH))
    """The name that a guest gave; None for an author, also a deleted one."""
    author_name_key: Mapped[str | None] = mapped_column(Text)
    """The key for searches by name, kept equal to ``name_key(author_name)``."""
    message: Mapped[str] = mapped_column(Text)
    word_count: Mapped[int] = mapped_column()
    """The words of `message`, kept equal to ``count_words(message)``."""
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    edited_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    revision: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    """The number of its message: 1 for the original, and one more with each edit."""

    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("tallied_comment.id"))
    """The comment that it is a reply to; None at the top level."""
    root_id: Mapped[UUID | None] = mapped_column(ForeignKey("tallied_comment.id"))
    """The comment at the top level above it; None at the top level."""
    in_reply_to_id: Mapped[UUID | None] = mapped_column()
    """The comment that it answers, which may be gone by now; another than `parent_id` where that
    comment is as deep as replies may be."""
    depth: Mapped[int] = mapped_column(SmallInteger, default=0, server_default=text("0"))
    """The number of comments above it."""

    status: Mapped[str] = mapped_column(
        String(20), default=PUBLISHED, server_default=text(f"'{PUBLISHED}'")
    )
    shown: Mapped[bool] = mapped_column(server_default=true())
    """Whether readers see it, and counters count it; kept equal to ``is_shown(status)``."""
    placeholder: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether it is in lists without being shown, because it has replies.

    Its texts and its author are not in the row then, so that no reader can come by them."""
    deleted_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    deleted_by: Mapped[str | None] = mapped_column(String(20))
    """The role of who has deleted it (:data:`Deleter`)."""

    seq: Mapped[int | None] = mapped_column(CounterInteger)
    """Its number in its thread, in the order in which comments were first shown: 1, 2, 3, …, which
    only moves change; None if it never was."""
    pending_reason: Mapped[str | None] = mapped_column(Text)
    """Why it waits for a moderator, for moderators; None unless it is pending."""
    flagged: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether it has been flagged since a moderator last decided about it."""
    flag_count: Mapped[int] = mapped_column(CounterInteger, server_default=text("0"))
    """The number of its open flags."""

    child_count: Mapped[int] = mapped_column(CounterInteger, server_default=text("0"))
    """The number of direct replies, whether or not they are shown."""
    reply_count: Mapped[int] = mapped_column(CounterInteger, server_default=text("0"))
    """The number of direct replies that are shown."""
    listed_reply_count: Mapped[int] = mapped_column(CounterInteger, server_default=text("0"))
    """The number of direct replies in lists, placeholders included."""
    thread_reply_count: Mapped[int] = mapped_column(CounterInteger, server_default=text("0"))
    """The number of shown comments below a comment at the top level; 0 for others."""

    reaction_count: Mapped[int] = mapped_column(CounterInteger, server_default=text("0"))

    submission_key: Mapped[str | None] = mapped_column(String(64))
    """The hash of a submission with an id of the client; None without such an id."""

    # With passive deletes, the deletion of a reply loads none of them.
    thread: Mapped[Thread] = relationship(
        back_populates="comments", lazy="raise", passive_deletes=True
    )
    author: Mapped[Author | None] = relationship(lazy="raise", passive_deletes=True)
    parent: Mapped[Comment | None] = relationship(
        foreign_keys=[parent_id], remote_side=[id], lazy="raise", passive_deletes=True
    )
    root: Mapped[Comment | None] = relationship(
        foreign_keys=[root_id], remote_side=[id], lazy="raise", passive_deletes=True
    )
    in_reply_to: Mapped[Comment | None] = relationship(
        primaryjoin="foreign(Comment.in_reply_to_id) == remote(Comment.id)",
        viewonly=True,
        lazy="raise",
    )

    __table_args__ = (
        # Which of two that are the same comes first; none is the same as none.
        Index("uq_tallied_comment_submission_key", "submission_key", unique=True),
        # The comments of a thread after a number.
        Index("ix_tallied_comment_thread_id_seq", "thread_id", "seq"),
        # The page of a thread's comments, its latest comment, and the foreign key.
        Index("ix_tallied_comment_thread_id_created_at_id", "thread_id", "created_at", "id"),
        # The same of one author, and the foreign key.
        Index(
            "ix_tallied_comment_author_id_thread_id_created_at_id",
            "author_id",
            "thread_id",
            "created_at",
            "id",
        ),
        # The same of a guest.
        Index(
            "ix_tallied_comment_thread_id_author_name_key_created_at_id",
            "thread_id",
            "author_name_key",
            "created_at",
            "id",
        ),
    )


def is_listed(columns: Any = Comment) -> ColumnElement[bool]:
    """Return the condition for the comments that are in lists: the shown, and placeholders.

    :param columns: the class, or the columns of its table or of an alias of it.
    """
    listed: ColumnElement[bool] = or_(columns.shown, columns.placeholder)
    return listed


def is_pending(columns: Any = Comment) -> ColumnElement[bool]:
    """Return the condition for the comments that wait for a moderator."""
    # The text of the value is in the statement, so that SQLite finds the partial index.
    condition: ColumnElement[bool] = columns.status == literal_column(f"'{PENDING}'")
    return condition


def is_published(columns: Any = Comment) -> ColumnElement[bool]:
    """Return the condition for the comments that readers see."""
    # As above. It is another text than that of `shown`, so that no counter uses the indexes.
    condition: ColumnElement[bool] = columns.status == literal_column(f"'{PUBLISHED}'")
    return condition


def is_queued(columns: Any = Comment) -> ColumnElement[bool]:
    """Return the condition for the comments about which a moderator is to decide."""
    return or_(is_pending(columns), columns.flagged)


def is_top_level(columns: Any = Comment) -> ColumnElement[bool]:
    """Return the condition for the comments that are replies to none."""
    condition: ColumnElement[bool] = columns.parent_id.is_(None)
    return condition


def _partial(name: str, *columns: Any, where: ColumnElement[bool]) -> None:
    Index(name, *columns, sqlite_where=where, postgresql_where=where)


# The page of a thread's comments at the top level.
_partial(
    "ix_tallied_comment_thread_id_created_at_id_top_level",
    Comment.thread_id,
    Comment.created_at,
    Comment.id,
    where=and_(is_top_level(), is_listed()),
)
# The page of a comment's replies, and the foreign key. Comments at the top level cost nothing.
_partial(
    "ix_tallied_comment_parent_id_created_at_id",
    Comment.parent_id,
    Comment.created_at,
    Comment.id,
    where=Comment.parent_id.is_not(None),
)
_partial("ix_tallied_comment_root_id", Comment.root_id, where=Comment.root_id.is_not(None))
# The answers to a comment that is moved away from them.
_partial(
    "ix_tallied_comment_in_reply_to_id",
    Comment.in_reply_to_id,
    where=Comment.in_reply_to_id.is_not(None),
)
# The latest comments of all threads, and those of one author.
_partial(
    "ix_tallied_comment_created_at_id_published",
    Comment.created_at,
    Comment.id,
    where=is_published(),
)
_partial(
    "ix_tallied_comment_author_id_created_at_id_published",
    Comment.author_id,
    Comment.created_at,
    Comment.id,
    where=and_(Comment.author_id.is_not(None), is_published()),
)
# The queue of moderation.
_partial(
    "ix_tallied_comment_created_at_id_queued", Comment.created_at, Comment.id, where=is_queued()
)
_partial(
    "ix_tallied_comment_thread_id_created_at_id_queued",
    Comment.thread_id,
    Comment.created_at,
    Comment.id,
    where=is_queued(),
)
