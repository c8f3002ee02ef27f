"""Pages of rows by keyset, each by one statement.

A page starts after a position in its order, and not after a number of rows.

The same page of many parents is one statement, too, and it reads only the shown rows of each: on
PostgreSQL by a lateral join, on SQLite by a correlated subquery, which both stop at the end of the
page. A ``row_number()`` over the children reads every child: for a thread of 100,000 comments it
takes 215 ms instead of 0.6 (SQLite), and 28 instead of 0.8 (PostgreSQL).

hasPreviousPage and hasNextPage follow the Relay cursor connections specification, section 4.4, and
are exact: the statement also looks up whether there are rows beyond a given cursor.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from operator import ge, gt, le, lt
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, and_, literal, select, true, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import InstrumentedAttribute, aliased

from ...concurrency.scheduler import yield_if_due
from .arguments import RequestedFields, RowPage, Window
from .cursors import Position

T = TypeVar("T")

TIME_SLICE = 50
"""The number of rows that are made into objects before other tasks may run."""

Columns = list[ColumnElement[Any]]


class ChildRelation(NamedTuple):
    """The relation of a page's rows to a parent.

    :param parent: the parent's mapped class.
    :param foreign_key: the attribute of the rows that holds the parent's id.
    """

    parent: type[Any]
    foreign_key: str


async def read_page(
    connection: AsyncConnection, window: Window, requested: RequestedFields
) -> RowPage:
    """Read a page of a whole table."""
    entity, places = window.order.entity, _Places(connection, window)
    around = places.around(requested)
    if not around:
        columns = _columns(entity, window, requested)
        if not requested.cursors:
            columns = [each for each in columns if each.key in (requested.columns or {"id"})]
        return _page(list(await connection.execute(places.slice(columns))), window, requested)
    page = places.slice(_columns(entity, window, requested)).subquery("page")
    row = select(literal(1)).subquery("one")
    statement = select(*page.c, *around).select_from(row.outerjoin(page, true()))
    rows = list(await connection.execute(_sorted(statement, window, page.c.sort_key, page.c.id)))
    return _page([row for row in rows if row.id is not None], window, requested, rows[0])


async def read_pages(
    connection: AsyncConnection,
    link: ChildRelation,
    ids: Iterable[UUID],
    window: Window,
    requested: RequestedFields,
) -> dict[UUID, RowPage]:
    """Read the same page of the children of each parent that there is."""
    entity, parent, places = window.order.entity, link.parent, _Places(connection, window)
    is_child = getattr(entity, link.foreign_key) == parent.id
    if places.sqlite:
        page: Any = aliased(entity, name="page")
        keys = places.slice([entity.id]).where(is_child).correlate(parent)
        columns, on = _columns(page, window, requested), page.id.in_(keys)
    else:
        part = places.slice(_columns(entity, window, requested)).where(is_child)
        page = part.correlate(parent).lateral("page")
        columns, on = list(page.c), true()
    statement = select(*columns, *places.around(requested, is_child), parent.id.label("parent_id"))
    statement = statement.join_from(parent, page, on, isouter=True).where(parent.id.in_(ids))
    rows_of: defaultdict[UUID, list[Row[Any]]] = defaultdict(list)
    result = await connection.execute(_sorted(statement, window, columns[-1], columns[0]))
    async for row in _in_slices(result):
        rows_of[row.parent_id].append(row)
    return {
        id: _page([row for row in rows if row.id is not None], window, requested, rows[0])
        async for id, rows in _in_slices(rows_of.items(), window.size)
    }


async def _in_slices(items: Iterable[T], weight: int = 1) -> AsyncIterator[T]:
    """Yield the items, and let other tasks run after every :data:`TIME_SLICE` rows.

    :param weight: the number of rows in an item.
    """
    worked = 0
    for item in items:
        yield item
        worked += weight
        if worked >= TIME_SLICE:
            await yield_if_due()
            worked = 0


def _page(
    rows: list[Row[Any]], window: Window, requested: RequestedFields, around: Row[Any] | None = None
) -> RowPage:
    """Return the page of `rows`, which are in the window's direction, with one extra row."""
    more = len(rows) > window.size
    rows = rows[: window.size]
    if window.backward:
        rows.reverse()
    cursor = window.order.encode
    return RowPage(
        rows=[row._asdict() for row in rows],
        cursors=[cursor(Position(row.sort_key, row.id)) for row in rows]
        if requested.cursors
        else [],
        has_previous=getattr(around, "precedes", False) or (more and window.backward),
        has_next=getattr(around, "follows", False) or (more and not window.backward),
    )


def _columns(entity: Any, window: Window, requested: RequestedFields) -> Columns:
    """Return the key, the other requested columns, and the sort key, in this order."""
    names = ["id", *sorted(requested.columns - {"id"})]
    return [
        *(getattr(entity, name) for name in names),
        window.order.expression(entity).label("sort_key"),
    ]


def _sorted(statement: Select[Any], window: Window, *keys: ColumnElement[Any]) -> Select[Any]:
    descending = window.order.descending != window.backward
    return statement.order_by(*(key.desc() if descending else key.asc() for key in keys))


class _Places:
    """The conditions of a window's cursors."""

    def __init__(self, connection: AsyncConnection, window: Window) -> None:
        self.sqlite = connection.dialect.name == "sqlite"
        self.window = window
        self.id = window.order.entity.id
        self.key = window.order.expression(window.order.entity)

    def slice(self, columns: Columns) -> Select[Any]:
        """Return a query of the window's rows in its direction, and one more."""
        after, before = self.window.after, self.window.before
        statement = select(*columns).where(*self.window.conditions()).limit(self.window.size + 1)
        if after:
            statement = statement.where(self.beyond(after))
        if before:
            statement = statement.where(self.beyond(before, backward=True))
        return _sorted(statement, self.window, self.key, self.id)

    def around(self, requested: RequestedFields, *where: ColumnElement[bool]) -> Columns:
        """Return columns that tell whether rows precede or follow the cursors, if requested.

        They are lookups in the order of the index: for an EXISTS, PostgreSQL may scan the table.
        """
        columns: Columns = []
        where = (*where, *self.window.conditions())
        for name, position, is_requested in (
            ("precedes", self.window.after, requested.has_previous),
            ("follows", self.window.before, requested.has_next),
        ):
            if position and is_requested:
                towards = self.window._replace(backward=name == "precedes")
                there = self.beyond(position, backward=towards.backward, inclusive=True)
                rows = _sorted(select(self.id).where(*where, there), towards, self.key, self.id)
                columns.append(rows.limit(1).scalar_subquery().is_not(None).label(name))
        return columns

    def beyond(
        self, position: Position, *, backward: bool = False, inclusive: bool = False
    ) -> ColumnElement[bool]:
        """Return the condition for rows after a position, or before it if `backward`."""
        value = literal(position.key, self.key.type)
        loose, strict = (le, lt) if self.window.order.descending != backward else (ge, gt)
        row, mark = tuple_(self.key, self.id), tuple_(value, literal(position.id, self.id.type))
        exact: ColumnElement[bool] = (loose if inclusive else strict)(row, mark)
        if self.sqlite and not isinstance(self.key, InstrumentedAttribute):
            # SQLite can look up a value in the index of an expression, but no row value.
            return and_(loose(self.key, value), exact)
        return exact
