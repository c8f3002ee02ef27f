"""The comments above others, and the surroundings of one comment."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from ..database.row_reader import RowReader
from ..models.comment import Comment
from .pagination.arguments import Record, RowPage
from .pagination.cursors import Position
from .pagination.surroundings import (
    Place,
    select_ancestors,
    select_surroundings,
    split_surroundings,
)
from .selections import Selection, table_of


class Surroundings(NamedTuple):
    """A comment with those above it and its neighbours."""

    thread_id: UUID
    comment: Record
    ancestors: list[Record]
    """Those above it, the one at the top level first."""
    siblings: RowPage
    """The comment between its neighbours, in the order of their list."""


async def read_ancestors(
    reader: RowReader, ids: Collection[UUID], columns: Iterable[str]
) -> dict[UUID, list[Record]]:
    """Return these comments, each after those above it, by one statement."""
    selection = Selection(tuple(sorted({"id", "parent_id", *columns})))
    is_sqlite = reader.dialect.name == "sqlite"
    statement = select_ancestors(lambda id: id.in_(ids), selection, is_sqlite=is_sqlite)
    records = [
        dict(zip(selection.columns, row, strict=True)) for row in await reader.select(statement)
    ]
    return lines_of(ids, {record["id"]: record for record in records})


def lines_of(ids: Iterable[UUID], rows: Mapping[UUID, Record]) -> dict[UUID, list[Record]]:
    """Return these comments, each after those above it.

    :param rows: the comments with their ids and those of their parents.
    """
    lines = {}
    for id in ids:
        line, key = [], id
        while key in rows:
            line.append(rows[key])
            key = rows[key]["parent_id"]
        lines[id] = line[::-1]
    return lines


async def read_surroundings(
    reader: RowReader,
    thread_ids: Collection[UUID],
    place: Place,
    columns: Iterable[str],
    *,
    with_hidden: bool = False,
) -> Surroundings | None:
    """Return a comment of one of these threads with its surroundings, or None.

    :param with_hidden: whether the comment may be one that does not exist for readers.
    """
    selection = Selection(tuple(sorted({"id", *columns})))
    table = table_of(Comment)
    statement = select_surroundings(
        (table.c.id == place.comment_id) & table.c.thread_id.in_(thread_ids),
        place.order,
        place.size,
        selection,
        is_sqlite=reader.dialect.name == "sqlite",
        with_hidden=with_hidden,
    )
    width = len(selection.columns)
    rows = split_surroundings(await reader.select(statement), place.size, width)
    if rows is None:
        return None

    def record(row: Sequence[Any]) -> Record:
        return dict(zip(selection.columns, row, strict=False))

    siblings = [record(row) for row in rows.siblings]
    encode = place.order.encode
    page = RowPage(
        rows=siblings,
        cursors=[encode(Position(row[width], row[width + 1])) for row in rows.siblings],
        has_previous=rows.has_previous,
        has_next=rows.has_next,
    )
    return Surroundings(
        rows.thread_id, siblings[rows.position], [*map(record, rows.ancestors)], page
    )
