"""Lock changed rows together with the rows of their own table that they count for."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import InstanceState, Session
from sqlalchemy.orm.attributes import instance_state

from ..declarations.counter import Counter
from ..declarations.mapped_rows import Key, RowValues
from ..declarations.object_state import identity
from ..registry.source import Source
from ..sql.rows import read
from ..sql.tree_locks import TreeRows, lock_tree


def locks_trees(connection: Connection, source: Source) -> bool:
    """Return whether rows of `source` are locked together with those that they count for."""
    return bool(source.self_references) and connection.dialect.name != "sqlite"


def lock_deleted_rows(
    connection: Connection, source: Source, keys: Sequence[Key]
) -> dict[Key, RowValues]:
    """Lock rows that the database is about to delete or detach; return their values."""
    if not locks_trees(connection, source):
        return read(connection, source.mapper, source.names, keys, lock=True, deleting=True)
    leaving = {reference: list(keys) for reference in source.self_references}
    rows = lock_tree(
        connection,
        source.mapper,
        source.names,
        source.self_references,
        TreeRows(deleted=list(keys), leaving=leaving),
    )
    return {key: rows[key] for key in keys if key in rows}


def lock_changed_rows(
    connection: Connection,
    source: Source,
    session: Session,
    states: Sequence[InstanceState[Any]],
    deleted: Collection[InstanceState[Any]],
) -> dict[Key, RowValues]:
    """Lock the rows of objects that a flush changes, with those that they count for.

    Those that the flush's new objects will count for are among them, so that the flush locks all
    at once.

    :param deleted: which of the objects are deleted.
    :returns: the values of the objects' rows.
    """
    rows = TreeRows()
    for state in states:
        (rows.deleted if state in deleted else rows.edited).append(identity(state))
    for reference in source.self_references:
        rows.leaving[reference] = [
            identity(state)
            for state in states
            if state in deleted or source.is_touched(state, reference.names)
        ]
        for state in chain(states, _new_rows(session, source)):
            key = future_key(reference.counter, state)
            if key is not None and state not in deleted:
                rows.joined.append(key)
    stored = lock_tree(connection, source.mapper, source.names, source.self_references, rows)
    return {key: stored[key] for key in map(identity, states) if key in stored}


def lock_rows_by_key(
    connection: Connection, source: Source, keys: Sequence[Key], values: Any
) -> dict[Key, RowValues]:
    """Lock the rows that a list of parameters updates, with those that they count for.

    :param values: the parameters.
    """
    rows = TreeRows(edited=list(keys))
    for reference in source.self_references:
        rows.leaving[reference] = list(keys)
        named = (tuple(row.get(name) for name in reference.foreign_key) for row in values)
        rows.joined += [key for key in named if None not in key]
    stored = lock_tree(connection, source.mapper, source.names, source.self_references, rows)
    return {key: stored[key] for key in keys if key in stored}


def _new_rows(session: Session, source: Source) -> Iterator[InstanceState[Any]]:
    states = map(instance_state, session.new)
    return (state for state in states if state.mapper.local_table is source.mapper.local_table)


def future_key(counter: Counter, state: InstanceState[Any]) -> Key | None:
    """Return the key of the stored row that an object has come to point to, as memory knows it."""
    name = counter.relationship.key
    if name in state.committed_state:
        pointed = state.dict.get(name)
        key = None if pointed is None else instance_state(pointed).key
        return None if key is None else tuple(key[1])
    if state.committed_state.keys().isdisjoint(counter.foreign_key):
        return None
    return counter.key_in_memory(state.dict, {})
