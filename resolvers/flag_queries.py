"""Queries of flags, and of the comments that wait for moderators."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select

from ..database.row_reader import RowReader
from ..models import Comment, Flag
from ..models.comment import PENDING
from .pagination.arguments import Record


async def read_flagged(
    reader: RowReader, author_id: UUID, comment_ids: Collection[UUID]
) -> set[UUID]:
    """Return which of the comments an author has flagged."""
    query = select(Flag.comment_id).where(
        Flag.author_id == author_id, Flag.comment_id.in_(comment_ids)
    )
    return {row["comment_id"] for row in await reader.read(query)}


async def read_pending(
    reader: RowReader, author_id: UUID, thread_id: UUID, columns: Collection[str], size: int
) -> list[Record]:
    """Return an author's own comments in a thread that wait for a moderator, oldest first."""
    query = select(*(getattr(Comment, name) for name in sorted({"id", *columns})))
    query = query.where(
        Comment.author_id == author_id, Comment.thread_id == thread_id, Comment.status == PENDING
    )
    return await reader.read(query.order_by(Comment.created_at, Comment.id).limit(size))
