"""Filters of lists. The condition of each has an index in :mod:`tallied.models`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Literal, NamedTuple, TypeAlias
from uuid import UUID

from sqlalchemy import ColumnElement, true

from ...content.characters import is_blank, name_key
from ...errors import BadUserInput, InvalidText
from ...models import Comment, Thread
from ...models.comment import is_pending, is_published, is_queued
from ...models.thread import fold, last_activity
from ..validation import clean_author_name, clean_title, find_unstorable

_TRIGRAM = re.compile(r"[^\W_]{3}")
"""Three letters or digits, which PostgreSQL's index of trigrams needs."""


Queue: TypeAlias = Literal["PENDING", "FLAGGED", "ALL"]
"""A part of the queue of moderation: the comments that wait, the flagged ones, or both."""

_QUEUES: Mapping[Queue, Callable[[], ColumnElement[bool]]] = {
    "PENDING": is_pending,
    "FLAGGED": lambda: true() & Comment.flagged,
    "ALL": is_queued,
}


class ThreadFilter(NamedTuple):
    """A filter of threads, which have to meet all its conditions."""

    title_contains: str | None = None
    """A part of the title; case and the width of characters do not matter."""
    active_since: datetime | None = None
    """The earliest time of the last comment, or of the creation without a comment."""
    min_comment_count: int | None = None
    """The least number of comments."""

    @property
    def is_unindexed(self) -> bool:
        """Whether no index finds the part of the title: it has no three letters in a row."""
        return self.title_contains is not None and not _TRIGRAM.search(fold(self.title_contains))

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions that a row must meet."""
        conditions: list[ColumnElement[bool]] = []
        if self.title_contains is not None:
            conditions.append(
                Thread.title_folded.contains(fold(self.title_contains), autoescape=True)
            )
        if self.active_since is not None:
            conditions.append(last_activity() >= self.active_since)
        if self.min_comment_count is not None:
            conditions.append(Thread.comment_count >= self.min_comment_count)
        return conditions


class CommentFilter(NamedTuple):
    """A filter of comments, which have to meet all its conditions."""

    author_name: str | None = None
    """The name of the guest, compared by :func:`~tallied.content.characters.name_key`."""
    since: datetime | None = None
    """The earliest time of creation."""
    author_id: UUID | None = None
    """The key of the author."""
    top_level_only: bool = True
    """Whether replies are left out."""
    statuses: frozenset[str] = frozenset()
    """The statuses of which a comment must have one; empty for all that readers see."""
    queue: Queue | None = None
    """The part of the queue of moderation that the comment must be in."""
    thread_id: UUID | None = None
    """The key of the thread, in a list of all threads' comments."""
    since_seq: int | None = None
    """The number in their thread that is less than that of each comment."""
    published_only: bool = False
    """Whether placeholders are left out."""

    @property
    def with_hidden(self) -> bool:
        """Whether comments are among them that readers do not see."""
        return bool(self.statuses or self.queue)

    @property
    def is_unindexed(self) -> bool:
        """Whether no index finds the comments."""
        return False

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions that a row must meet."""
        conditions: list[ColumnElement[bool]] = []
        if self.author_name is not None:
            conditions.append(Comment.author_name_key == name_key(self.author_name))
        if self.author_id is not None:
            conditions.append(Comment.author_id == self.author_id)
        if self.since is not None:
            conditions.append(Comment.created_at >= self.since)
        if self.statuses:
            conditions.append(Comment.status.in_(sorted(self.statuses)))
        if self.queue:
            conditions.append(_QUEUES[self.queue]())
        if self.thread_id is not None:
            conditions.append(Comment.thread_id == self.thread_id)
        if self.since_seq is not None:
            conditions.append(Comment.seq > self.since_seq)
        if self.published_only:
            conditions.append(is_published())
        return conditions


Filter = ThreadFilter | CommentFilter


def thread_filter(
    title_contains: str | None, active_since: datetime | None, min_comment_count: int | None
) -> ThreadFilter:
    """Return a filter of threads, after checking it; a blank text is ignored.

    :raises BadUserInput: naming the condition.
    """
    title_contains = _clean_condition(clean_title, title_contains, "filterBy.titleContains")
    if min_comment_count is not None and min_comment_count < 0:
        name = "filterBy.minCommentCount"
        raise BadUserInput(f"{name} must be 0 or more, not {min_comment_count}.", field=name)
    return ThreadFilter(title_contains, active_since, min_comment_count)


def comment_filter(
    author_name: str | None,
    since: datetime | None,
    author_id: UUID | None = None,
    *,
    top_level_only: bool = True,
    statuses: Collection[str] = (),
) -> CommentFilter:
    """Return a filter of comments, after checking it; a blank name is ignored.

    :raises BadUserInput: naming the condition.
    """
    author_name = _clean_condition(clean_author_name, author_name, "filterBy.authorName")
    return CommentFilter(author_name, since, author_id, top_level_only, frozenset(statuses))


def comments_since(seq: int) -> CommentFilter:
    """Return the filter of the comments of all levels after a number in their thread."""
    return CommentFilter(top_level_only=False, since_seq=seq)


def _clean_condition(check: Callable[[str, str], str], text: str | None, field: str) -> str | None:
    if text is None or (isinstance(text, str) and is_blank(text) and not find_unstorable(text)):
        return None
    try:
        return check(text, field)
    except InvalidText as error:
        raise BadUserInput(str(error), field=field, params=error.params) from error
