"""The order of locks of a deletion: the rows that count for a row before the row itself.

A writer that edits, moves or deletes a comment locks it, and then its thread. The deletion of a
thread would lock the thread first, and its comments as the database removes them; the two could
deadlock. So the rows that count for deleted rows are locked before these: by one statement a
foreign key, in the order of keys, the innermost table first.

This is about order alone: the rows to count are locked and read once their parents are locked
(:mod:`.unit_of_work.cascades`). Rows with copies (:mod:`.copied_relation`) are locked after the
rows that they refer to by all writers, and so not here. On SQLite, which has one lock, nothing is
done.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    ForeignKeyConstraint,
    Select,
    Table,
    func,
    literal_column,
    select,
)
from sqlalchemy.orm import Mapper

from ..declarations.copied_relation import InternalCounter
from ..declarations.counter import Counter
from ..declarations.mapped_rows import Key, column_of
from ..sql.rows import chunks, in_keys, lock_order
from .cascades import acts_on_delete, cascades
from .source import Source


class DeletionLockOrder:
    """The foreign keys by which rows go, or are detached, that count for the row they refer to."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._edges: dict[Table, list[ForeignKeyConstraint]] = defaultdict(list)
        for source in sources:
            for counter in source.counters:
                if not isinstance(counter, InternalCounter):
                    self._begin(counter)

    def _begin(self, counter: Counter) -> None:
        columns = {column_of(counter.source, name) for name in counter.foreign_key}
        for table in counter.source.tables:
            for constraint in getattr(table, "foreign_key_constraints", ()):
                if set(constraint.columns) == columns and acts_on_delete(constraint):
                    self._add(constraint)

    def _add(self, constraint: ForeignKeyConstraint) -> None:
        parent = constraint.referred_table
        if constraint in self._edges[parent]:
            return
        self._edges[parent].append(constraint)
        for above in parent.foreign_key_constraints:
            if cascades(above):
                self._add(above)

    def is_needed_for(self, mapper: Mapper[Any]) -> bool:
        """Return whether rows count for rows of `mapper`, and go with them."""
        return any(table in mapper.tables for table in self._edges)

    def lock(
        self,
        connection: Connection,
        mapper: Mapper[Any],
        keys: Sequence[Key] | Select[Any],
        parameters: Any = None,
    ) -> None:
        """Lock what counts for the rows of `mapper` with these keys, before the rows themselves.

        :param keys: primary keys, or a query for them.
        :param parameters: those of the query.
        """
        tables = [table for table in self._edges if table in mapper.tables]
        if not tables or connection.dialect.name == "sqlite":
            return
        if isinstance(keys, Select):
            pieces: Iterable[Any] = [keys]
        else:
            pieces = chunks(keys, len(mapper.primary_key))
        for piece in pieces:
            for table in tables:
                for statement in self._statements(table, piece, (table,)):
                    connection.execute(statement, parameters or {})

    def _statements(
        self, table: Table, keys: Any, path: tuple[Table, ...]
    ) -> Iterator[Select[Any]]:
        for constraint in self._edges.get(table, ()):
            child = constraint.table
            refers = _referring(constraint, keys)
            own = list(child.primary_key)
            if child not in path and cascades(constraint):
                yield from self._statements(child, select(*own).where(refers), (*path, child))
            order = lock_order(child, own)
            rows: Any = (
                select(literal_column("1")).where(refers).order_by(*order).select_from(child)
            )
            yield select(func.count()).select_from(rows.with_for_update().subquery())


def _referring(constraint: ForeignKeyConstraint, keys: Any) -> ColumnElement[bool]:
    """Return the condition that a row refers to one of the rows with `keys`."""
    foreign = [element.parent for element in constraint.elements]
    referred = [element.column for element in constraint.elements]
    key = list(constraint.referred_table.primary_key)
    if referred == key:
        return in_keys(foreign, keys)
    return in_keys(foreign, select(*referred).where(in_keys(key, keys)))
