"""Writing: what is asked of the session of one unit of work, and the rows that came of it.

Rows are read under their lock before they are changed, so what is handed out is what
the database holds once the unit commits. A thread is not read where its foreign key
will do: the database refuses a thread that is not there, and the flush brings back its
counters.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.exc import StaleDataError

from ..errors import NotFound
from ..models import Base, Comment, Thread
from ..models.base import now
from ..models.counters import counters
from .paging import Record

_Model = TypeVar("_Model", bound=Base)


class Change(NamedTuple):
    """The rows that a change concerned, as far as it brought them along."""

    thread: Record
    comment: Record | None = None
    previous_thread: Record | None = None


class NewComment(NamedTuple):
    """What someone wrote."""

    author_name: str
    message: str


async def create_thread(
    session: AsyncSession, title: str, comment: NewComment | None = None
) -> Change:
    """Begin a thread, with its first comment where one is given."""
    thread = Thread(title=title)
    if comment is not None:
        thread.comments.append(_comment(comment))
    session.add(thread)
    await session.flush()
    return Change(_known(thread), _known(thread.comments[0]) if comment else None)


async def rename_thread(session: AsyncSession, id: UUID, title: str) -> Change:
    """Give a thread another title.

    :raises NotFound: when there is no such thread.
    """
    with _gone(row="threadId"):
        thread = await _locked(session, Thread, id, "threadId")
        if thread.title != title:
            thread.title, thread.updated_at = title, now()
            await session.flush()
        return Change(_known(thread))


async def delete_thread(session: AsyncSession, id: UUID) -> Change:
    """Delete a thread with its comments; it is handed out as it last was.

    :raises NotFound: when there is no such thread.
    """
    with _gone(row="threadId"):
        thread = await _locked(session, Thread, id, "threadId")
        last = _known(thread)
        await session.delete(thread)
        await session.flush()
        return Change(last)


async def add_comment(session: AsyncSession, thread_id: UUID, comment: NewComment) -> Change:
    """Add a comment to a thread.

    :raises NotFound: when there is no such thread.
    """
    with _gone(parent="threadId"):
        added = _comment(comment, thread_id=thread_id)
        session.add(added)
        await session.flush()
        return Change(_counted(session, thread_id), _known(added))


async def edit_comment(session: AsyncSession, id: UUID, message: str) -> Change:
    """Give a comment another message.

    :raises NotFound: when there is no such comment.
    """
    with _gone(row="commentId"):
        comment = await _locked(session, Comment, id, "commentId")
        if comment.message != message:
            comment.message, comment.edited_at = message, now()
            await session.flush()
        return Change(_counted(session, comment.thread_id), _known(comment))


async def move_comment(session: AsyncSession, id: UUID, thread_id: UUID) -> Change:
    """Put a comment into another thread.

    :raises NotFound: when there is no such comment, or no such thread.
    """
    with _gone(row="commentId", parent="threadId"):
        comment = await _locked(session, Comment, id, "commentId")
        previous = comment.thread_id
        comment.thread_id = thread_id
        await session.flush()
        return Change(_counted(session, thread_id), _known(comment), _counted(session, previous))


async def delete_comment(session: AsyncSession, id: UUID) -> Change:
    """Delete a comment; it is handed out as it last was.

    :raises NotFound: when there is no such comment.
    """
    with _gone(row="commentId"):
        comment = await _locked(session, Comment, id, "commentId")
        last = _known(comment)
        await session.delete(comment)
        await session.flush()
        return Change(_counted(session, comment.thread_id), last)


def _comment(new: NewComment, **values: Any) -> Comment:
    # With every column set, none is missing from memory after the flush.
    return Comment(**new._asdict(), edited_at=None, **values)


async def _locked(session: AsyncSession, model: type[_Model], id: UUID, field: str) -> _Model:
    found = await session.get(model, id, with_for_update=True)
    if found is None:
        raise _not_found(field)
    return found


def _known(obj: Base) -> Record:
    """The columns of an object that are in memory."""
    loaded: dict[str, Any] = obj.__dict__
    columns = (attribute.key for attribute in obj.__mapper__.column_attrs)
    return {key: loaded[key] for key in columns if key in loaded}


def _counted(session: AsyncSession, thread_id: UUID) -> Record:
    """A thread's key, and its counters where the flush brought them back."""
    return {"id": thread_id, **(counters.returned(session, Thread, thread_id) or {})}


@contextmanager
def _gone(*, row: str | None = None, parent: str | None = None) -> Iterator[None]:
    """Turn what the database says of a row that is gone into NotFound.

    :param row: the input that names the row to change, such as ``commentId``.
    :param parent: the input that names the row that its foreign key points to.
    """
    try:
        yield
    except StaleDataError as error:
        if row is None:
            raise
        raise _not_found(row) from error
    except IntegrityError as error:
        if parent is None or not _is_foreign_key(error):
            raise
        raise _not_found(parent) from error


def _not_found(field: str) -> NotFound:
    what = field.removesuffix("Id")
    return NotFound(f"There is no {what} with this {field}; it may have been deleted.", field=field)


def _is_foreign_key(error: IntegrityError) -> bool:
    """Whether a foreign key has no row (PostgreSQL: Appendix A, foreign_key_violation)."""
    if getattr(error.orig, "sqlstate", None) == "23503":
        return True
    return "FOREIGN KEY constraint failed" in str(error.orig)
