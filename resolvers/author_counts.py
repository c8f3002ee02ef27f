"""The numbers of authors for viewers who may not read every thread.

The stored counters of an author count comments in all threads, so they would tell of threads that
do not exist for the viewer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select, true

from ..database.row_reader import RowReader
from ..models import Author, Comment
from .lists import is_among
from .pagination.arguments import Record
from .pagination.statements import MAX_COUNT, fixed_number
from .queries import is_in_thread
from .selections import table_of

AUTHOR, COMMENT = map(table_of, (Author, Comment))


class AuthorCounts(NamedTuple):
    """The numbers of an author's comments in the threads that a viewer may read."""

    comments: int = 0
    words: int = 0


async def read_author_counts(
    reader: RowReader, condition: ColumnElement[bool], ids: Sequence[UUID]
) -> Mapping[UUID, AuthorCounts]:
    """Return the numbers of these authors by one statement, each of :data:`.MAX_COUNT` comments.

    :param condition: the condition for the threads that the viewer may read.
    """
    statement = select_author_counts(condition, ids, is_sqlite=reader.dialect.name == "sqlite")
    rows = {row[0]: AuthorCounts(*row[1:]) for row in await reader.select(statement)}
    return {id: rows.get(id, AuthorCounts()) for id in ids}


async def disclose_counts(
    reader: RowReader, condition: ColumnElement[bool], authors: Iterable[Record | None]
) -> Mapping[UUID, Record]:
    """Return authors by key, with the numbers of comments in threads that the viewer may read."""
    records = {author["id"]: author for author in authors if author is not None}
    counts = await read_author_counts(reader, condition, list(records)) if records else {}
    return {id: disclose(record, counts[id]) for id, record in records.items()}


def disclose(author: Record, counts: AuthorCounts) -> Record:
    """Return an author with these numbers in the place of the stored ones."""
    return {**author, "comment_count": counts.comments, "word_count": counts.words}


def select_author_counts(
    condition: ColumnElement[bool], ids: Sequence[UUID], *, is_sqlite: bool
) -> Select[Any]:
    """Return the query of authors, each with the number of their comments and of the words."""
    bounded: Select[Any] = (
        select(COMMENT.c.word_count)
        .where(COMMENT.c.author_id == AUTHOR.c.id, COMMENT.c.shown, is_in_thread(condition))
        # The order is that of the index.
        .order_by(COMMENT.c.author_id, COMMENT.c.thread_id, COMMENT.c.created_at, COMMENT.c.id)
        .limit(fixed_number(MAX_COUNT))
    )
    counted = bounded.correlate(AUTHOR).subquery("counted")
    numbers = (func.count(), func.coalesce(func.sum(counted.c.word_count), 0))
    is_chosen = is_among(AUTHOR.c.id, ids, is_sqlite=is_sqlite)
    if is_sqlite:  # It has no LATERAL, and reads the comments twice.
        columns = (select(number).select_from(counted).scalar_subquery() for number in numbers)
        return select(AUTHOR.c.id, *columns).where(is_chosen)
    both = select(*numbers).select_from(counted).correlate(AUTHOR).lateral("both")
    return select(AUTHOR.c.id, *both.c).join_from(AUTHOR, both, true()).where(is_chosen)
