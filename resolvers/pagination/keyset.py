"""Pages of rows, each by one statement of :mod:`.statements`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from ...concurrency.scheduler import yield_if_due
from ...database.row_reader import RowReader
from ..selections import Selection
from .arguments import RequestedFields, RowPage, Window
from .cursors import Position
from .statements import ChildRelation, select_page, select_pages

T = TypeVar("T")

TIME_SLICE = 50
"""The number of rows that are made into objects before other tasks may run."""


async def read_page(reader: RowReader, window: Window, requested: RequestedFields) -> RowPage:
    """Read a page of a whole table."""
    selection = Selection(tuple(sorted(requested.columns or {"id"})))
    is_sqlite = reader.dialect.name == "sqlite"
    statement = select_page(window, selection, requested, is_sqlite=is_sqlite)
    rows = await reader.select(statement)
    return split_page(rows, window, requested, len(selection.columns)).as_records(selection, window)


async def read_pages(
    reader: RowReader,
    relation: ChildRelation,
    ids: Iterable[UUID],
    window: Window,
    requested: RequestedFields,
    levels: int = 1,
) -> dict[UUID, RowPage]:
    """Read the same page of the children of each parent that there is.

    :param levels: as of :func:`.select_pages`.
    """
    selection = Selection(("id", *sorted(requested.columns - {"id"})))
    is_sqlite = reader.dialect.name == "sqlite"
    statement = select_pages(
        relation,
        lambda id: id.in_(ids),
        window,
        selection,
        requested,
        is_sqlite=is_sqlite,
        levels=levels,
    )
    rows_of: defaultdict[UUID, list[Any]] = defaultdict(list)
    async for row in _in_slices(await reader.select(statement)):
        rows_of[row[-1]].append(row)
    width = len(selection.columns)
    return {
        id: split_page(rows, window, requested, width, child_id=0).as_records(selection, window)
        async for id, rows in _in_slices(rows_of.items(), window.size)
    }


class PageOfRows(NamedTuple):
    """The rows of a page as they were read, in its order."""

    rows: Sequence[Any]
    has_previous: bool
    has_next: bool
    key: int
    """The place of the sort key in a row, before that of the id; 0 without cursors."""

    def as_records(self, selection: Selection, window: Window) -> RowPage:
        """Return the page with the rows as records, and with their cursors."""
        encode, key = window.order.encode, self.key
        return RowPage(
            rows=[dict(zip(selection.columns, row, strict=False)) for row in self.rows],
            cursors=[encode(Position(row[key], row[key + 1])) for row in self.rows] if key else [],
            has_previous=self.has_previous,
            has_next=self.has_next,
        )


def split_page(
    rows: Sequence[Any],
    window: Window,
    requested: RequestedFields,
    width: int,
    *,
    child_id: int | None = None,
) -> PageOfRows:
    """Return the page of what a statement of :mod:`.statements` has read.

    :param rows: in the window's direction, with one extra row if there are more.
    :param width: the number of the selected columns.
    :param child_id: the place of the id, if the page is one of several.
    """
    precedes = bool(window.after) and requested.has_previous
    follows = bool(window.before) and requested.has_next
    around: Sequence[Any] = rows[0][width + 2 :] if precedes or follows else ()
    id = width + 1 if around and child_id is None else child_id
    if id is not None and rows and rows[0][id] is None:
        rows = ()  # It stands for the page itself.
    more = len(rows) > window.size
    rows = rows[: window.size]
    return PageOfRows(
        rows[::-1] if window.backward else rows,
        has_previous=(precedes and around[0]) or (more and window.backward),
        has_next=(follows and around[precedes]) or (more and not window.backward),
        key=width if requested.cursors else 0,
    )


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
