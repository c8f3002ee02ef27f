"""The policy: the permissions of viewers.

A host derives a class from :class:`Policy` and overrides methods of it. A method gets the viewer,
``None`` for a guest, and the context of a row, which needs no further query. So no method may wait
for anything, and a list of a hundred comments, each with ``viewerCanEdit``, costs no extra
statement.

The settings decide whether guests may write at all, before the policy is asked.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeAlias
from uuid import UUID

from sqlalchemy import BindParameter, ColumnElement, bindparam
from sqlalchemy.types import TypeEngine

from ..auth.viewer import Viewer
from ..models import Thread
from ..models.comment import DELETED, is_shown

ThreadAction: TypeAlias = Literal[
    "may_comment", "may_rename", "may_lock", "may_delete_thread", "may_moderate"
]
CommentAction: TypeAlias = Literal[
    "may_reply",
    "may_edit",
    "may_move",
    "may_delete",
    "may_restore",
    "may_react",
    "may_flag",
]


class ThreadContext(NamedTuple):
    """The values of a thread by which a policy decides."""

    id: UUID
    author_id: UUID | None
    target_type: str | None
    target_id: str | None
    locked_at: datetime | None
    created_at: datetime


class CommentContext(NamedTuple):
    """The values of a comment by which a policy decides."""

    id: UUID
    thread_id: UUID
    author_id: UUID | None
    created_at: datetime
    edited_at: datetime | None
    status: str
    child_count: int
    """The number of direct replies, whether or not they are shown: a decision by it may tell of
    hidden ones."""
    thread: ThreadContext
    """The comment's thread: ``comment.thread.author_id`` is the author who created it."""

    @property
    def is_withdrawn(self) -> bool:
        """Whether the comment's texts and author are withdrawn, so that only replies remain."""
        return self.status == DELETED or not (is_shown(self.status) or self.child_count == 0)

    def admits(self, action: CommentAction) -> bool:
        """Return whether anyone may take an action on a comment in this state."""
        if self.status == DELETED:
            return action == "may_restore"
        if action in ("may_react", "may_flag"):
            return is_shown(self.status)
        return action != "may_restore" and not (self.is_withdrawn and action == "may_edit")


COMMENT_COLUMNS = CommentContext._fields[:-1]
"""The columns of the comment itself by which a policy decides."""


VIEWER_VALUE = "tallied_viewer_"
"""What the keys of the parameters of :func:`viewer_value` begin with."""


def viewer_value(name: str, type_: TypeEngine[Any] | None = None) -> BindParameter[Any]:
    """Return a parameter for a condition of :meth:`Policy.may_read`: an attribute of the viewer.

    A condition with it can be built once, for all viewers, so that a request neither builds it nor
    looks for its statement by its parts.

    :param name: the name of the attribute, of the :class:`~tallied.auth.viewer.Viewer` or of a
        class that the host derives from it. A comparison with None is not met.
    :param type_: its type in SQL; by default, that of what it is compared with.
    """
    return bindparam(f"{VIEWER_VALUE}{name}", type_=type_, required=True)


class Policy:
    """The default policy: everyone reads, authors change their own, and moderators everything.

    A viewer's ``author_id`` is the key of their :class:`~tallied.models.Author`, or None if they
    have written nothing yet.
    """

    def may_read(self, viewer: Viewer | None, thread: type[Thread]) -> bool | ColumnElement[bool]:
        """Return the condition for the threads that the viewer may read, with their comments.

        This method alone gets the class in place of a row. It returns a condition on its columns,
        such as ``thread.target_type != "draft"``, or a plain True or False. So lists, their counts
        and their pages are right without a check of each row. To the viewer, a thread that they
        may not read does not exist.

        A condition is best built once, where the policy is, and returned to each viewer, with
        :func:`viewer_value` in the place of the viewer's attributes.

        Compare with ``viewer.author_id`` only if it is not None: in SQLAlchemy,
        ``thread.author_id == None`` means the threads of guests and of deleted authors.
        """
        return True

    def may_start(self, viewer: Viewer | None, target_type: str | None) -> bool:
        """Return whether the viewer may create a thread.

        :param target_type: the type of its target; None for a thread without one.
        """
        return True

    def may_comment(self, viewer: Viewer | None, thread: ThreadContext) -> bool:
        """Return whether the viewer may add a comment to the thread, or move one there.

        A locked thread accepts none in any case. :meth:`may_reply` decides about replies.
        """
        return True

    def may_reply(self, viewer: Viewer | None, comment: CommentContext) -> bool:
        """Return whether the viewer may reply to the comment; by default, if they may comment.

        It alone decides about a reply, so that a thread may be open to replies only.
        """
        return self.may_comment(viewer, comment.thread)

    def may_rename(self, viewer: Viewer | None, thread: ThreadContext) -> bool:
        """Return whether the viewer may rename the thread."""
        return self.owns(viewer, thread)

    def may_lock(self, viewer: Viewer | None, thread: ThreadContext) -> bool:
        """Return whether the viewer may lock and unlock the thread."""
        return viewer is not None and viewer.is_moderator

    def may_delete_thread(self, viewer: Viewer | None, thread: ThreadContext) -> bool:
        """Return whether the viewer may delete the thread, with the comments of others."""
        return viewer is not None and viewer.is_moderator

    def may_edit(self, viewer: Viewer | None, comment: CommentContext) -> bool:
        """Return whether the viewer may edit the comment."""
        return self.owns(viewer, comment)

    def may_move(self, viewer: Viewer | None, comment: CommentContext) -> bool:
        """Return whether the viewer may move the comment to a thread in which they may comment."""
        return viewer is not None and viewer.is_moderator

    def may_delete(self, viewer: Viewer | None, comment: CommentContext) -> bool:
        """Return whether the viewer may delete the comment."""
        return self.owns(viewer, comment)

    def may_restore(self, viewer: Viewer | None, comment: CommentContext) -> bool:
        """Return whether the viewer may restore the comment, which is deleted.

        Its ``author_id`` is None, as it is for readers.
        """
        return viewer is not None and viewer.is_moderator

    def may_react(self, viewer: Viewer | None, comment: CommentContext) -> bool:
        """Return whether the viewer may react to the comment, and take a reaction back.

        A guest may not in any case, since a reaction belongs to an author.
        """
        return viewer is not None

    def may_read_history(self, viewer: Viewer | None, comment: CommentContext) -> bool:
        """Return whether the viewer may read the former messages of the comment."""
        return self.owns(viewer, comment)

    def may_moderate(self, viewer: Viewer | None, thread: ThreadContext | None) -> bool:
        """Return whether the viewer may moderate the comments of the thread, and read hidden ones.

        :param thread: None for all threads at once, as for the queue of the whole site.
        """
        return viewer is not None and viewer.is_moderator

    def may_flag(self, viewer: Viewer | None, comment: CommentContext) -> bool:
        """Return whether the viewer, who is signed in, may flag the comment for moderators."""
        return True

    def may_delete_author(self, viewer: Viewer | None, author_id: UUID) -> bool:
        """Return whether the viewer may delete the author, whose texts stay without a name."""
        if viewer is None:
            return False
        return viewer.is_moderator or viewer.author_id == author_id

    def owns(self, viewer: Viewer | None, row: ThreadContext | CommentContext) -> bool:
        """Return whether the viewer is a moderator or the author of the row."""
        if viewer is None:
            return False
        return viewer.is_moderator or (
            row.author_id is not None and row.author_id == viewer.author_id
        )
