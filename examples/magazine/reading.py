"""What the pages and the GraphQL fields read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Row, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from tallied.models import Author, Comment, Thread
from tallied.viewer import Viewer

from .articles import may_edit
from .models import Article, User
from .policy import Reader

COMMENTS = 50
"""How many comments a page shows."""

_COLUMNS = (
    Article.id,
    Article.headline,
    Article.body,
    Article.author_id,
    Article.published_on,
    Article.thread_id,
    Article.comment_count,
    User.name.label("author"),
)


class Said(NamedTuple):
    """A part of a discussion, the latest first."""

    comments: Sequence[Any]
    older: UUID | None
    """The comment before which there are more; None where there are none."""


def readable(reader: Viewer | None) -> ColumnElement[bool] | None:
    """The condition on articles that someone may read; None for no condition."""
    if may_edit(reader):
        return None
    published = Article.published_on.is_not(None)
    if not isinstance(reader, Reader):
        return published
    return or_(published, Article.author_id == reader.user_id)


async def articles(
    connection: AsyncConnection, reader: Viewer | None, most: int
) -> Sequence[Row[Any]]:
    """The drafts that the reader may read, and the latest articles."""
    query = _select(reader).order_by(Article.published_on.desc().nulls_first(), Article.id.desc())
    return (await connection.execute(query.limit(most))).all()


async def article(connection: AsyncConnection, reader: Viewer | None, id: int) -> Row[Any] | None:
    """An article; None where there is none that the reader may read."""
    query = _select(reader).add_columns(Thread.locked_at).outerjoin(Article.thread)
    return (await connection.execute(query.where(Article.id == id))).one_or_none()


async def article_about(connection: AsyncConnection, thread_id: UUID) -> int | None:
    """The key of the article that is discussed there."""
    query = select(Article.id).where(Article.thread_id == thread_id)
    return (await connection.execute(query)).scalar_one_or_none()


async def comments(
    connection: AsyncConnection, thread_id: UUID, before: UUID | None = None
) -> Said:
    """A page of a discussion that the reader has been found to be allowed to read.

    :param before: the comment that the page before has ended with.
    """
    query = (
        select(
            Comment.id,
            Comment.thread_id,
            Comment.author_id,
            Comment.author_name,
            Comment.message,
            Comment.created_at,
            Comment.edited_at,
            Author.name.label("author"),
        )
        .outerjoin(Comment.author)
        .where(Comment.thread_id == thread_id)
        .order_by(Comment.created_at.desc(), Comment.id.desc())
        .limit(COMMENTS + 1)
    )
    if before is not None:
        last = select(Comment.created_at, Comment.id).where(Comment.id == before)
        query = query.where(tuple_(Comment.created_at, Comment.id) < last.scalar_subquery())
    rows = (await connection.execute(query)).all()
    more = len(rows) > COMMENTS
    return Said(rows[:COMMENTS], rows[COMMENTS - 1].id if more else None)


def _select(reader: Viewer | None) -> Any:
    query = select(*_COLUMNS).join(Article.author)
    condition = readable(reader)
    return query if condition is None else query.where(condition)
