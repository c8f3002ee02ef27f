"""The statements that read a comment with those above it, and with its neighbours.

Each row brings its columns along: ids that are joined to the table afterwards make PostgreSQL scan
it, since its plan does not know how few they are. For the same reason it looks up each parent by a
lateral join with a limit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    and_,
    literal_column,
    select,
    true,
    union_all,
)

from ...models import Comment
from ...models.comment import is_listed
from ..selections import Selection, table_of
from .arguments import Window
from .cursors import Order, Position
from .statements import WindowQuery, fixed_number

IsAmong = Callable[[ColumnElement[Any]], ColumnElement[bool]]

DEFAULT_SIBLINGS = 10
"""How many neighbours on each side, if as many are allowed."""

BEFORE, AFTER = 1, 2
"""The ranks of the neighbours; that of the comment is 0, and of those above it -1, -2, …"""

_RANK = "rank"


class Place(NamedTuple):
    """A comment whose surroundings are requested.

    :param size: how many neighbours on each side.
    """

    comment_id: UUID
    size: int
    order: Order


class SurroundingRows(NamedTuple):
    """The rows of one comment's surroundings, as they were read."""

    thread_id: UUID
    ancestors: Sequence[Any]
    """Those above it, the one at the top level first."""
    siblings: Sequence[Any]
    """The comment between its neighbours."""
    position: int
    """The place of the comment among these."""
    has_previous: bool
    has_next: bool


def select_ancestors(is_start: IsAmong, selection: Selection, *, is_sqlite: bool) -> Select[Any]:
    """Return the query of some comments and of all those above them, each once.

    A line ends below a comment that does not exist for readers.

    :param is_start: returns the condition for the first ones by the column of their ids.
    """
    table = table_of(Comment)
    names = list(dict.fromkeys([*selection.own_columns(), "id", "parent_id"]))
    base = select(*(table.c[name] for name in names)).where(is_start(table.c.id))
    base = base.where(is_listed(table.c))
    line = base.cte("line", recursive=True)
    above = _parents(line, names, is_sqlite=is_sqlite)
    line = line.union(above)
    source, columns = selection.join(Comment, line, line.c.__getitem__)
    return select(*columns).select_from(source)


def select_surroundings(
    is_comment: ColumnElement[bool],
    order: Order,
    size: Any,
    selection: Selection,
    *,
    is_sqlite: bool,
    with_hidden: bool = False,
) -> Select[Any]:
    """Return the query of a comment, those above it, and its neighbours in their list.

    Its columns are those of the selection, then ``sort_key``, ``row_id``, the rank, and the id of
    the thread.

    :param size: how many neighbours are shown on each side; one more is read.
    :param with_hidden: whether it, and those above it, may not exist for readers.
    """
    table = table_of(Comment)
    key = str(order.expression(table.c).key)
    names = list(dict.fromkeys([*selection.own_columns(), "id", "parent_id", "thread_id", key]))
    existence = [] if with_hidden else [is_listed(table.c)]
    target = select(*(table.c[name] for name in names)).where(is_comment, *existence).cte("target")
    line = select(*target.c, fixed_number(0).label(_RANK)).cte("line", recursive=True)
    rank = (line.c[_RANK] - fixed_number(1)).label(_RANK)
    parents = _parents(line, names, rank, is_sqlite=is_sqlite, with_hidden=with_hidden)
    line = line.union_all(parents)
    neighbours = [
        _neighbours(target, names, order, size, of_replies, rank, is_sqlite=is_sqlite)
        for of_replies in (False, True)
        for rank in (BEFORE, AFTER)
    ]
    rows = union_all(select(*line.c), *neighbours).subquery("surrounding")
    source, columns = selection.join(Comment, rows, rows.c.__getitem__)
    keys = [order.expression(rows.c).label("sort_key"), rows.c.id.label("row_id")]
    statement = select(*columns, *keys, rows.c[_RANK], rows.c.thread_id).select_from(source)
    in_order = [key.desc() if order.descending else key.asc() for key in keys]
    return statement.order_by(rows.c[_RANK], *in_order)


def _parents(
    line: Any, names: Sequence[str], *more: Any, is_sqlite: bool, with_hidden: bool = False
) -> Select[Any]:
    """Return the recursive part of a line: the parents of its rows."""
    parent: Any = table_of(Comment).alias("parent")
    is_parent = parent.c.id == line.c.parent_id
    if not with_hidden:
        is_parent = and_(is_parent, is_listed(parent.c))
    if is_sqlite:
        return select(*(parent.c[name] for name in names), *more).join_from(line, parent, is_parent)
    rows = select(*(parent.c[name] for name in names)).where(is_parent).limit(fixed_number(1))
    above = rows.correlate(line).lateral("above")
    return select(*(above.c[name] for name in names), *more).join_from(line, above, true())


def _neighbours(
    target: Any,
    names: Sequence[str],
    order: Order,
    size: Any,
    of_replies: bool,
    rank: int,
    *,
    is_sqlite: bool,
) -> Select[Any]:
    """Return the rows on one side of the comment, if it is a reply or if it is none."""
    position = Position(order.expression(target.c), target.c.id)
    sides: Mapping[str, Any] = (
        {"after": position} if rank == AFTER else {"before": position, "backward": True}
    )
    window = Window(order, size, top_level_only=not of_replies, of_replies=of_replies, **sides)
    query = WindowQuery(window, is_sqlite)
    foreign_key = "parent_id" if of_replies else "thread_id"
    conditions = [query.table.c[foreign_key] == target.c[foreign_key]]
    if not of_replies:
        conditions.append(target.c.parent_id.is_(None))
    neighbour: Any
    if is_sqlite:
        neighbour = query.table.alias("neighbour")
        slice = query.slice([query.id]).where(*conditions).correlate(target)
        on = neighbour.c.id.in_(slice)
    else:
        slice = query.slice([query.table.c[name] for name in names]).where(*conditions)
        neighbour, on = slice.correlate(target).lateral("neighbour"), true()
    own = [neighbour.c[name] for name in names]
    label = literal_column(str(rank), Integer()).label(_RANK)
    return select(*own, label).join_from(target, neighbour, on)


def split_surroundings(
    rows: Sequence[Sequence[Any]], size: int, width: int
) -> SurroundingRows | None:
    """Return what a statement of :func:`select_surroundings` has read, or None for no comment.

    :param width: the number of the selected columns.
    """
    rank = width + 2
    above = [row for row in rows if row[rank] < 0]
    comment = [row for row in rows if row[rank] == 0]
    if not comment:
        return None
    before = [row for row in rows if row[rank] == BEFORE]
    after = [row for row in rows if row[rank] == AFTER]
    shown = before[-size:] if size else []
    return SurroundingRows(
        comment[0][-1],
        above,
        [*shown, *comment, *after[:size]],
        position=len(shown),
        has_previous=len(before) > size,
        has_next=len(after) > size,
    )
