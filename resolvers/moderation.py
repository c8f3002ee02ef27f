"""The moderation of comments: their status, and the log of who has changed it.

A comment's status, its flags and the entry in the log change in one transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ..database.unit_of_work import UnitOfWork
from ..errors import BadUserInput, Conflict
from ..host.access import Access
from ..host.policy import ThreadContext
from ..models import Comment, Flag, Thread
from ..models.base import now
from ..models.comment import DELETED, PENDING, PUBLISHED, REJECTED, SPAM, is_shown
from .authors import ensure_author, update_author_name, with_author
from .changes import expect_arguments
from .events import run_after, run_before
from .pagination.arguments import Record
from .queries import is_in_thread
from .review import record_act
from .rows import counter_values, loaded_values, not_found
from .validation import clean_reason, expect_type
from .withdrawal import CommentTree, lock_tree

MAX_MODERATED = 100
"""The most comments that are moderated at once."""

STATUSES = (PUBLISHED, PENDING, REJECTED, SPAM)
"""The statuses that a moderator can give a comment."""


class ModeratedComments(NamedTuple):
    """The comments of an act of moderation, in the order of their ids."""

    comments: tuple[Record, ...]
    removed_ids: tuple[UUID, ...] = ()
    """The keys of the comments that are in no list any more."""


async def moderate_comments(
    unit: UnitOfWork,
    access: Access,
    ids: Sequence[UUID],
    status: str,
    *,
    reason: str | None = None,
    expected_status: str | None = None,
) -> ModeratedComments:
    """Give comments a status, and close their flags; all of them, or none.

    A comment that has the status already, and is not flagged, stays as it is, without a hook and
    an entry in the log.

    :param status: published, pending, rejected or spam.
    :param reason: why, for the log and for hooks.
    :param expected_status: the status that all of the comments must have before.
    :raises BadUserInput: for no id or too many, and for another status.
    :raises InvalidText: for a reason that breaks a rule.
    :raises NotFound: if one of the comments is not there, or hidden from the viewer.
    :raises Conflict: if one has another status than is expected, or is deleted.
    :raises SignInRequired, NotAllowed, Vetoed: if the viewer may not.
    """
    expect_arguments(unit, access)
    _check(ids, status)
    reason = clean_reason(reason)
    session = unit.session
    access = await with_author(session, access)
    await _require(session, access, ids)
    tree = await lock_tree(session, ids, with_texts=True)
    if not tree.comments.keys() >= set(ids):
        raise not_found("ids")
    if not access.is_unrestricted:
        await _require(session, access, ids)  # One of them may have been moved meanwhile.
    access, moderator_id, has_new_name = await ensure_author(session, access)
    comments = [tree.comments[id] for id in dict.fromkeys(ids)]
    for comment in comments:
        _expect_status(comment, expected_status)
    changed = [row for row in comments if row.status != status or row.flagged]
    decision = {"reason": reason, "status": status}
    for comment in changed:
        rows = {"thread": {"id": comment.thread_id}, "comment": loaded_values(comment)}
        await run_before(unit, access, "moderate_comment", **rows, **decision)
    await close_flags(session, changed)
    for comment in changed:
        record_act(session, comment, comment.status, status, moderator_id, reason)
        set_status(tree, comment, status, reason)
    await tree.write()
    if has_new_name:  # not before, because everyone locks threads before authors
        await update_author_name(session, access)
    for comment in changed:
        thread = counter_values(session, comment.thread_id)
        rows = {"thread": thread, "comment": loaded_values(comment)}
        await run_after(unit, access, "moderate_comment", **rows, **decision)
    return ModeratedComments(tuple(map(loaded_values, comments)), tuple(tree.unlisted))


def _check(ids: Sequence[UUID], status: str) -> None:
    expect_type(Sequence, ids=ids)
    for id in ids:
        expect_type(UUID, ids=id)
    if not 1 <= len(ids) <= MAX_MODERATED:
        raise BadUserInput(
            f"ids has {len(ids)} comments; moderate 1 to {MAX_MODERATED} at once.", field="ids"
        )
    if status not in STATUSES:
        raise BadUserInput(f"to must be {' or '.join(STATUSES)}, not {status!r}.", field="to")


async def _require(session: AsyncSession, access: Access, ids: Iterable[UUID]) -> None:
    """Check that the viewer may moderate comments, before a lock would tell anything of them.

    To a viewer without the right, hidden comments are not there.
    """
    columns = [getattr(Thread, name) for name in ThreadContext._fields]
    query = select(Comment.id, Comment.shown | Comment.placeholder, *columns)
    query = query.join_from(Comment, Thread, Comment.thread_id == Thread.id)
    condition = access.read_condition()
    if condition is not None:
        query = query.where(is_in_thread(condition))
    rows = await session.execute(query.where(Comment.id.in_(sorted(set(ids)))))
    by_id = {row[0]: row[1:] for row in rows}
    for id in ids:
        if id not in by_id:
            raise not_found("ids")
        is_listed, *thread = by_id[id]
        allowed = access.may("may_moderate", ThreadContext(*thread))
        if not (allowed or is_listed):
            raise not_found("ids")
        access.require(allowed, "moderate these comments")


def _expect_status(comment: Comment, expected: str | None) -> None:
    if comment.status == DELETED:
        raise Conflict("One of the comments is deleted; restore it first.", field="ids")
    if expected is not None and comment.status != expected:
        raise Conflict(
            f"One of the comments is {comment.status} by now, and not {expected}; read them again.",
            field="expectedStatus",
        )


async def close_flags(session: AsyncSession, comments: Collection[Comment]) -> None:
    """Close the open flags of locked comments."""
    flagged = [comment.id for comment in comments if comment.flag_count]
    if flagged:
        query = select(Flag).where(Flag.comment_id.in_(flagged), Flag.closed_at.is_(None))
        for flag in await session.scalars(query):
            flag.closed_at = now()
    for comment in comments:
        comment.flagged = False


def set_status(tree: CommentTree, comment: Comment, status: str, reason: str | None) -> None:
    """Show or hide a comment that is not deleted."""
    if status == PENDING:
        comment.pending_reason = reason
    if comment.status != status:
        change = tree.show if is_shown(status) else tree.hide
        change(comment.id, status)
