"""New comments and threads."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from tallied.models import Comment, Thread


def comment(message: str | int, **values: Any) -> Comment:
    """Return a new comment with `message`, or with one of so many words."""
    text = message if isinstance(message, str) else "w " * message
    return Comment(author_name="A", message=text, **values)


def thread_of(*messages: str | int, **values: Any) -> Thread:
    """Return a new thread with a comment for each of `messages`."""
    return Thread(title="T", comments=[comment(message) for message in messages], **values)


def stored_thread(session: Session, *messages: str | int) -> Thread:
    """Return a thread that is stored and in memory, with a comment for each of `messages`."""
    thread = thread_of(*messages)
    session.add(thread)
    session.flush()
    return thread


def committed_thread(session: Session) -> Thread:
    """Return a thread with comments of two and three words, committed and in memory."""
    thread = stored_thread(session, 2, 3)
    session.commit()
    session.refresh(thread)
    return thread
