"""Reading: a connection and the columns asked for come in, rows go out."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..models import Comment, Thread
from .filters import Filter
from .pages import Link, read_pages
from .paging import Asked, Page, Record, Window

COMMENTS_OF_THREADS = Link(Thread, "thread_id")


async def read_one(
    connection: AsyncConnection, entity: type[Any], id: UUID, columns: Collection[str]
) -> Record | None:
    """The columns of the row with that id; None where there is no such row."""
    found = await connection.execute(_select(entity, columns or {"id"}).where(entity.id == id))
    row = found.one_or_none()
    return None if row is None else row._asdict()


async def read_many(
    connection: AsyncConnection, entity: type[Any], ids: Iterable[UUID], columns: Collection[str]
) -> dict[UUID, Record]:
    """The columns of the rows with these ids, as far as there are such rows."""
    statement = _select(entity, {"id", *columns}).where(entity.id.in_(ids))
    return {row.id: row._asdict() for row in await connection.execute(statement)}


async def read_comment_pages(
    connection: AsyncConnection, thread_ids: Iterable[UUID], window: Window, asked: Asked
) -> dict[UUID, Page]:
    """The same page of the comments of each of these threads, as far as there are such threads."""
    return await read_pages(connection, COMMENTS_OF_THREADS, thread_ids, window, asked)


async def count_threads(connection: AsyncConnection, filter: Filter | None = None) -> int:
    """How many threads there are, of those that a filter lets through."""
    statement = select(func.count()).select_from(Thread)
    if filter:
        statement = statement.where(*filter.conditions())
    return (await connection.execute(statement)).scalar_one()


async def count_comments(
    connection: AsyncConnection, thread_ids: Iterable[UUID], filter: Filter
) -> dict[UUID, int]:
    """How many comments that a filter lets through each of these threads has, if it has any."""
    statement = (
        select(Comment.thread_id, func.count())
        .where(Comment.thread_id.in_(thread_ids), *filter.conditions())
        .group_by(Comment.thread_id)
    )
    return {row[0]: row[1] for row in await connection.execute(statement)}


def _select(entity: type[Any], columns: Collection[str]) -> Any:
    return select(*(getattr(entity, name) for name in sorted(columns)))
