"""Count what the database itself deletes or detaches: ``ON DELETE CASCADE`` and ``SET NULL``.

Before a DELETE the rows that it will reach are locked and read, level by level along the foreign
keys. After it they are read again, and the difference is counted, whatever the database did to
them.

The parents are locked before that, in a statement of their own. An insert of a comment takes a
share lock on its thread's key, so after that no new row can be reached unseen. (Existing rows were
locked before the parents: :mod:`.deletion_lock_order`.)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, ForeignKeyConstraint, Table, select
from sqlalchemy.orm import Mapper

from ..declarations.mapped_rows import Key
from ..registry.cascades import Cascades, cascades
from ..sql.rows import chunks, in_keys, lock_order
from .pending_changes import PendingChanges
from .self_references import lock_deleted_rows


def reach(
    pending_changes: PendingChanges,
    mapper: Mapper[Any],
    keys: list[Key],
    counted: Collection[tuple[Any, Key]],
) -> None:
    """Lock and read what deleting the rows `keys` of `mapper` will reach.

    :param counted: rows that are counted otherwise, as table and key.
    """
    graph = pending_changes.registry.cascades
    connection = pending_changes.connection(mapper)
    _lock_parents(pending_changes, connection, mapper, keys)
    reached = set(counted)
    level: dict[Any, list[Key]] = {t: keys for t in mapper.tables if t in graph.edges}
    while level:
        following: dict[Any, list[Key]] = defaultdict(list)
        for table, deleted in level.items():
            for constraint in graph.edges.get(table, ()):
                child = constraint.table
                children = [
                    key
                    for key in _children(connection, graph, constraint, deleted)
                    if (child, key) not in reached
                ]
                reached.update((child, key) for key in children)
                _read_sources(pending_changes, child, children)
                if cascades(constraint) and graph.edges.get(child):
                    following[child] += children
        level = {table: keys for table, keys in following.items() if keys}


def _lock_parents(
    pending_changes: PendingChanges, connection: Connection, mapper: Mapper[Any], keys: list[Key]
) -> None:
    own = list(mapper.local_table.primary_key)
    locked_rows = pending_changes.session_state.locked_rows
    unlocked = [
        key for key in keys if not locked_rows.is_marked_for_deletion(mapper, key, connection)
    ]
    for batch in chunks(unlocked, len(own)):
        order = lock_order(mapper.base_mapper.local_table, own)
        lock = select(*own).where(in_keys(own, batch)).order_by(*order).with_for_update()
        connection.execute(lock).all()


def _children(
    connection: Connection, graph: Cascades, constraint: ForeignKeyConstraint, keys: list[Key]
) -> list[Key]:
    referred = [element.column for element in constraint.elements]
    foreign = [element.parent for element in constraint.elements]
    parent_key = list(constraint.referred_table.primary_key)
    own = list(constraint.table.primary_key)
    if referred != parent_key:
        values = (
            connection.execute(select(*referred).where(in_keys(parent_key, batch)))
            for batch in chunks(keys, len(parent_key))
        )
        keys = [tuple(row) for rows in values for row in rows if None not in row]
    children: list[Key] = []
    for batch in chunks(keys, len(foreign)):
        order = lock_order(constraint.table, own)
        statement = select(*own).where(in_keys(foreign, batch)).order_by(*order)
        if graph.edges.get(constraint.table):  # nothing may come to refer to them either
            statement = statement.with_for_update()
        children += [tuple(row) for row in connection.execute(statement)]
    return children


def _read_sources(pending_changes: PendingChanges, table: Table, keys: list[Key]) -> None:
    sources = pending_changes.registry.cascades.sources.get(table, ())
    for source in sources if keys else ():
        connection = pending_changes.connection(source.mapper)
        for key, row in lock_deleted_rows(connection, source, keys).items():
            pending_changes.read_later(source, key, row)
