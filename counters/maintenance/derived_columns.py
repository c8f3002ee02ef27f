"""Check the derived columns of a table row by row, and repair those that are wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Select, select
from sqlalchemy.orm import Session

from ..declarations.derived import Derived
from ..declarations.mapped_rows import Key, primary_key
from ..declarations.special_values import are_same
from ..session.binds import bound_to_write
from ..sql.recount import after_key
from ..sql.rows import MAX_PARAMETERS, in_keys, lock_order

LOOKAHEAD = 100_000
"""How many keys are held in memory, at most, where rows are chosen by a condition."""


@dataclass(frozen=True)
class Page:
    """Some rows that were looked at, in the order of their keys."""

    rows: int
    """How many there were."""
    last: Key
    """The key of the last one; go on after it."""
    wrong: list[Key]
    """The keys of those whose amount is wrong."""


def pages(
    connection: Connection,
    derived: Derived,
    *,
    size: int,
    start: Key | None = None,
    where: ColumnElement[bool] | None = None,
) -> Iterator[Page]:
    """Look through all rows, `size` at a time at most, each page in a transaction of its own.

    Between two pages nothing is locked and no snapshot is held, so that the wrong rows of
    each can be put right by :func:`repair` in another transaction.

    :param start: the key to start after.
    :param where: which rows to look at.
    """
    size = min(size, MAX_PARAMETERS // len(derived.mapper.primary_key))
    walk = _all(connection, derived, size, start)
    if where is not None:
        walk = _filtered_pages(connection, derived, size, start, where)
    for rows in walk:
        wrong = [
            own for own, value, stored in rows if not are_same(derived.computed(value), stored)
        ]
        yield Page(len(rows), rows[-1][0], wrong)


Row: TypeAlias = tuple[Key, Any, Any]
"""The key of a row, what its amount is computed from, and the amount that it has."""


def _all(
    connection: Connection, derived: Derived, size: int, start: Key | None
) -> Iterator[list[Row]]:
    key, last = primary_key(derived.mapper), start
    statement = _rows_of(derived).limit(size)
    while rows := _read(
        connection, statement if last is None else statement.where(after_key(key, last))
    ):
        last = rows[-1][0]
        yield rows


def _filtered_pages(
    connection: Connection,
    derived: Derived,
    size: int,
    start: Key | None,
    where: ColumnElement[bool],
) -> Iterator[list[Row]]:
    """Yield the rows that meet `where`; their keys are looked up for many pages at once.

    No index holds them in the order of their keys, so looking them up may mean to go
    through all of them and sort; for each page, that would be quadratic.
    """
    key, last = primary_key(derived.mapper), start
    statement = select(*key).where(where).order_by(*key).limit(LOOKAHEAD)
    while True:
        page_of_keys = statement if last is None else statement.where(after_key(key, last))
        with connection.begin():
            keys = [tuple(row) for row in connection.execute(page_of_keys)]
        for first in range(0, len(keys), size):
            page = keys[first : first + size]
            if rows := _read(connection, _rows_of(derived).where(in_keys(key, page))):
                yield rows
        if len(keys) < LOOKAHEAD:
            return
        last = keys[-1]


def _rows_of(derived: Derived) -> Select[Any]:
    key = primary_key(derived.mapper)
    return select(*key, derived.of, derived.target).order_by(*key)


def _read(connection: Connection, statement: Select[Any]) -> list[Row]:
    with connection.begin():
        return [(tuple(row[:-2]), row[-2], row[-1]) for row in connection.execute(statement)]


def repair(session: Session, derived: Derived, keys: Sequence[Key]) -> int:
    """Put the amounts of some rows right through `session`, so that every counter follows.

    The rows are locked before they are read, so an edit that is under way meanwhile is
    neither lost nor mixed up. It is a change of each row like any other: the session's
    events and the columns' ``onupdate`` take part.

    :param session: one that the counters are installed on, in a transaction that the
        caller commits. On SQLite that transaction must have begun as a writer's.
    :returns: how many of them were still wrong.
    """
    key = primary_key(derived.mapper)
    locked = (
        select(derived.mapper.class_)
        .where(in_keys(key, keys))
        .order_by(*lock_order(derived.mapper.base_mapper.local_table, key))
        .with_for_update(key_share=True, of=derived.mapper.tables)
        .execution_options(populate_existing=True)
    )
    repaired = 0
    with bound_to_write(session, derived.mapper):
        objects = session.scalars(locked).all()
    for obj in objects:
        true = derived.computed(getattr(obj, derived.of.key))
        if not are_same(getattr(obj, derived.target.key), true):
            setattr(obj, derived.target.key, true)
            repaired += 1
    session.flush()
    return repaired
