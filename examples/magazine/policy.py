"""Who may do what in the discussions, and what is known of a reader to tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select

from tallied.auth.viewer import Viewer
from tallied.host.policy import CommentContext, Policy, ThreadContext
from tallied.models import Thread

from .models import Article


@dataclass(frozen=True)
class Reader(Viewer):
    """A user of the magazine, as Tallied sees them."""

    user_id: int = 0
    threads: frozenset[UUID] = frozenset()
    """The discussions of the articles that they have written, read once a request: a policy's
    methods answer for each of a hundred comments, and may not ask the database."""


class MagazinePolicy(Policy):
    """Everyone signed in comments; an article's author moderates what is said below it.

    Threads are opened, renamed and deleted with their articles, by the magazine itself, and in no
    other way.
    """

    def may_read(self, viewer: Viewer | None, thread: type[Thread]) -> bool | ColumnElement[bool]:
        """Let only the article's author and the editors read discussions of drafts."""
        if viewer is not None and viewer.is_moderator:
            return True
        drafts = select(Article.id).where(
            Article.thread_id == thread.id, Article.published_on.is_(None)
        )
        if isinstance(viewer, Reader):
            drafts = drafts.where(Article.author_id != viewer.user_id)
        return ~drafts.correlate(thread).exists()

    def may_start(self, viewer: Viewer | None, target_type: str | None) -> bool:
        return False

    def may_rename(self, viewer: Viewer | None, thread: ThreadContext) -> bool:
        return False

    def may_delete_thread(self, viewer: Viewer | None, thread: ThreadContext) -> bool:
        return False

    def may_lock(self, viewer: Viewer | None, thread: ThreadContext) -> bool:
        return moderates(viewer, thread.id)

    def may_edit(self, viewer: Viewer | None, comment: CommentContext) -> bool:
        """Let nobody change what another has written, editors included."""
        return _wrote(viewer, comment)

    def may_delete(self, viewer: Viewer | None, comment: CommentContext) -> bool:
        return _wrote(viewer, comment) or moderates(viewer, comment.thread_id)


def moderates(viewer: Viewer | None, thread_id: Any) -> bool:
    """Return whether the viewer is an editor, or the author of the article of the thread."""
    if viewer is None:
        return False
    return viewer.is_moderator or (isinstance(viewer, Reader) and thread_id in viewer.threads)


def _wrote(viewer: Viewer | None, comment: CommentContext) -> bool:
    return viewer is not None and None is not comment.author_id == viewer.author_id
