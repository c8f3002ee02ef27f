"""Rows that are locked before they are changed, and what the database says of those gone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, exists, inspect, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.exc import StaleDataError

from ..errors import Locked, NotFound
from ..models import Author, Base, Comment, Thread
from ..models.counters import counters
from ..policy import CommentAction, CommentFacts, ThreadAction, ThreadFacts
from ..rules import Access
from .paging import Record

_Model = TypeVar("_Model", bound=Base)

THREAD_COLUMNS = tuple(
    column.class_attribute
    for column in inspect(Thread).column_attrs
    if column.key != "title_folded"
)


async def locked_thread(
    session: AsyncSession, access: Access, id: UUID, action: ThreadAction, what: str
) -> Thread:
    """The thread, under its lock, with which the viewer may do that.

    :param what: the action in words, as in "rename this thread".
    :raises NotFound: for a thread that is not there, or that the viewer may not read.
    :raises SignInRequired, NotAllowed: where the viewer may not.
    """
    thread = await _locked(session, Thread, id, "threadId")
    await _check(session, access, thread, action, what)
    return thread


async def thread_to_delete(session: AsyncSession, access: Access, id: UUID) -> Thread:
    """The thread, under its lock and that of its comments, which the viewer may delete.

    :raises NotFound: for a thread that is not there, or that the viewer may not read.
    :raises SignInRequired, NotAllowed: where the viewer may not.
    """
    found = await session.get(Thread, id)
    if found is None:
        raise not_found("threadId")
    # Asked before as well: who may not delete it locks none of its comments.
    await _check(session, access, found, "may_delete_thread", "delete this thread")
    thread = await _locked(session, Thread, id, "threadId", deleting=True)
    await _check(session, access, thread, "may_delete_thread", "delete this thread")
    return thread


async def author_to_delete(session: AsyncSession, access: Access, id: UUID) -> Author:
    """The author, under their row's lock and that of their comments, whom the viewer may delete.

    :raises NotFound: for an author that is not there.
    :raises SignInRequired, NotAllowed: where the viewer may not.
    """
    if await session.get(Author, id) is None:
        raise not_found("authorId")
    access.require(access.may_delete_author(id), "delete this author")
    return await _locked(session, Author, id, "authorId", deleting=True)


async def _check(
    session: AsyncSession, access: Access, thread: Thread, action: ThreadAction, what: str
) -> None:
    if not await is_readable(session, access, thread.id):
        raise not_found("threadId")
    facts = ThreadFacts(*(getattr(thread, name) for name in ThreadFacts._fields))
    access.require(access.may(action, facts), what)


async def locked_comment(
    session: AsyncSession, access: Access, id: UUID, action: CommentAction, what: str
) -> Comment:
    """The comment, under its lock, with which the viewer may do that.

    :raises NotFound: for a comment that is not there, or that the viewer may not read.
    :raises SignInRequired, NotAllowed: where the viewer may not.
    """
    comment = await _locked(session, Comment, id, "commentId")
    if not await is_readable(session, access, comment.thread_id):
        raise not_found("commentId")
    facts = CommentFacts(*(getattr(comment, name) for name in CommentFacts._fields))
    target_type = None
    if access.asks_for_target_type:
        target_type = await target_type_of(session, comment.thread_id)
    access.require(access.may(action, facts, target_type), what)
    return comment


async def target_type_of(session: AsyncSession, thread_id: UUID) -> str | None:
    """What the thread of a comment that is locked is about."""
    query = select(Thread.target_type).where(Thread.id == thread_id)
    return (await session.execute(query)).scalar_one()


async def takes_comments(session: AsyncSession, access: Access, id: UUID) -> Record:
    """The row of a thread that takes the viewer's comments.

    :raises NotFound: for a thread that is not there, or that the viewer may not read.
    :raises Locked: when it is locked.
    :raises SignInRequired, NotAllowed: where the viewer may not.
    """
    condition = access.readable()
    readable = () if condition is None else (condition,)
    found = await read_thread(session, Thread.id == id, *readable)
    if found is None:
        raise not_found("threadId")
    facts = ThreadFacts(*(found[name] for name in ThreadFacts._fields))
    access.require(access.may("may_comment", facts), "comment in this thread")
    if facts.locked_at is not None:
        raise Locked("The thread is locked, and takes no more comments.", field="threadId")
    return found


async def read_thread(session: AsyncSession, *where: ColumnElement[bool]) -> Record | None:
    """The row of the one thread that meets the conditions; None where there is none."""
    row = (await session.execute(select(*THREAD_COLUMNS).where(*where))).one_or_none()
    return None if row is None else row._asdict()


def known(obj: Base) -> Record:
    """The columns of an object that are in memory."""
    loaded: dict[str, Any] = obj.__dict__
    columns = (attribute.key for attribute in obj.__mapper__.column_attrs)
    return {key: loaded[key] for key in columns if key in loaded}


def counted(session: AsyncSession, thread_id: UUID) -> Record:
    """A thread's key, and its counters where the flush brought them back."""
    return {"id": thread_id, **(counters.returned(session, Thread, thread_id) or {})}


@contextmanager
def gone(*, row: str | None = None, parent: str | None = None) -> Iterator[None]:
    """Turn what the database says of a row that is gone into NotFound.

    :param row: the input that names the row to change, such as ``commentId``.
    :param parent: the input that names the row that its foreign key points to.
    """
    try:
        yield
    except StaleDataError as error:
        if row is None:
            raise
        raise not_found(row) from error
    except IntegrityError as error:
        if parent is None or not _is_foreign_key(error):
            raise
        raise not_found(parent) from error


def not_found(field: str) -> NotFound:
    """What is said of a row that is not there, and of one that the viewer may not read."""
    what = field.removesuffix("Id")
    return NotFound(f"There is no {what} with this {field}; it may have been deleted.", field=field)


async def _locked(
    session: AsyncSession, model: type[_Model], id: UUID, field: str, *, deleting: bool = False
) -> _Model:
    found = await session.run_sync(counters.lock, model, id, deleting=deleting)
    if found is None:
        raise not_found(field)
    return found


async def is_readable(session: AsyncSession, access: Access, thread_id: UUID) -> bool:
    """Whether the viewer may read the thread."""
    condition = access.readable()
    if condition is None:
        return True
    query = select(exists().where(Thread.id == thread_id, condition))
    return bool((await session.execute(query)).scalar_one())


def _is_foreign_key(error: IntegrityError) -> bool:
    """Whether a foreign key has no row (PostgreSQL: Appendix A, foreign_key_violation)."""
    if getattr(error.orig, "sqlstate", None) == "23503":
        return True
    return "FOREIGN KEY constraint failed" in str(error.orig)
