"""What a viewer has not read yet, counted when it is read: never negative, and never out of step.

The comments after a mark are found by the index of their numbers, and at most
:data:`MAX_UNREAD` of them are counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Select,
    String,
    and_,
    bindparam,
    func,
    literal_column,
    select,
)

from ..auth.viewer import Viewer
from ..database.row_reader import RowReader
from ..models import Author, Comment, Mark, Thread
from .lists import is_among_ids, key_column
from .selections import table_of
from .view_types import Unread

MAX_UNREAD = 100
"""The most unread comments of a thread that are counted."""

COMMENT, THREAD, MARK, AUTHOR = map(table_of, (Comment, Thread, Mark, Author))


async def read_unread(
    reader: RowReader, viewer: Viewer | None, ids: Sequence[UUID]
) -> Mapping[UUID, Unread]:
    """Return what the viewer has not read of each of these threads, by one statement.

    Comments that are not shown, and the viewer's own, do not count. Guests have no marks, so the
    result is empty for them.
    """
    if viewer is None or not ids:
        return {}
    statement = _select_unread(is_sqlite=reader.dialect.name == "sqlite")
    rows = await reader.select(statement, {"subject": viewer.subject, "ids": ids})
    return {row[0]: Unread(*row[1:]) for row in rows}


async def count_unread(
    reader: RowReader, viewer: Viewer | None, ids: Sequence[Any]
) -> Mapping[Any, int]:
    """Return the numbers of :func:`read_unread` alone, which takes half of its time.

    :param ids: the keys of the threads; on SQLite, also their hexadecimal digits.
    """
    if viewer is None or not ids:
        return {}
    statement = _select_unread(
        is_sqlite=reader.dialect.name == "sqlite",
        is_stored=isinstance(ids[0], str),
        with_first=False,
    )
    rows = await reader.select(statement, {"subject": viewer.subject, "ids": ids})
    return {row[0]: row[1] for row in rows}


@cache
def _select_unread(
    *, is_sqlite: bool, is_stored: bool = False, with_first: bool = True
) -> Select[Any]:
    """Return the query of the threads ``ids``, each with its unread comments and their first."""
    author = select(AUTHOR.c.id).where(AUTHOR.c.subject == bindparam("subject")).scalar_subquery()
    comment = COMMENT.alias("unread")
    unread = and_(
        comment.c.thread_id == THREAD.c.id,
        comment.c.seq > func.coalesce(MARK.c.last_read_seq, 0),
        comment.c.shown,
        comment.c.author_id.is_distinct_from(author),
    )
    # Their order is that of the index, which a planner would otherwise have to be lucky to choose.
    bounded: Select[Any] = (
        select(literal_column("1")).where(unread).order_by(comment.c.seq).limit(MAX_UNREAD)
    )
    counted = bounded.correlate(THREAD, MARK).subquery("counted")
    count = select(func.count()).select_from(counted).scalar_subquery()
    first = select(comment.c.id).where(unread).order_by(comment.c.seq).limit(1)
    is_own = and_(MARK.c.thread_id == THREAD.c.id, MARK.c.author_id == author)
    stored_as = String() if is_stored else None
    columns = [first.correlate(THREAD, MARK).scalar_subquery()] if with_first else []
    return (
        select(key_column(THREAD.c.id, stored_as), count, *columns)
        .select_from(THREAD.outerjoin(MARK, is_own))
        .where(is_among_ids(THREAD.c.id, is_sqlite=is_sqlite, stored_as=stored_as))
    )
