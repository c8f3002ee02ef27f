"""What the database removes or detaches by itself: ``ON DELETE CASCADE`` and ``SET NULL``.

When a thread is deleted, the database deletes its comments, and no event tells of
them; yet their authors have one comment less. So before the DELETE the rows that it
will reach are locked and read, level by level along the foreign keys, and after it they
are read again: what they have turned to is counted, whatever the database did to them.

The parents are locked before that, in a statement of their own. An insert of a comment
takes a share of its thread's key, so after that lock no new row can come to be reached
unseen. (What is there already was locked ahead of the parents: :mod:`.deletion_lock_order`.)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from sqlalchemy import ForeignKeyConstraint, Table, select
from sqlalchemy.orm import Mapper

from ..declarations.copied_relation import ColumnTracker, ForeignKeyTracker
from ..declarations.counter import Counter, Key
from ..sql.rows import chunks, in_keys, read
from .source import Source

if TYPE_CHECKING:
    from ..unit_of_work.pending_changes import PendingChanges

Gone = Collection[tuple[Any, Key]]


class Cascades:
    """The foreign keys along which a deletion reaches counted rows.

    A foreign key whose rows count for nothing but the row that is deleted is left out:
    those counters go with their parent.
    """

    def __init__(self, sources: Iterable[Source]) -> None:
        self._sources: dict[Table, list[Source]] = defaultdict(list)
        for source in sources:
            for table in source.mapper.tables:
                if isinstance(table, Table):
                    self._sources[table].append(source)
        self._edges: dict[Table, list[ForeignKeyConstraint]] = defaultdict(list)
        for table in list(self._sources):
            self._climb(table, first=True)

    def _climb(self, table: Table, *, first: bool) -> None:
        for constraint in table.foreign_key_constraints:
            action = (constraint.ondelete or "").upper()
            if action not in ("CASCADE", "SET NULL", "SET DEFAULT"):
                continue
            if not first and action != "CASCADE":
                continue
            parent = constraint.referred_table
            if constraint in self._edges[parent] or not self._matters(table, constraint):
                continue
            self._edges[parent].append(constraint)
            self._climb(parent, first=False)

    def _matters(self, table: Table, constraint: ForeignKeyConstraint) -> bool:
        columns = set(constraint.columns)
        stays = (constraint.ondelete or "").upper() != "CASCADE"
        counters = (c for source in self._sources.get(table, ()) for c in source.counters)
        return bool(self._edges.get(table)) or any(
            _columns(c) != columns or (stays and isinstance(c, ForeignKeyTracker))
            for c in counters
            if not isinstance(c, ColumnTracker)
        )

    def starts(self) -> list[Table]:
        """The tables whose deletions reach counted rows."""
        return [table for table, edges in self._edges.items() if edges]

    def reaches_from(self, tables: Iterable[Any]) -> bool:
        """Whether deleting rows of `tables` may change counters elsewhere."""
        return any(self._edges.get(table) for table in tables)

    def reach(
        self, pending_changes: PendingChanges, mapper: Mapper[Any], keys: list[Key], gone: Gone
    ) -> None:
        """Lock and read what deleting the rows `keys` of `mapper` will reach.

        :param gone: rows that are counted otherwise, as table and key.
        """
        connection = pending_changes.connection(mapper)
        own = list(mapper.local_table.primary_key)
        held = pending_changes.ledger.held
        unlocked = [key for key in keys if not held.is_to_go(mapper, key, connection)]
        for some in chunks(unlocked, len(own)):
            lock = select(*own).where(in_keys(own, some)).order_by(*own).with_for_update()
            connection.execute(lock).all()
        seen = set(gone)
        level: dict[Any, list[Key]] = {t: keys for t in mapper.tables if t in self._edges}
        while level:
            following: dict[Any, list[Key]] = defaultdict(list)
            for table, deleted in level.items():
                for constraint in self._edges.get(table, ()):
                    child = constraint.table
                    found = [
                        key
                        for key in self._children(connection, constraint, deleted)
                        if (child, key) not in seen
                    ]
                    seen.update((child, key) for key in found)
                    self._expect(pending_changes, child, found)
                    if (constraint.ondelete or "").upper() == "CASCADE" and self._edges.get(child):
                        following[child] += found
            level = {table: keys for table, keys in following.items() if keys}

    def _children(
        self, connection: Any, constraint: ForeignKeyConstraint, keys: list[Key]
    ) -> list[Key]:
        referred = [element.column for element in constraint.elements]
        foreign = [element.parent for element in constraint.elements]
        parent_key = list(constraint.referred_table.primary_key)
        own = list(constraint.table.primary_key)
        if referred != parent_key:
            values = (
                connection.execute(select(*referred).where(in_keys(parent_key, some)))
                for some in chunks(keys, len(parent_key))
            )
            keys = [tuple(row) for rows in values for row in rows if None not in row]
        found: list[Key] = []
        for some in chunks(keys, len(foreign)):
            children = select(*own).where(in_keys(foreign, some)).order_by(*own)
            if self._edges.get(constraint.table):  # nothing may come to refer to them either
                children = children.with_for_update()
            found += [tuple(row) for row in connection.execute(children)]
        return found

    def _expect(self, pending_changes: PendingChanges, table: Table, keys: list[Key]) -> None:
        for source in self._sources.get(table, ()) if keys else ():
            connection = pending_changes.connection(source.mapper)
            images = read(connection, source.mapper, source.names, keys, lock=True, deleting=True)
            for key, image in images.items():
                pending_changes.read_later(source, key, image)


def _columns(counter: Counter) -> set[Any]:
    return {counter.source.column_attrs[name].columns[0] for name in counter.foreign_key}
