"""Pages of rows by keyset, in one statement each: a page starts after a place in its
order, not after a count of rows.

The same page of many parents is one statement too, and it reads of each parent only
what is shown: on PostgreSQL by a lateral join, on SQLite by a correlated subquery, and
both stop at the page's end. A ``row_number()`` over the children reads every child; at
a thread of 100,000 comments that is 215 ms against 0.6 (SQLite), 28 against 0.8
(PostgreSQL).

hasPreviousPage and hasNextPage follow the Relay cursor connections specification,
section 4.4, and are exact: what lies beyond a given cursor is looked up beside the page.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, exists, literal, select, true, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from .cursors import Position
from .paging import Asked, Page, Window

Columns = list[ColumnElement[Any]]


class Link(NamedTuple):
    """How the rows of a page belong to a parent.

    :param parent: the parent's mapped class.
    :param foreign_key: the attribute of the rows that holds the parent's id.
    """

    parent: type[Any]
    foreign_key: str


async def read_page(connection: AsyncConnection, window: Window, asked: Asked) -> Page:
    """One page of a whole table."""
    order = window.order
    beyond = _beyond(window, asked)
    if beyond:
        page = _slice(window, _columns(order.entity, window, asked)).subquery()
        one = select(literal(1)).subquery()
        statement = select(*page.c, *beyond).select_from(one.outerjoin(page, true()))
        rows = list(
            await connection.execute(_sorted(statement, window, page.c.sort_key, page.c.id))
        )
        return _page([row for row in rows if row.id is not None], window, asked, rows[0])
    columns = _columns(order.entity, window, asked)
    if not asked.cursors:
        named = asked.columns or {"id"}
        columns = [column for column in columns if column.key in named]
    return _page(list(await connection.execute(_slice(window, columns))), window, asked)


async def read_pages(
    connection: AsyncConnection, link: Link, ids: Iterable[UUID], window: Window, asked: Asked
) -> dict[UUID, Page]:
    """The same page of every parent that is there."""
    entity, parent = window.order.entity, link.parent
    ours = getattr(entity, link.foreign_key) == parent.id
    if connection.dialect.name == "postgresql":
        part = _slice(window, _columns(entity, window, asked)).where(ours)
        page: Any = part.correlate(parent).lateral()
        columns, on = list(page.c), true()
    else:
        page = aliased(entity)
        keys = _slice(window, [entity.id]).where(ours).correlate(parent)
        columns, on = _columns(page, window, asked), page.id.in_(keys)
    statement = select(*columns, *_beyond(window, asked, ours), parent.id.label("parent_id"))
    statement = statement.join_from(parent, page, on, isouter=True).where(parent.id.in_(ids))
    rows_of: defaultdict[UUID, list[Row[Any]]] = defaultdict(list)
    for row in await connection.execute(_sorted(statement, window, columns[-1], columns[0])):
        rows_of[row.parent_id].append(row)
    return {
        id: _page([row for row in rows if row.id is not None], window, asked, rows[0])
        for id, rows in rows_of.items()
    }


def _page(
    rows: list[Row[Any]], window: Window, asked: Asked, beyond: Row[Any] | None = None
) -> Page:
    """The page of `rows`, which are in the window's direction, one more than it shows."""
    more = len(rows) > window.size
    rows = rows[: window.size]
    if window.backward:
        rows.reverse()
    cursor = window.order.cursor
    return Page(
        rows=[row._asdict() for row in rows],
        cursors=[cursor(Position(row.sort_key, row.id)) for row in rows] if asked.cursors else [],
        has_previous=getattr(beyond, "precedes", False) or (more and window.backward),
        has_next=getattr(beyond, "follows", False) or (more and not window.backward),
    )


def _columns(entity: Any, window: Window, asked: Asked) -> Columns:
    """The key, the other columns asked for, and the sort key, in this order."""
    names = ["id", *sorted(asked.columns - {"id"})]
    return [
        *(getattr(entity, name) for name in names),
        window.order.expression(entity).label("sort_key"),
    ]


def _slice(window: Window, columns: Columns) -> Select[Any]:
    """The rows of a window from its end on, and one more."""
    order = window.order
    statement = select(*columns).where(*_bounds(window).values()).limit(window.size + 1)
    return _sorted(statement, window, order.expression(order.entity), order.entity.id)


def _sorted(statement: Select[Any], window: Window, *keys: ColumnElement[Any]) -> Select[Any]:
    descending = window.order.descending != window.backward
    return statement.order_by(*(key.desc() if descending else key.asc() for key in keys))


def _bounds(window: Window) -> dict[str, ColumnElement[bool]]:
    """What holds between the window's cursors, by what is true of the rows where it does not."""
    order, entity = window.order, window.order.entity
    key = order.expression(entity)
    row = tuple_(key, entity.id)

    def place(position: Position) -> ColumnElement[Any]:
        return tuple_(literal(position.key, key.type), literal(position.id, entity.id.type))

    bounds: dict[str, ColumnElement[bool]] = {}
    if window.after:
        mark = place(window.after)
        bounds["precedes"] = row < mark if order.descending else row > mark
    if window.before:
        mark = place(window.before)
        bounds["follows"] = row > mark if order.descending else row < mark
    return bounds


def _beyond(window: Window, asked: Asked, *where: ColumnElement[bool]) -> Columns:
    """Whether rows precede the window's cursors, or follow them, where that is asked for."""
    wanted = {"precedes": asked.has_previous, "follows": asked.has_next}
    return [
        exists().where(*where, ~bound).label(name)
        for name, bound in _bounds(window).items()
        if wanted[name]
    ]
