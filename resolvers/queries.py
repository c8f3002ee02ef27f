"""Queries: from a connection and the requested columns to rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..models import Author, Comment, Thread
from .pagination.arguments import Record, RequestedFields, RowPage, Window
from .pagination.filters import Filter
from .pagination.keyset import read_pages
from .pagination.statements import ChildRelation

COMMENTS_OF_THREADS = ChildRelation(Thread, "thread_id")


async def read_one(
    connection: AsyncConnection,
    entity: type[Any],
    id: UUID,
    columns: Collection[str],
    read_condition: ColumnElement[bool] | None = None,
) -> Record | None:
    """Return the columns of the row with that id, or None.

    :param read_condition: the condition that its thread must meet.
    """
    statement = _select(entity, columns or {"id"}, read_condition).where(entity.id == id)
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else row._asdict()


async def read_target_thread(
    connection: AsyncConnection,
    target_type: str,
    target_id: str,
    columns: Collection[str],
    read_condition: ColumnElement[bool] | None = None,
) -> Record | None:
    """Return the columns of the thread about an object of the host, or None."""
    statement = _select(Thread, columns or {"id"}, read_condition)
    conditions = (Thread.target_type == target_type, Thread.target_id == target_id)
    row = (await connection.execute(statement.where(*conditions))).one_or_none()
    return None if row is None else row._asdict()


async def read_many(
    connection: AsyncConnection,
    entity: type[Any],
    ids: Iterable[UUID],
    columns: Collection[str],
    read_condition: ColumnElement[bool] | None = None,
) -> dict[UUID, Record]:
    """Return the columns of those rows with these ids that there are.

    :param read_condition: the condition that their threads must meet.
    """
    statement = _select(entity, {"id", *columns}, read_condition).where(entity.id.in_(ids))
    return {row.id: row._asdict() for row in await connection.execute(statement)}


async def read_comment_pages(
    connection: AsyncConnection,
    thread_ids: Iterable[UUID],
    window: Window,
    requested: RequestedFields,
) -> dict[UUID, RowPage]:
    """Return the same page of comments for each of these threads that there is."""
    return await read_pages(connection, COMMENTS_OF_THREADS, thread_ids, window, requested)


async def count_threads(
    connection: AsyncConnection,
    filter: Filter | None = None,
    read_condition: ColumnElement[bool] | None = None,
) -> int:
    """Return the number of threads that pass a filter.

    :param read_condition: the condition that they must meet.
    """
    statement = select(func.count()).select_from(Thread)
    if read_condition is not None:
        statement = statement.where(read_condition)
    if filter:
        statement = statement.where(*filter.conditions())
    return (await connection.execute(statement)).scalar_one()


async def count_comments(
    connection: AsyncConnection, thread_ids: Iterable[UUID], filter: Filter
) -> dict[UUID, int]:
    """Return the number of comments that pass a filter, for each thread that has one."""
    statement = (
        select(Comment.thread_id, func.count())
        .where(Comment.thread_id.in_(thread_ids), *filter.conditions())
        .group_by(Comment.thread_id)
    )
    return {row[0]: row[1] for row in await connection.execute(statement)}


def _select(
    entity: type[Any], columns: Collection[str], read_condition: ColumnElement[bool] | None
) -> Any:
    statement = select(*(getattr(entity, name) for name in sorted(columns)))
    if read_condition is None or entity is Author:
        return statement
    if entity is Comment:
        return statement.where(Comment.thread.has(read_condition))
    return statement.where(read_condition)
