"""Changes of reactions, each within the session of a unit of work, and each idempotent.

A reaction locks its comment first, as every writer does: so it is written to a comment that is
shown, and the total of its kind, which it changes after that, is locked by nobody else meanwhile.
Two units may write the first reaction of a kind at once, on a snapshot from before the lock. The
second finds the row of the total taken, and runs again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, and_, bindparam, exists, inspect, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from ..counters.sql.driver import DriverStatement
from ..database.unit_of_work import Repeated, UnitOfWork
from ..errors import NotFound
from ..host.access import Access
from ..host.hooks import HookedOperation
from ..host.policy import COMMENT_COLUMNS, ThreadContext
from ..models import Author, Comment, Reaction, ReactionTotal, Thread
from ..models.base import now
from ..models.comment import is_listed
from ..models.counters import counters
from .authors import ensure_author, with_author
from .events import run_after, run_before
from .pagination.arguments import Record
from .queries import is_in_thread
from .reaction_drafts import ReactionDraft, draft_addition, draft_removal, require_kind
from .rows import (
    begin_to_write,
    comment_context,
    fetch_rows,
    loaded_values,
    not_found,
)
from .validation import expect_type

COLUMNS = (*COMMENT_COLUMNS, "author_name", "reaction_count")


class ReactionChange(NamedTuple):
    """The rows of a change of reactions, each with the columns that are in memory after it."""

    comment: Record
    thread: Record


class _LockedComment(NamedTuple):
    """A comment under its lock, as far as reactions depend on it."""

    access: Access
    values: Record
    thread: ThreadContext
    reaction: Reaction | bool
    """The viewer's own reaction of the kind, if it is to be removed; or whether there is one."""
    has_total: bool

    def change(self, **values: Any) -> ReactionChange:
        return ReactionChange({**self.values, **values}, {"id": self.values["thread_id"]})


async def add_reaction(
    unit: UnitOfWork, access: Access, comment_id: UUID, kind: str
) -> ReactionChange:
    """Add a reaction of the viewer's to a comment, unless there is the same one.

    :param kind: the name of a kind of the settings.
    :raises UnknownReaction: for another one.
    :raises NotFound: if there is no such comment, or if it has been deleted.
    :raises SignInRequired, NotAllowed, Vetoed: if the viewer may not.
    """
    expect_type(UnitOfWork, unit=unit)
    return await write_draft(unit, draft_addition(access, comment_id, kind))


async def remove_reaction(
    unit: UnitOfWork, access: Access, comment_id: UUID, kind: str
) -> ReactionChange:
    """Take back a reaction of the viewer's, if there is one.

    :param kind: the name of a kind; also of one that the settings have no more.
    :raises UnknownReaction: for a kind that there has never been.
    :raises NotFound: if there is no such comment, or if it has been deleted.
    :raises SignInRequired, NotAllowed, Vetoed: if the viewer may not.
    """
    expect_type(UnitOfWork, unit=unit)
    return await write_draft(unit, draft_removal(access, comment_id, kind))


async def write_draft(unit: UnitOfWork, draft: ReactionDraft) -> ReactionChange:
    """Add or remove a reaction that has been checked."""
    return await (_remove if draft.removing else _add)(unit, draft)


async def _add(unit: UnitOfWork, draft: ReactionDraft) -> ReactionChange:
    session, kind = unit.session, draft.kind
    comment = await _lock_comment(session, draft.access, draft.comment_id, kind)
    assert comment is not None
    if comment.reaction:
        return comment.change()
    access, author_id, _ = (
        (comment.access, comment.access.viewer.author_id, False)
        if comment.access.viewer and comment.access.viewer.author_id
        else await ensure_author(session, comment.access)
    )
    assert author_id is not None
    writer = access.with_author(author_id)
    reaction = build_reaction(draft, author_id)
    rows = _event_rows(comment, reaction)
    await run_before(unit, writer, "add_reaction", **rows)
    with _repeat_if_taken():
        if not comment.has_total:
            session.add(ReactionTotal(comment_id=draft.comment_id, kind=kind))
        session.add(reaction)
        await session.flush()
    return await _finish(unit, writer, "add_reaction", comment, rows)


async def _remove(unit: UnitOfWork, draft: ReactionDraft) -> ReactionChange:
    session, access = unit.session, draft.access
    comment = await _lock_comment(session, access, draft.comment_id, draft.kind, removing=True)
    if comment is None:
        comment = await _lock_comment(session, access, draft.comment_id, draft.kind)
        assert comment is not None
        if comment.reaction:  # The first look was at a comment that was being moved.
            return await _remove(unit, draft)
        if not comment.has_total:
            require_kind(access, draft.kind)
        return comment.change()
    assert isinstance(comment.reaction, Reaction)
    rows = _event_rows(comment, comment.reaction)
    await run_before(unit, comment.access, "remove_reaction", **rows)
    await session.run_sync(counters.mark_locked, comment.reaction)
    await session.delete(comment.reaction)
    await session.flush()
    return await _finish(unit, comment.access, "remove_reaction", comment, rows)


def build_reaction(draft: ReactionDraft, author_id: UUID) -> Reaction:
    """Build the row of a new reaction."""
    return Reaction(
        comment_id=draft.comment_id, author_id=author_id, kind=draft.kind, created_at=now()
    )


def _event_rows(comment: _LockedComment, reaction: Reaction) -> dict[str, Record]:
    return {
        "thread": {"id": comment.values["thread_id"]},
        "comment": comment.values,
        "reaction": loaded_values(reaction),
    }


async def _finish(
    unit: UnitOfWork,
    access: Access,
    operation: HookedOperation,
    comment: _LockedComment,
    rows: dict[str, Record],
) -> ReactionChange:
    flushed = counters.flushed_values(unit.session, Comment, comment.values["id"]) or {}
    change = comment.change(**flushed)
    await run_after(unit, access, operation, **{**rows, "comment": change.comment})
    return change


async def _lock_comment(
    session: AsyncSession, access: Access, id: UUID, kind: str, *, removing: bool = False
) -> _LockedComment | None:
    """Lock a comment to which the viewer may react, by one statement with all that it depends on.

    :param removing: whether to lock the viewer's reaction as well.
    :returns: None if that is not there, where it is to be locked.
    :raises NotFound: for a comment that is not there, or that is not shown to the viewer.
    :raises SignInRequired, NotAllowed: if the viewer may not.
    """
    if access.reads_by_author:
        access = await with_author(session, access)
    row = await _read_locked(session, access, id, kind, removing=removing)
    # PostgreSQL looks again at a row for which it has waited, beside the thread that it had found.
    # That is another one if the comment has been moved: it is missing, or meets no condition.
    if access.read_condition() is not None if row is None else row[-1] is None:
        row = await _read_locked(session, access, id, kind, removing=removing)
    if row is None and removing:
        return None
    if row is None:
        raise not_found("commentId")
    reaction, has_total, author_id, shown, *values = row
    access = access.with_author(None if author_id is None else UUID(int=author_id.int))
    comment = dict(zip(COLUMNS, values, strict=False))
    thread = ThreadContext(*values[len(COLUMNS) :])
    require_reactable(access, comment, thread, is_shown=shown)
    return _LockedComment(access, comment, thread, reaction, has_total)


def require_reactable(
    access: Access, comment: Record, thread: ThreadContext, *, is_shown: bool
) -> None:
    """Check that the viewer may react to a comment, which is under its lock.

    :raises NotFound: if it is not shown any more.
    :raises SignInRequired, NotAllowed: if the viewer may not.
    """
    if not is_shown:
        raise NotFound("The comment has been deleted; react to another one.", field="commentId")
    context = comment_context(comment, thread)
    access.require(access.may("may_react", context), "react to this comment")


async def _read_locked(
    session: AsyncSession, access: Access, id: UUID, kind: str, *, removing: bool
) -> Sequence[Any] | None:
    viewer, condition = access.viewer, access.read_condition()
    assert viewer is not None
    is_known = viewer.author_id is not None
    author = viewer.author_id if is_known else viewer.subject
    parameters = {"tallied_comment": id, "tallied_kind": kind, "tallied_author": author}
    statement = _select_locked(is_known=is_known, removing=removing)
    if not removing and condition is None:
        rows = await fetch_rows(session, Comment, statement, parameters)
        return rows[0] if rows else None
    query = statement.statement
    result = await session.execute(
        query if condition is None else query.where(is_in_thread(condition)),
        parameters,
        bind_arguments={"bind": await session.run_sync(begin_to_write, Comment)},
        execution_options={"populate_existing": True},
    )
    row: Sequence[Any] | None = result.one_or_none()
    return row


@cache
def _select_locked(*, is_known: bool, removing: bool) -> DriverStatement:
    """Return the statement that locks a comment and, to remove it, the viewer's reaction.

    A policy's condition beside it may have parameters of its own, under other names.

    :param is_known: whether the viewer is given by the author's key, and not by the subject.
    """
    author: ColumnElement[Any] = bindparam(
        "tallied_author", type_=inspect(Author).local_table.c.id.type
    )
    if not is_known:
        subject: ColumnElement[str] = bindparam("tallied_author")
        author = select(Author.id).where(Author.subject == subject).scalar_subquery()
    is_own = and_(
        Reaction.comment_id == Comment.id,
        Reaction.author_id == author,
        Reaction.kind == bindparam("tallied_kind"),
    )
    has_total = exists().where(
        ReactionTotal.comment_id == Comment.id, ReactionTotal.kind == bindparam("tallied_kind")
    )
    columns = [has_total, author, Comment.shown, *(getattr(Comment, name) for name in COLUMNS)]
    columns += [getattr(Thread, name) for name in ThreadContext._fields]
    statement = (
        select(Reaction if removing else exists().where(is_own), *columns)
        .select_from(Comment)
        .outerjoin(Thread, Thread.id == Comment.thread_id)
        .where(Comment.id == bindparam("tallied_comment"), is_listed())
        .with_for_update(key_share=True, of=[Comment, Reaction] if removing else Comment)
    )
    return DriverStatement(statement.join(Reaction, is_own) if removing else statement)


@contextmanager
def _repeat_if_taken() -> Iterator[None]:
    """Run the unit of work again if the reaction or the total is there, or the author is not.

    :raises Repeated: in that case.
    """
    try:
        yield
    except IntegrityError as error:
        raise Repeated from error
