"""The foreign keys along which the database itself deletes or detaches counted rows.

When a thread is deleted, the database deletes its comments (``ON DELETE CASCADE`` or ``SET NULL``)
without an event; yet their authors have one comment less. :mod:`.unit_of_work.cascades` counts
them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ForeignKeyConstraint, Table

from ..declarations.copied_relation import ColumnTracker, ForeignKeyTracker
from ..declarations.counter import Counter
from ..declarations.mapped_rows import column_of
from .source import Source


def acts_on_delete(
    constraint: ForeignKeyConstraint,
    actions: tuple[str, ...] = ("CASCADE", "SET NULL", "SET DEFAULT"),
) -> bool:
    """Return whether ``ON DELETE`` of a foreign key is one of `actions`."""
    return (constraint.ondelete or "").upper() in actions


def cascades(constraint: ForeignKeyConstraint) -> bool:
    """Return whether the database deletes the rows that refer to a deleted row."""
    return acts_on_delete(constraint, ("CASCADE",))


class Cascades:
    """The foreign keys along which a deletion reaches counted rows.

    A foreign key whose rows count for nothing but the row that is deleted is left out:
    those counters go with their parent.
    """

    def __init__(self, sources: Iterable[Source]) -> None:
        self.sources: dict[Table, list[Source]] = defaultdict(list)
        """By a table: the sources whose rows it stores."""
        for source in sources:
            for table in source.mapper.tables:
                if isinstance(table, Table):
                    self.sources[table].append(source)
        self.edges: dict[Table, list[ForeignKeyConstraint]] = defaultdict(list)
        """By the table that is referred to."""
        for table in list(self.sources):
            self._climb(table, first=True)

    def _climb(self, table: Table, *, first: bool) -> None:
        for constraint in table.foreign_key_constraints:
            if not (acts_on_delete(constraint) if first else cascades(constraint)):
                continue
            parent = constraint.referred_table
            if constraint in self.edges[parent] or not self._matters(table, constraint):
                continue
            self.edges[parent].append(constraint)
            self._climb(parent, first=False)

    def _matters(self, table: Table, constraint: ForeignKeyConstraint) -> bool:
        columns = set(constraint.columns)
        stays = not cascades(constraint)
        counters = (c for source in self.sources.get(table, ()) for c in source.counters)
        return bool(self.edges.get(table)) or any(
            _columns(c) != columns or (stays and isinstance(c, ForeignKeyTracker))
            for c in counters
            if not isinstance(c, ColumnTracker)
        )

    def starts(self) -> list[Table]:
        """Return the tables whose deletions reach counted rows."""
        return [table for table, edges in self.edges.items() if edges]

    def reaches_from(self, tables: Iterable[Any]) -> bool:
        """Return whether deleting rows of `tables` may change counters elsewhere."""
        return any(self.edges.get(table) for table in tables)


def _columns(counter: Counter) -> set[Any]:
    return {column_of(counter.source, name) for name in counter.foreign_key}
