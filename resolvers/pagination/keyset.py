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
"""How many rows are turned into Python's objects before others may have their turn."""

Columns = list[ColumnElement[Any]]


class ChildRelation(NamedTuple):
    """How the rows of a page belong to a parent.

    :param parent: the parent's mapped class.
    :param foreign_key: the attribute of the rows that holds the parent's id.
    """

    parent: type[Any]
    foreign_key: str


async def read_page(connection: AsyncConnection, window: Window, asked: RequestedFields) -> RowPage:
    """One page of a whole table."""
    entity, places = window.order.entity, _Places(connection, window)
    around = places.around(asked)
    if not around:
        columns = _columns(entity, window, asked)
        if not asked.cursors:
            columns = [each for each in columns if each.key in (asked.columns or {"id"})]
        return _page(list(await connection.execute(places.slice(columns))), window, asked)
    page = places.slice(_columns(entity, window, asked)).subquery("page")
    one = select(literal(1)).subquery("one")
    statement = select(*page.c, *around).select_from(one.outerjoin(page, true()))
    rows = list(await connection.execute(_sorted(statement, window, page.c.sort_key, page.c.id)))
    return _page([row for row in rows if row.id is not None], window, asked, rows[0])


async def read_pages(
    connection: AsyncConnection,
    link: ChildRelation,
    ids: Iterable[UUID],
    window: Window,
    asked: RequestedFields,
) -> dict[UUID, RowPage]:
    """The same page of every parent that is there."""
    entity, parent, places = window.order.entity, link.parent, _Places(connection, window)
    ours = getattr(entity, link.foreign_key) == parent.id
    if places.sqlite:
        page: Any = aliased(entity, name="page")
        keys = places.slice([entity.id]).where(ours).correlate(parent)
        columns, on = _columns(page, window, asked), page.id.in_(keys)
    else:
        part = places.slice(_columns(entity, window, asked)).where(ours)
        page = part.correlate(parent).lateral("page")
        columns, on = list(page.c), true()
    statement = select(*columns, *places.around(asked, ours), parent.id.label("parent_id"))
    statement = statement.join_from(parent, page, on, isouter=True).where(parent.id.in_(ids))
    rows_of: defaultdict[UUID, list[Row[Any]]] = defaultdict(list)
    found = await connection.execute(_sorted(statement, window, columns[-1], columns[0]))
    async for row in _in_slices(found):
        rows_of[row.parent_id].append(row)
    return {
        id: _page([row for row in rows if row.id is not None], window, asked, rows[0])
        async for id, rows in _in_slices(rows_of.items(), window.size)
    }


async def _in_slices(items: Iterable[T], weight: int = 1) -> AsyncIterator[T]:
    """Each item; after so many of them, others may have their turn.

    :param weight: how many rows an item stands for.
    """
    worked = 0
    for item in items:
        yield item
        worked += weight
        if worked >= TIME_SLICE:
            await yield_if_due()
            worked = 0


def _page(
    rows: list[Row[Any]], window: Window, asked: RequestedFields, around: Row[Any] | None = None
) -> RowPage:
    """The page of `rows`, which are in the window's direction, one more than it shows."""
    more = len(rows) > window.size
    rows = rows[: window.size]
    if window.backward:
        rows.reverse()
    cursor = window.order.cursor
    return RowPage(
        rows=[row._asdict() for row in rows],
        cursors=[cursor(Position(row.sort_key, row.id)) for row in rows] if asked.cursors else [],
        has_previous=getattr(around, "precedes", False) or (more and window.backward),
        has_next=getattr(around, "follows", False) or (more and not window.backward),
    )


def _columns(entity: Any, window: Window, asked: RequestedFields) -> Columns:
    """The key, the other columns asked for, and the sort key, in this order."""
    names = ["id", *sorted(asked.columns - {"id"})]
    return [
        *(getattr(entity, name) for name in names),
        window.order.expression(entity).label("sort_key"),
    ]


def _sorted(statement: Select[Any], window: Window, *keys: ColumnElement[Any]) -> Select[Any]:
    descending = window.order.descending != window.backward
    return statement.order_by(*(key.desc() if descending else key.asc() for key in keys))


class _Places:
    """The conditions that a window's cursors set."""

    def __init__(self, connection: AsyncConnection, window: Window) -> None:
        self.sqlite = connection.dialect.name == "sqlite"
        self.window = window
        self.id = window.order.entity.id
        self.key = window.order.expression(window.order.entity)

    def slice(self, columns: Columns) -> Select[Any]:
        """The rows of the window from its end on, and one more."""
        after, before = self.window.after, self.window.before
        statement = select(*columns).where(*self.window.conditions()).limit(self.window.size + 1)
        if after:
            statement = statement.where(self.beyond(after))
        if before:
            statement = statement.where(self.beyond(before, backward=True))
        return _sorted(statement, self.window, self.key, self.id)

    def around(self, asked: RequestedFields, *where: ColumnElement[bool]) -> Columns:
        """Whether rows precede the cursors, or follow them, where that is asked for.

        A lookup in the index's order: for an EXISTS, PostgreSQL may read the table instead.
        """
        found: Columns = []
        where = (*where, *self.window.conditions())
        for name, place, wanted in (
            ("precedes", self.window.after, asked.has_previous),
            ("follows", self.window.before, asked.has_next),
        ):
            if place and wanted:
                towards = self.window._replace(backward=name == "precedes")
                there = self.beyond(place, backward=towards.backward, inclusive=True)
                rows = _sorted(select(self.id).where(*where, there), towards, self.key, self.id)
                found.append(rows.limit(1).scalar_subquery().is_not(None).label(name))
        return found

    def beyond(
        self, place: Position, *, backward: bool = False, inclusive: bool = False
    ) -> ColumnElement[bool]:
        """The rows after `place`; or, `backward`, those before it."""
        value = literal(place.key, self.key.type)
        loose, strict = (le, lt) if self.window.order.descending != backward else (ge, gt)
        row, mark = tuple_(self.key, self.id), tuple_(value, literal(place.id, self.id.type))
        exact: ColumnElement[bool] = (loose if inclusive else strict)(row, mark)
        if self.sqlite and not isinstance(self.key, InstrumentedAttribute):
            # By an index of an expression, SQLite finds a value but not a row value.
            return and_(loose(self.key, value), exact)
        return exact
