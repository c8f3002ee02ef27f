"""Permissions for rows that are to be changed, checked before and after they are locked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, exists, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from ..auth.viewer import Viewer
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
from ..models.comment import DELETED, is_listed
from ..models.counters import counters
from .authors import with_author
from .pagination.arguments import Record
from .queries import is_in_thread
from .rows import (
    lock_thread,
    lock_thread_row,
    not_found,
    read_thread,
    split_comment_context,
    thread_context,
)
from .withdrawal import CommentTree, lock_tree

_Model = TypeVar("_Model", bound=Base)

_NO_THREAD: Any = None


async def lock_permitted_thread(
    session: AsyncSession, access: Access, id: UUID, action: ThreadAction, sentence: str
) -> tuple[Access, Thread]:
    """Lock a thread for an action that the viewer may take.

    The permission is checked before the lock, so that a viewer without it learns nothing from a
    wait, and again if the row has changed meanwhile.

    :param sentence: the action in words, as in "rename this thread".
    :returns: the access with the viewer's author, and the thread.
    :raises NotFound: for a thread that is not there, or that the viewer may not read.
    :raises SignInRequired, NotAllowed: if the viewer may not.
    """
    access, values = await _read_context(session, access, Thread, id, "threadId")
    if values is not None:
        access.require(access.may(action, ThreadContext(*values)), sentence)
    deleting = action == "may_delete_thread"
    thread = await _lock_row(session, Thread, id, "threadId", deleting=deleting)
    if values is not None and _must_read_again(access, values, thread, ThreadContext._fields):
        _, values = await _read_context(session, access, Thread, id, "threadId")
        assert values is not None
        access.require(access.may(action, ThreadContext(*values)), sentence)
    return access, thread


async def lock_permitted_comment(
    session: AsyncSession, access: Access, id: UUID, action: CommentAction, sentence: str
) -> tuple[Access, Comment, CommentContext | None]:
    """Lock a comment for an action that the viewer may take, as :func:`lock_permitted_thread` does.

    :returns: the access with the viewer's author, the comment, and its context for the policy,
        which is None if no policy is asked.
    :raises NotFound: for a comment that is not there, or that the viewer may not read; or that is
        in a state without that action, as is editing one that is deleted.
    :raises SignInRequired, NotAllowed: if the viewer may not.
    """

    async def lock() -> Comment | None:
        return await session.run_sync(counters.lock, Comment, id)

    return await lock_permitted(session, access, id, action, sentence, lock)


async def lock_permitted_tree(
    session: AsyncSession,
    access: Access,
    id: UUID,
    action: CommentAction,
    sentence: str,
    *,
    is_repeatable: bool = True,
) -> tuple[Access, Comment, CommentTree]:
    """Lock a comment as :func:`lock_permitted_comment` does, with all comments above it.

    :param is_repeatable: whether a comment may be deleted already, or not deleted where it is to be
        restored.
    """
    trees = []

    async def lock() -> Comment | None:
        trees.append(await lock_tree(session, [id], with_texts=action == "may_restore"))
        return trees[-1].comments.get(id)

    access, comment, _ = await lock_permitted(
        session, access, id, action, sentence, lock, is_repeatable=is_repeatable
    )
    return access, comment, trees[-1]


async def lock_permitted(
    session: AsyncSession,
    access: Access,
    id: UUID,
    action: CommentAction,
    sentence: str,
    lock: Callable[[], Awaitable[Comment | None]],
    *,
    is_repeatable: bool = False,
) -> tuple[Access, Comment, CommentContext | None]:
    def permit(values: tuple[Any, ...]) -> CommentContext:
        context = split_comment_context(values)
        if not is_repeatable and not context.admits(action):
            raise not_found("commentId")
        if not (is_repeatable and action == "may_delete" and context.status == DELETED):
            # Whether a comment is deleted does not decide who may restore it.
            as_deleted = context._replace(status=DELETED)
            judged = as_deleted if action == "may_restore" else context
            access.require(access.may(action, judged), sentence)
        return context

    access, values = await _read_context(session, access, Comment, id, "commentId")
    context = None if values is None else permit(values)
    comment = await lock()
    if comment is None:
        raise not_found("commentId")
    if values is not None and _must_read_again(access, values, comment, COMMENT_COLUMNS):
        _, values = await _read_context(session, access, Comment, id, "commentId")
        assert values is not None
        context = permit(values)
    elif values is None and not (is_repeatable or _admits(comment, action)):
        raise not_found("commentId")
    return access, comment, context


def _admits(comment: Comment, action: CommentAction) -> bool:
    own = [getattr(comment, name) for name in COMMENT_COLUMNS]
    return CommentContext._make([*own, _NO_THREAD]).admits(action)


async def _read_context(
    session: AsyncSession, access: Access, entity: type[Thread | Comment], id: UUID, field: str
) -> tuple[Access, tuple[Any, ...] | None]:
    """Read the values by which a policy decides, without a lock; None if none is asked.

    The viewer's author is found by the same statement, unless the condition on what they may read
    has to know it.
    """
    if access.is_unrestricted or access.reads_by_author:
        access = await with_author(session, access)
    if access.is_unrestricted:
        return access, None
    columns: list[Any] = [getattr(Thread, name) for name in ThreadContext._fields]
    if entity is Comment:
        columns = [*(getattr(Comment, name) for name in COMMENT_COLUMNS), *columns]
    viewer, condition = access.viewer, access.read_condition()
    if viewer is not None and viewer.author_id is None:
        own = select(Author.id).where(Author.subject == viewer.subject)
        columns.append(own.scalar_subquery())
    else:
        columns.append(literal(None))
    query = select(*columns).where(entity.id == id)
    if entity is Comment:
        query = query.join_from(Comment, Thread, Comment.thread_id == Thread.id)
        query = query.where(*_visible_comments(viewer, columns[-1]))
    if condition is not None:
        query = query.where(is_in_thread(condition) if entity is Comment else condition)
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise not_found(field)
    *values, author_id = row
    return access.with_author(author_id), tuple(values)


def _visible_comments(viewer: Viewer | None, author_id: Any) -> Iterator[ColumnElement[bool]]:
    """Yield the condition for the comments that there are for the viewer, who is not a host.

    Those in lists, and to moderators all; to authors their own as well.
    """
    if viewer is None:
        yield is_listed()
    elif not viewer.is_moderator:
        own = author_id if viewer.author_id is None else viewer.author_id
        yield or_(is_listed(), Comment.author_id == own)


def _must_read_again(
    access: Access, values: tuple[Any, ...], row: Base, names: Sequence[str]
) -> bool:
    """Return whether a row that is locked now may have changed since it was read.

    A condition on what may be read depends on more columns than a policy's other methods.
    """
    if access.read_condition() is not None:
        return True
    return values[: len(names)] != tuple(getattr(row, name) for name in names)


async def read_target_type(session: AsyncSession, thread_id: UUID) -> str | None:
    """Return the target type of a locked comment's thread."""
    query = select(Thread.target_type).where(Thread.id == thread_id)
    return (await session.execute(query)).scalar_one()


async def read_open_thread(
    session: AsyncSession, access: Access, id: UUID, *, lock: bool = False, replying: bool = False
) -> Record:
    """Return the row of a thread that accepts the viewer's comments.

    :param lock: whether to read the row under its lock.
    :param replying: whether for a reply, about which another method of the policy decides.
    :raises NotFound: for a thread that is not there, or that the viewer may not read.
    :raises Locked: if it is locked.
    :raises SignInRequired, NotAllowed: if the viewer may not.
    """
    condition = access.read_condition()
    if condition is None and lock:
        thread = await lock_thread(session, id)
    else:
        conditions = () if condition is None else (condition,)
        read = lock_thread_row if lock else read_thread
        thread = await read(session, Thread.id == id, *conditions)
    if thread is None:
        raise not_found("threadId")
    require_open(access, thread_context(thread), replying=replying)
    return thread


def require_open(access: Access, thread: ThreadContext, *, replying: bool = False) -> None:
    """Check that a thread accepts the viewer's comments.

    :param replying: as of :func:`read_open_thread`.
    :raises Locked: if it is locked.
    :raises SignInRequired, NotAllowed: if the viewer may not.
    """
    may_write = replying or access.may("may_comment", thread)
    access.require(may_write, "comment in this thread")
    if thread.locked_at is not None:
        raise Locked("The thread is locked, and takes no more comments.", field="threadId")


async def _lock_row(
    session: AsyncSession, model: type[_Model], id: UUID, field: str, *, deleting: bool = False
) -> _Model:
    row = await session.run_sync(counters.lock, model, id, deleting=deleting)
    if row is None:
        raise not_found(field)
    return row


async def is_readable(session: AsyncSession, access: Access, thread_id: UUID) -> bool:
    """Return whether the viewer may read the thread."""
    condition = access.read_condition()
    if condition is None:
        return True
    query = select(exists().where(Thread.id == thread_id, condition))
    return bool((await session.execute(query)).scalar_one())
