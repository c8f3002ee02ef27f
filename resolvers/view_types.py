"""Threads, comments and pages as one viewer may see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

T = TypeVar("T", bound="View")


@dataclass(frozen=True, kw_only=True)
class View:
    """The fields that threads and comments share."""

    id: UUID
    author_id: UUID | None
    """None if a guest wrote it, or if the author was deleted."""
    author_name: str | None
    word_count: int
    created_at: datetime
    viewer_can_delete: bool
    cursor: str = ""
    """The place in the order of its page, for `after` or `before`."""


@dataclass(frozen=True, kw_only=True)
class ThreadView(View):
    """A thread, as one viewer may see it."""

    title: str
    comment_count: int
    top_level_count: int
    """The number of comments at the top level; the others are replies."""
    last_seq: int
    """The greatest number of its comments (`CommentView.seq`), deleted ones included."""
    last_comment_at: datetime | None
    updated_at: datetime
    locked_at: datetime | None
    target_type: str | None
    target_id: str | None
    viewer_can_comment: bool
    viewer_can_rename: bool
    viewer_can_lock: bool


@dataclass(frozen=True, kw_only=True)
class CommentView(View):
    """A comment, as one viewer may see it, with the name of its author or guest."""

    thread_id: UUID
    message: str
    message_html: str
    """The message as HTML, which is safe to insert into a page unchanged."""
    edited_at: datetime | None
    seq: int
    """The number in the thread, in the order of commits."""
    revision: int
    """The number of the message: 1 for the original, and one more with each edit."""
    is_published: bool
    """Whether readers see it; if not, it is there because of its replies, without a text."""
    is_deleted: bool
    """Whether only its replies remain, and it has neither a text nor an author."""
    deleted_at: datetime | None
    deleted_by: str | None
    """The role of who has deleted it: author, moderator, host or erasure; None if nobody has."""
    reaction_count: int
    parent_id: UUID | None
    """The comment that it is a reply to; None at the top level."""
    root_id: UUID | None
    """The comment at the top level that it is below; None at the top level."""
    in_reply_to_id: UUID | None
    """The comment that it answers, which may be gone; None if that is its parent, or none."""
    depth: int
    """The number of comments above it."""
    reply_count: int
    """The number of direct replies."""
    thread_reply_count: int
    """The number of all comments below a comment at the top level; 0 for a reply."""
    viewer_can_reply: bool
    viewer_can_edit: bool
    viewer_can_move: bool
    viewer_can_restore: bool


@dataclass(frozen=True, kw_only=True)
class QueuedComment(CommentView):
    """A comment about which a moderator is to decide."""

    status: str
    pending_reason: str | None
    """Why it waits; None unless it is pending."""
    flagged: bool
    flag_count: int
    """The number of its open flags."""


@dataclass(frozen=True)
class Unread:
    """What a viewer has not read of a thread."""

    count: int
    """The number of unread comments, counted to 100."""
    first_id: UUID | None
    """The key of the first of them."""


@dataclass(frozen=True)
class WithdrawnTextView:
    """What a hidden or deleted comment with replies said."""

    message: str
    author_id: UUID | None
    author_name: str | None


@dataclass(frozen=True)
class TargetCounts:
    """The counts of the thread about an object of the host; 0 without one that can be read."""

    target_type: str
    target_id: str
    comment_count: int
    word_count: int
    last_comment_at: datetime | None


@dataclass(frozen=True)
class ReactionGroup:
    """The reactions of one kind to a comment."""

    kind: str
    emoji: str | None
    """None for a kind that the settings have no more, as of the label."""
    label: str | None
    count: int
    viewer_has_reacted: bool


@dataclass(frozen=True, kw_only=True)
class ViewPage(Generic[T]):
    """A page of a list, as in the Relay cursor connections specification."""

    nodes: list[T]
    has_previous_page: bool
    has_next_page: bool

    @property
    def start_cursor(self) -> str | None:
        """The `before` of the previous page; None for an empty page."""
        return self.nodes[0].cursor if self.nodes else None

    @property
    def end_cursor(self) -> str | None:
        """The `after` of the next page; None for an empty page."""
        return self.nodes[-1].cursor if self.nodes else None


@dataclass(frozen=True, kw_only=True)
class CommentPage(ViewPage[CommentView]):
    """A page of a thread's comments."""

    thread: ThreadView


@dataclass(frozen=True, kw_only=True)
class MixedPage(ViewPage[T]):
    """A page of comments that are in several threads."""

    threads: Mapping[UUID, ThreadView]
    """The threads of the comments, by their keys."""


@dataclass(frozen=True, kw_only=True)
class CommentSurroundings:
    """A comment with those above it, and its neighbours."""

    thread: ThreadView
    comment: CommentView
    ancestors: list[CommentView]
    """The comments above it, the one at the top level first, and its parent last."""
    siblings: ViewPage[CommentView]
    """The comment between its neighbours: replies to its parent, or comments at the top level."""
