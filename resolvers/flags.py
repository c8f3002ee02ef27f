"""Flags: reports of comments by viewers, for moderators."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ..database.unit_of_work import UnitOfWork
from ..errors import BadUserInput
from ..host.access import Access
from ..models import Comment, Flag
from ..models.base import now
from ..models.comment import PENDING
from ..models.counters import counters
from .authors import ensure_author, update_author_name
from .changes import ChangedRows, expect_arguments
from .events import run_after, run_before
from .locking import lock_permitted_tree
from .review import record_act
from .rows import counter_values, loaded_values
from .validation import clean_reason

REASONS = ("spam", "abuse", "off_topic", "other")
"""The reasons for which a comment can be flagged."""


async def flag_comment(
    unit: UnitOfWork, access: Access, id: UUID, reason: str, *, note: str | None = None
) -> ChangedRows:
    """Flag a comment for moderators. Who has flagged it already changes nothing by it.

    With the number of open flags that the setting ``flag_limit`` tells, the comment is hidden
    until a moderator decides about it.

    :param reason: spam, abuse, off_topic or other.
    :param note: a text for moderators, which is erased with its author.
    :raises BadUserInput: for another reason.
    :raises InvalidText: for a note that breaks a rule.
    :raises NotFound: if there is no such comment, or if it is deleted or hidden.
    :raises SignInRequired, NotAllowed, Vetoed: if the viewer may not.
    """
    expect_arguments(unit, access, id=id)
    note = clean_reason(note, "note")
    if reason not in REASONS:
        raise BadUserInput(f"reason must be {' or '.join(REASONS)}.", field="reason")
    access.require(access.viewer is not None, "flag comments")
    session = unit.session
    access, comment, tree = await lock_permitted_tree(
        session, access, id, "may_flag", "flag this comment", is_repeatable=False
    )
    access, author_id, has_new_name = await ensure_author(session, access)
    assert author_id is not None
    thread = {"id": comment.thread_id}
    if await session.get(Flag, (id, author_id)) is not None:
        return ChangedRows(thread, loaded_values(comment), is_duplicate=True)
    flag = Flag(
        comment_id=id,
        author_id=author_id,
        reason=reason,
        note=note,
        created_at=now(),
        closed_at=None,
    )
    rows = {"thread": thread, "flag": loaded_values(flag)}
    await run_before(unit, access, "flag_comment", comment=loaded_values(comment), **rows)
    flag_count = comment.flag_count + 1
    session.add(flag)
    comment.flagged = True
    limit = access.rules.flag_limit
    if limit and flag_count >= limit:
        comment.pending_reason = f"{limit} flags"
        record_act(session, comment, comment.status, PENDING, None, comment.pending_reason)
        tree.hide(id, PENDING)
    await tree.write()
    if has_new_name:  # not before, because everyone locks threads before authors
        await update_author_name(session, access)
    rows["thread"] = counter_values(session, comment.thread_id)
    values = loaded_values(comment)
    await run_after(unit, access, "flag_comment", comment=values, **rows)
    return ChangedRows(rows["thread"], values, removed_ids=tuple(tree.unlisted))


async def erase_flags(session: AsyncSession, author_id: UUID, ids: Sequence[UUID]) -> None:
    """Delete the flags of an author with their notes."""
    await session.run_sync(counters.lock_all, Comment, Comment.id.in_(ids))
    query = select(Flag).where(Flag.author_id == author_id, Flag.comment_id.in_(ids))
    for flag in await session.scalars(query):
        await session.delete(flag)
    await session.flush()
