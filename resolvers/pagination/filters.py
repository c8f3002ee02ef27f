"""Filters: which rows of a list are shown. Each has its index in :mod:`tallied.models`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement

from ...content.characters import is_blank, name_key
from ...errors import BadUserInput, InvalidText
from ...models import Comment, Thread
from ...models.thread import fold, last_activity
from ..validation import clean_author_name, clean_title, find_unstorable


class ThreadFilter(NamedTuple):
    """Threads that meet all the conditions that are given."""

    title_contains: str | None = None
    """What the title contains; case and the width of characters do not matter."""
    active_since: datetime | None = None
    """They were begun, or last commented on, at this moment or after."""
    min_comment_count: int | None = None
    """They have so many comments, or more."""

    def conditions(self) -> list[ColumnElement[bool]]:
        """What a row must meet."""
        found: list[ColumnElement[bool]] = []
        if self.title_contains is not None:
            found.append(Thread.title_folded.contains(fold(self.title_contains), autoescape=True))
        if self.active_since is not None:
            found.append(last_activity() >= self.active_since)
        if self.min_comment_count is not None:
            found.append(Thread.comment_count >= self.min_comment_count)
        return found


class CommentFilter(NamedTuple):
    """Comments that meet all the conditions that are given."""

    author_name: str | None = None
    """The guest who wrote them, by :func:`~tallied.content.characters.name_key`."""
    since: datetime | None = None
    """They were made at this moment or after."""
    author_id: UUID | None = None
    """The author who wrote them."""

    def conditions(self) -> list[ColumnElement[bool]]:
        """What a row must meet."""
        found: list[ColumnElement[bool]] = []
        if self.author_name is not None:
            found.append(Comment.author_name_key == name_key(self.author_name))
        if self.author_id is not None:
            found.append(Comment.author_id == self.author_id)
        if self.since is not None:
            found.append(Comment.created_at >= self.since)
        return found


Filter = ThreadFilter | CommentFilter


def thread_filter(
    title_contains: str | None, active_since: datetime | None, min_comment_count: int | None
) -> ThreadFilter:
    """Check the conditions on threads; a text of nothing visible is no condition.

    :raises BadUserInput: naming the condition.
    """
    title_contains = _readable(clean_title, title_contains, "filterBy.titleContains")
    if min_comment_count is not None and min_comment_count < 0:
        name = "filterBy.minCommentCount"
        raise BadUserInput(f"{name} must be 0 or more, not {min_comment_count}.", field=name)
    return ThreadFilter(title_contains, active_since, min_comment_count)


def comment_filter(
    author_name: str | None, since: datetime | None, author_id: UUID | None = None
) -> CommentFilter:
    """Check the conditions on comments; a name of nothing visible is no condition.

    :raises BadUserInput: naming the condition.
    """
    author_name = _readable(clean_author_name, author_name, "filterBy.authorName")
    return CommentFilter(author_name, since, author_id)


def _readable(check: Callable[[str, str], str], text: str | None, field: str) -> str | None:
    if text is None or (isinstance(text, str) and is_blank(text) and not find_unstorable(text)):
        return None
    try:
        return check(text, field)
    except InvalidText as error:
        raise BadUserInput(str(error), field=field, params=error.params) from error
