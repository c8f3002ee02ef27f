"""A comment as Tallied's own: with replies, and numbered in its thread, or with neither.

Both are on the same tables, and lock the thread before they add a comment to it, as Tallied does to
find out whether it accepts one.
"""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from sqlalchemy import ForeignKey, bindparam, select, text
from sqlalchemy.orm import Mapped, Session, declared_attr, mapped_column, relationship

from tallied.counters import Count, Counters, Latest, Number, Sum
from tallied.counters.sql.driver import DriverStatement

from .tables import StoredWords, Strategy, map_strategy

PREFIX = "reply_"


class NumberedWords(StoredWords):
    """The columns of a thread whose comments are numbered."""

    last_seq: Mapped[int] = mapped_column(server_default=text("0"))


class Replies:
    """The columns of a comment that may be a reply, and has a number."""

    seq: Mapped[int | None] = mapped_column()
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey(f"{PREFIX}comment.id"), index=True)
    root_id: Mapped[UUID | None] = mapped_column(ForeignKey(f"{PREFIX}comment.id"), index=True)
    reply_count: Mapped[int] = mapped_column(server_default=text("0"))
    thread_reply_count: Mapped[int] = mapped_column(server_default=text("0"))

    @declared_attr
    @classmethod
    def parent(cls) -> Mapped[object]:
        """Return the relationship to the comment that it is a reply to."""
        return relationship("Comment", foreign_keys="Comment.parent_id", remote_side="Comment.id")

    @declared_attr
    @classmethod
    def root(cls) -> Mapped[object]:
        """Return the relationship to the comment at the top level above it."""
        return relationship("Comment", foreign_keys="Comment.root_id", remote_side="Comment.id")


def _map(name: str, *, has_replies: bool) -> Strategy:
    keeps = ("comment_count", "word_count", "last_comment_at")
    strategy = map_strategy(name, NumberedWords, Replies, prefix=PREFIX, keeps=keeps)
    Thread, Comment = strategy.Thread, strategy.Comment
    via = {"via": Comment.thread}
    declared = [
        Count(Thread.comment_count, **via),
        Sum(Thread.word_count, of=Comment.word_count, **via),
        Latest(Thread.last_comment_at, of=Comment.created_at, **via),
    ]
    if has_replies:
        declared += [
            Number(Comment.seq, last=Thread.last_seq, **via),
            Count(Comment.reply_count, via=Comment.parent),
            Count(Comment.thread_reply_count, via=Comment.root),
        ]
    counters = Counters(*declared)
    counters.install(strategy.Session)

    query = select(Thread.id, Thread.last_seq).where(Thread.id == bindparam("thread"))
    statement = DriverStatement(query.with_for_update(key_share=True))

    def lock(session: Session, thread: UUID) -> None:
        ((_, last_seq),) = statement.fetch(session.connection(), {"thread": thread})
        if has_replies:
            counters.record_lock(session, Thread, thread, {"last_seq": last_seq})

    return replace(strategy, lock=lock)


WITHOUT_REPLIES = _map("Tallied, locked first", has_replies=False)
WITH_REPLIES = _map("Tallied, with replies", has_replies=True)
