"""What the pages and the GraphQL fields read of the magazine's own tables.

What was said below an article, the pages read by :mod:`tallied.resolvers.views`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tallied.auth.viewer import Viewer

from .articles import may_edit
from .models import Article, User
from .policy import Reader

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


def readable(reader: Viewer | None) -> ColumnElement[bool] | None:
    """Return the condition on articles that the reader may read; None for no condition."""
    if may_edit(reader):
        return None
    published = Article.published_on.is_not(None)
    if not isinstance(reader, Reader):
        return published
    return or_(published, Article.author_id == reader.user_id)


async def articles(
    connection: AsyncConnection, reader: Viewer | None, most: int
) -> Sequence[Row[Any]]:
    """Return the drafts that the reader may read, and the latest articles."""
    query = _select(reader).order_by(Article.published_on.desc().nulls_first(), Article.id.desc())
    return (await connection.execute(query.limit(most))).all()


async def article(connection: AsyncConnection, reader: Viewer | None, id: int) -> Row[Any] | None:
    """Return an article that the reader may read, or None."""
    query = _select(reader).where(Article.id == id)
    return (await connection.execute(query)).one_or_none()


async def article_about(connection: AsyncConnection, thread_id: UUID) -> int | None:
    """Return the key of the article of a thread."""
    query = select(Article.id).where(Article.thread_id == thread_id)
    return (await connection.execute(query)).scalar_one_or_none()


def _select(reader: Viewer | None) -> Any:
    query = select(*_COLUMNS).join(Article.author)
    condition = readable(reader)
    return query if condition is None else query.where(condition)
