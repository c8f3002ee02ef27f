"""The review of comments by the host's checks, before they are published."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ..errors import ConfigurationError
from ..host.access import Access
from ..host.comment_checks import CheckedComment
from ..host.policy import ThreadContext
from ..models import Comment, ModerationEntry
from ..models.comment import PENDING


async def review_new(
    session: AsyncSession, access: Access, comment: Comment, thread: ThreadContext
) -> None:
    """Make a new comment pending if a check holds it back. Call it under the thread's lock.

    :raises Rejected: if a check refuses the comment.
    """
    reason = await find_reason(session, access, comment, thread, comment.message)
    if reason is not None:
        comment.status, comment.pending_reason = PENDING, reason
        record_act(session, comment, None, PENDING, None, reason)


async def find_reason(
    session: AsyncSession,
    access: Access,
    comment: Comment,
    thread: ThreadContext,
    message: str,
    *,
    is_edit: bool = False,
) -> str | None:
    """Return why a comment with this message is to wait for a moderator, or None.

    :param access: that of who writes the message, with their author.
    :raises Rejected: if a check refuses the message.
    :raises ConfigurationError: if a check returns another value.
    """
    checks = access.comment_checks_in(thread)
    if not checks:
        return None
    viewer = access.viewer
    checked = CheckedComment(
        id=comment.id,
        message=message,
        author_name=comment.author_name,
        author_id=viewer.author_id if viewer else None,
        viewer=viewer,
        thread=thread,
        reply_to_id=comment.in_reply_to_id or comment.parent_id,
        is_edit=is_edit,
        request=access.request,
    )
    reasons = []
    for check in checks:
        reason = await check.check(checked, session)
        if not (reason is None or isinstance(reason, str)):
            raise ConfigurationError(
                f"{type(check).__qualname__}.check must return a text or None, not a"
                f" {type(reason).__name__}."
            )
        if reason is not None:
            reasons.append(reason)
    return "; ".join(reasons) if reasons else None


def record_act(
    session: AsyncSession,
    comment: Comment,
    former_status: str | None,
    status: str,
    moderator_id: UUID | None,
    reason: str | None,
) -> None:
    """Add an entry about a comment to the log.

    :param former_status: None for a new comment.
    :param moderator_id: None for the host, for flags and for checks.
    """
    entry = ModerationEntry(
        comment_id=comment.id,
        thread_id=comment.thread_id,
        moderator_id=moderator_id,
        former_status=former_status,
        status=status,
        reason=reason,
    )
    session.add(entry)
