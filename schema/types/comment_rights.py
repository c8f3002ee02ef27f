"""What the viewer may do with a comment, and the columns by which a policy decides."""

from __future__ import annotations

from typing import Any

from ...host.access import Access
from ...host.policy import COMMENT_COLUMNS, CommentAction, ThreadContext
from ...resolvers.rows import split_comment_context

THREAD_COLUMNS = tuple(f"thread.{name}" for name in ThreadContext._fields)
"""The columns of the thread by which a policy decides."""

POLICY_COLUMNS = (*COMMENT_COLUMNS, *THREAD_COLUMNS)
"""The columns by which a policy decides, those of the comment and of its thread."""


def moderates(access: Access, columns: tuple[Any, ...]) -> bool:
    """Return whether the viewer may moderate the thread of a comment.

    :param columns: the values of :data:`THREAD_COLUMNS`.
    """
    if access.constant_permission is not None:
        return access.constant_permission
    thread = ThreadContext._make(columns)
    return thread.id is not None and access.may("may_moderate", thread)


def may(access: Access, action: CommentAction, columns: tuple[Any, ...]) -> bool:
    """Return whether the viewer may take an action on a comment.

    :param columns: the values of :data:`POLICY_COLUMNS`; those of a thread that was deleted while
        it was read are None.
    """
    context = split_comment_context(columns)
    if access.constant_permission is not None:
        return access.constant_permission and context.admits(action)
    return context.thread.id is not None and access.may(action, context)
