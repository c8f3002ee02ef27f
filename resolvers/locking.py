"""Rows that are locked before they are changed, by someone who may."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import exists, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from ..errors import Locked
from ..host.access import Access
from ..host.policy import (
    COMMENT_COLUMNS,
    CommentAction,
    CommentContext,
    ThreadAction,
    ThreadContext,
)
from ..models import Author, Base, Comment, Thread
from ..models.counters import counters
from .authors import with_author
from .pagination.arguments import Record
from .rows import lock_thread_row, not_found, read_thread, thread_context

_Model = TypeVar("_Model", bound=Base)


async def lock_permitted_thread(
    session: AsyncSession, access: Access, id: UUID, action: ThreadAction, what: str
) -> tuple[Access, Thread]:
    """The thread, under its lock, with which the viewer may do that.

    It is looked at before it is locked: who may not do it, learns nothing by having to wait.

    :param what: the action in words, as in "rename this thread".
    :returns: with the access of the viewer whose author is known.
    :raises NotFound: for a thread that is not there, or that the viewer may not read.
    :raises SignInRequired, NotAllowed: where the viewer may not.
    """
    access, facts = await _read_context(session, access, Thread, id, "threadId")
    if facts is not None:
        access.require(access.may(action, _thread_context(facts)), what)
    deleting = action == "may_delete_thread"
    thread = await _lock_row(session, Thread, id, "threadId", deleting=deleting)
    if facts is not None and _must_read_again(access, facts, thread, ThreadContext._fields):
        _, facts = await _read_context(session, access, Thread, id, "threadId")
        assert facts is not None
        access.require(access.may(action, _thread_context(facts)), what)
    return access, thread


async def lock_permitted_comment(
    session: AsyncSession, access: Access, id: UUID, action: CommentAction, what: str
) -> tuple[Access, Comment, CommentContext | None]:
    """The comment, under its lock, with which the viewer may do that; as :func:`locked_thread`.

    :returns: with what is known of it; None where no policy was to be asked.
    :raises NotFound: for a comment that is not there, or that the viewer may not read.
    :raises SignInRequired, NotAllowed: where the viewer may not.
    """
    access, row = await _read_context(session, access, Comment, id, "commentId")
    facts = None if row is None else _comment_context(row)
    if facts is not None:
        access.require(access.may(action, facts), what)
    comment = await _lock_row(session, Comment, id, "commentId")
    if row is not None and _must_read_again(access, row, comment, COMMENT_COLUMNS):
        _, row = await _read_context(session, access, Comment, id, "commentId")
        assert row is not None
        facts = _comment_context(row)
        access.require(access.may(action, facts), what)
    return access, comment, facts


async def _read_context(
    session: AsyncSession, access: Access, entity: type[Thread | Comment], id: UUID, field: str
) -> tuple[Access, tuple[Any, ...] | None]:
    """The facts of a row, without its lock; None where nothing depends on them.

    The viewer's author is looked up in the same statement, unless the condition on what they
    may read has to know it.
    """
    if access.is_unrestricted or access.reads_by_author:
        access = await with_author(session, access)
    if access.is_unrestricted:
        return access, None
    columns: list[Any] = [getattr(Thread, name) for name in ThreadContext._fields]
    if entity is Comment:
        columns = [*(getattr(Comment, name) for name in COMMENT_COLUMNS), *columns]
    viewer, condition = access.viewer, access.readable()
    if viewer is not None and viewer.author_id is None:
        own = select(Author.id).where(Author.subject == viewer.subject)
        columns.append(own.scalar_subquery())
    else:
        columns.append(literal(None))
    query = select(*columns).where(entity.id == id)
    if entity is Comment:
        query = query.join_from(Comment, Thread, Comment.thread_id == Thread.id)
    if condition is not None:
        query = query.where(condition)
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise not_found(field)
    *facts, author_id = row
    return access.with_author(author_id), tuple(facts)


def _thread_context(row: tuple[Any, ...]) -> ThreadContext:
    return ThreadContext(*row)


def _comment_context(row: tuple[Any, ...]) -> CommentContext:
    own = len(COMMENT_COLUMNS)
    return CommentContext._make([*row[:own], _thread_context(row[own:])])


def _must_read_again(
    access: Access, row: tuple[Any, ...], locked: Base, names: Sequence[str]
) -> bool:
    """Whether a row, now that it is locked, has to be looked at again.

    A condition on what may be read depends on more of it than the facts.
    """
    if access.readable() is not None:
        return True
    return row[: len(names)] != tuple(getattr(locked, name) for name in names)


async def read_target_type(session: AsyncSession, thread_id: UUID) -> str | None:
    """What the thread of a comment that is locked is about."""
    query = select(Thread.target_type).where(Thread.id == thread_id)
    return (await session.execute(query)).scalar_one()


async def read_open_thread(
    session: AsyncSession, access: Access, id: UUID, *, lock: bool = False
) -> Record:
    """The row of a thread that takes the viewer's comments.

    :param lock: whether to read the row under its lock.
    :raises NotFound: for a thread that is not there, or that the viewer may not read.
    :raises Locked: when it is locked.
    :raises SignInRequired, NotAllowed: where the viewer may not.
    """
    condition = access.readable()
    readable = () if condition is None else (condition,)
    read = lock_thread_row if lock else read_thread
    found = await read(session, Thread.id == id, *readable)
    if found is None:
        raise not_found("threadId")
    facts = thread_context(found)
    access.require(access.may("may_comment", facts), "comment in this thread")
    if facts.locked_at is not None:
        raise Locked("The thread is locked, and takes no more comments.", field="threadId")
    return found


async def _lock_row(
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
