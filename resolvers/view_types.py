"""What one viewer may see: threads, comments, and pages of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

T = TypeVar("T", bound="View")


@dataclass(frozen=True, kw_only=True)
class View:
    """What threads and comments have in common."""

    id: UUID
    author_id: UUID | None
    """None for a guest's, and where the author is gone."""
    author_name: str | None
    word_count: int
    created_at: datetime
    viewer_can_delete: bool
    cursor: str = ""
    """Its place in the order of its page, to be given as `after` or `before`."""


@dataclass(frozen=True, kw_only=True)
class ThreadView(View):
    """A thread, as one viewer may see it."""

    title: str
    comment_count: int
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
    """A comment, as one viewer may see it. Its name is the author's, or what a guest gave."""

    thread_id: UUID
    message: str
    message_html: str
    """The message as HTML that is safe to be put into a page as it is."""
    edited_at: datetime | None
    viewer_can_edit: bool
    viewer_can_move: bool


@dataclass(frozen=True, kw_only=True)
class ViewPage(Generic[T]):
    """A part of a list, as the Relay cursor connections specification has it."""

    nodes: list[T]
    has_previous_page: bool
    has_next_page: bool

    @property
    def start_cursor(self) -> str | None:
        """What a page that comes before this one is asked for by; None of an empty one."""
        return self.nodes[0].cursor if self.nodes else None

    @property
    def end_cursor(self) -> str | None:
        """What a page that comes after this one is asked for by; None of an empty one."""
        return self.nodes[-1].cursor if self.nodes else None


@dataclass(frozen=True, kw_only=True)
class CommentPage(ViewPage[CommentView]):
    """A part of the comments of a thread."""

    thread: ThreadView
