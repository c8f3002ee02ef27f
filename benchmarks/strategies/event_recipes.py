"""The three published ways, with the least that lets each of them run today.

They are written here from the answer's idea. Two of them cannot be used as they were
published, for SQLAlchemy 0.8.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, event, func, select, update

from .tables import Strategy, count_words, map_strategy


def _mapper_event() -> Strategy:
    """Recount the thread on the flush's own connection after the INSERT of a comment.

    As published, it loads the thread's comments in the middle of the flush, and so gets
    the new one twice: as the row, and as the object that is not yet in the identity map.
    """
    strategy = map_strategy("mapper event")
    threads, comments = strategy.Thread.__table__, strategy.Comment.__table__

    @event.listens_for(strategy.Comment, "after_insert")
    def after_insert(mapper: object, connection: Connection, comment: Any) -> None:
        words = select(func.sum(comments.c.word_count)).where(
            comments.c.thread_id == comment.thread_id
        )
        connection.execute(
            update(threads)
            .where(threads.c.id == comment.thread_id)
            .values(word_count=words.scalar_subquery())
        )

    return strategy


def _attribute_events() -> Strategy:
    """Add the difference to the thread in memory in listeners for ``set``.

    As published, the value before is a message, a thread or None; it has become a symbol where
    the attribute was never set. So what is not a message has no words here.
    """
    strategy = map_strategy("attribute events")

    def words(message: Any) -> int:
        return count_words(message) if isinstance(message, str) else 0

    @event.listens_for(strategy.Comment.message, "set")
    def on_message(comment: Any, value: Any, old: Any, initiator: object) -> None:
        if comment.thread is not None:
            comment.thread.word_count += words(value) - words(old)

    @event.listens_for(strategy.Comment.thread, "set")
    def on_thread(comment: Any, value: Any, old: Any, initiator: object) -> None:
        if isinstance(value, strategy.Thread):
            value.word_count += words(comment.message)
        if isinstance(old, strategy.Thread):
            old.word_count -= words(comment.message)

    return strategy


def _before_flush() -> Strategy:
    """Recount the threads of new and changed comments before a flush."""
    strategy = map_strategy("before_flush")

    @event.listens_for(strategy.Session, "before_flush")
    def before_flush(session: Any, context: object, instances: object) -> None:
        for comment in [*session.new, *session.dirty]:
            if isinstance(comment, strategy.Comment):
                comment.thread.word_count = sum(
                    count_words(row.message) for row in comment.thread.comments
                )

    return strategy


MAPPER_EVENT = _mapper_event()
ATTRIBUTE_EVENTS = _attribute_events()
BEFORE_FLUSH = _before_flush()
