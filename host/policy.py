"""The policy: who may do what.

A host derives a class from :class:`Policy` and overrides what it wants otherwise. A
method is given the viewer, ``None`` for a guest, and what there is to know of a row
without asking the database for more; so none of them may wait for anything, and a list
of a hundred comments, each with ``viewerCanEdit``, costs no statement more.

Whether guests may write at all, the settings decide before the policy is asked.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple, TypeAlias
from uuid import UUID

from sqlalchemy import ColumnElement

from ..auth.viewer import Viewer
from ..models import Thread

ThreadAction: TypeAlias = Literal["may_comment", "may_rename", "may_lock", "may_delete_thread"]
CommentAction: TypeAlias = Literal["may_edit", "may_move", "may_delete"]


class ThreadContext(NamedTuple):
    """What a policy goes by for a thread."""

    id: UUID
    author_id: UUID | None
    target_type: str | None
    target_id: str | None
    locked_at: datetime | None
    created_at: datetime


class CommentContext(NamedTuple):
    """What a policy goes by for a comment."""

    id: UUID
    thread_id: UUID
    author_id: UUID | None
    created_at: datetime
    edited_at: datetime | None
    thread: ThreadContext
    """The thread that it is in: ``comment.thread.author_id`` is who has begun that."""


COMMENT_COLUMNS = CommentContext._fields[:-1]
"""The columns of the comment itself that a policy goes by."""


class Policy:
    """The default: everyone reads, authors change their own, and moderators everything.

    A viewer's ``author_id`` is the key of their :class:`~tallied.models.Author`, or None
    where they have written nothing yet.
    """

    def may_read(self, viewer: Viewer | None, thread: type[Thread]) -> bool | ColumnElement[bool]:
        """Which threads the viewer may read, with their comments.

        The one method that is given the class in place of a row: what it returns is a
        condition on its columns, such as ``thread.target_type != "draft"``, or a plain True or
        False. So lists, their counts and their pages are right, and cost nothing a row. A
        thread that may not be read is, to the viewer, not there.

        Compare with ``viewer.author_id`` only where it is not None: in SQLAlchemy,
        ``thread.author_id == None`` means the threads of guests and of deleted authors.
        """
        return True

    def may_start(self, viewer: Viewer | None, target_type: str | None) -> bool:
        """Whether the viewer may begin a thread.

        :param target_type: the kind of the host's objects that it is about; None for a thread
            that stands for itself.
        """
        return True

    def may_comment(self, viewer: Viewer | None, thread: ThreadContext) -> bool:
        """Whether the viewer may add a comment to the thread, or move one there.

        A locked thread takes none, whatever this says.
        """
        return True

    def may_rename(self, viewer: Viewer | None, thread: ThreadContext) -> bool:
        """Whether the viewer may give the thread another title."""
        return self.owns(viewer, thread)

    def may_lock(self, viewer: Viewer | None, thread: ThreadContext) -> bool:
        """Whether the viewer may lock the thread, and unlock it."""
        return viewer is not None and viewer.is_moderator

    def may_delete_thread(self, viewer: Viewer | None, thread: ThreadContext) -> bool:
        """Whether the viewer may delete the thread, and all that others have said in it."""
        return viewer is not None and viewer.is_moderator

    def may_edit(self, viewer: Viewer | None, comment: CommentContext) -> bool:
        """Whether the viewer may give the comment another message."""
        return self.owns(viewer, comment)

    def may_move(self, viewer: Viewer | None, comment: CommentContext) -> bool:
        """Whether the viewer may put the comment into a thread that they may comment in."""
        return viewer is not None and viewer.is_moderator

    def may_delete(self, viewer: Viewer | None, comment: CommentContext) -> bool:
        """Whether the viewer may delete the comment."""
        return self.owns(viewer, comment)

    def may_delete_author(self, viewer: Viewer | None, author_id: UUID) -> bool:
        """Whether the viewer may delete the author; what they wrote stays, without a name."""
        if viewer is None:
            return False
        return viewer.is_moderator or viewer.author_id == author_id

    def owns(self, viewer: Viewer | None, row: ThreadContext | CommentContext) -> bool:
        """Whether the viewer is a moderator, or the row's author."""
        if viewer is None:
            return False
        return viewer.is_moderator or (
            row.author_id is not None and row.author_id == viewer.author_id
        )
