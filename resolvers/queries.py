"""Queries: from a reader and the requested columns to rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, select

from ..database.row_reader import RowReader
from ..models import Author, Comment, Thread
from .pagination.arguments import Record, RequestedFields, RowPage, Window
from .pagination.keyset import read_pages
from .pagination.statements import ChildRelation, select_count, select_counts
from .selections import existence_conditions

COMMENTS_OF_THREADS = ChildRelation(Thread, "thread_id")
REPLIES_TO_COMMENTS = ChildRelation(Comment, "parent_id")

_AUTHOR_ID = select(Author.id).where(Author.subject == bindparam("subject"))


async def read_one(
    reader: RowReader,
    entity: type[Any],
    id: UUID,
    columns: Collection[str],
    read_condition: ColumnElement[bool] | None = None,
    *,
    with_hidden: bool = False,
) -> Record | None:
    """Return the columns of the row with that id, or None.

    :param read_condition: the condition that its thread must meet.
    :param with_hidden: whether it may be one that does not exist for readers.
    """
    statement = _select(entity, columns or {"id"}, read_condition, with_hidden=with_hidden)
    statement = statement.where(entity.id == id)
    return _first(await reader.read(statement))


async def read_target_thread(
    reader: RowReader,
    target_type: str,
    target_id: str,
    columns: Collection[str],
    read_condition: ColumnElement[bool] | None = None,
) -> Record | None:
    """Return the columns of the thread about an object of the host, or None."""
    statement = _select(Thread, columns or {"id"}, read_condition)
    conditions = (Thread.target_type == target_type, Thread.target_id == target_id)
    return _first(await reader.read(statement.where(*conditions)))


async def read_many(
    reader: RowReader,
    entity: type[Any],
    ids: Iterable[UUID],
    columns: Collection[str],
    read_condition: ColumnElement[bool] | None = None,
    *,
    with_hidden: bool = False,
) -> dict[UUID, Record]:
    """Return the columns of those rows with these ids that there are.

    :param read_condition: the condition that their threads must meet.
    :param with_hidden: as of :func:`read_one`.
    """
    statement = _select(entity, {"id", *columns}, read_condition, with_hidden=with_hidden)
    statement = statement.where(entity.id.in_(ids))
    return {row["id"]: row for row in await reader.read(statement)}


async def read_comment_pages(
    reader: RowReader,
    ids: Iterable[UUID],
    window: Window,
    requested: RequestedFields,
    levels: int = 1,
) -> dict[UUID, RowPage]:
    """Return the same page of comments for each of these parents that there is.

    :param ids: those of threads, or of comments for a window of replies.
    :param levels: how many levels of replies are read; the replies of all but the last are
        parents, too.
    """
    relation = REPLIES_TO_COMMENTS if window.of_replies else COMMENTS_OF_THREADS
    return await read_pages(reader, relation, ids, window, requested, levels)


async def count_rows(reader: RowReader, window: Window) -> int:
    """Return the number of rows in the list of a window, up to a bound."""
    (row,) = await reader.read(select_count(window))
    number: int = row["number"]
    return number


async def count_comments(
    reader: RowReader, thread_ids: Iterable[UUID], window: Window
) -> dict[UUID, int]:
    """Return the number of comments in the list of a window, up to a bound, for each thread."""
    statement = select_counts(COMMENTS_OF_THREADS, Thread.id.in_(thread_ids), window)
    return {row["id"]: row["number"] for row in await reader.read(statement)}


async def read_author_id(reader: RowReader, subject: str) -> UUID | None:
    """Return the key of the author with that subject, or None if they have written nothing yet."""
    row = _first(await reader.read(_AUTHOR_ID, {"subject": subject}))
    return None if row is None else row["id"]


@lru_cache(maxsize=32)  # By identity: a policy may have built it once, and this takes 140 µs.
def is_in_thread(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition for comments in threads that meet one, in a subquery of its own.

    Beside the comments of a statement, a host's EXISTS over comments would refer to those: within
    a subquery's WHERE, SQLAlchemy correlates all tables of the query around it.
    """
    return Comment.thread.has(condition)


def _first(rows: list[Record]) -> Record | None:
    return rows[0] if rows else None


def _select(
    entity: type[Any],
    columns: Collection[str],
    read_condition: ColumnElement[bool] | None,
    *,
    with_hidden: bool = False,
) -> Any:
    statement = select(*(getattr(entity, name) for name in sorted(columns)))
    if not with_hidden:
        statement = statement.where(*existence_conditions(entity))
    if read_condition is None or entity is Author:
        return statement
    if entity is Comment:
        return statement.where(is_in_thread(read_condition))
    return statement.where(read_condition)
