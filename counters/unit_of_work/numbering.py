"""Number the rows of a flush or a statement, under the locks of their parents.

A flush numbers its new and its moved objects before it writes them: it locks their parents, unless
the session has done so in this transaction (:meth:`.Counters.lock`, :meth:`.Counters.record_lock`,
or an earlier flush). Rows of statements, and objects that have come into a flush since, are
numbered at its end. Numbers are in the order of commits, since a parent is locked until the commit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy.orm import InstanceState
from sqlalchemy.orm.attributes import instance_state

from ..declarations.mapped_rows import Key, RowValues, counts_as
from ..declarations.number import Number
from ..declarations.object_state import identity, is_expression, key_of
from ..registry.source import Source
from ..session.number_protection import set_number
from ..sql.tree_locks import TreeRows, lock_tree
from .pending_changes import PendingChanges
from .self_references import future_key, locks_trees

Place: TypeAlias = Key | InstanceState[Any] | None
"""A stored parent by its key, or a new one by its state."""
Places: TypeAlias = dict[Place, list[InstanceState[Any]]]
Moves: TypeAlias = Sequence[tuple[Source, InstanceState[Any], RowValues | None]]
"""Objects that a flush changes, each with its row under its lock."""


def number_objects(pending_changes: PendingChanges, changed: Moves) -> None:
    """Number the new objects of a flush in the order of their insertion, and those that move."""
    waiting: dict[Number, Places] = {}
    for counter in pending_changes.registry.numbers:
        if places := _find_unnumbered(pending_changes, counter, changed):
            waiting[counter] = places
    if waiting:
        _lock_parents_of_trees(pending_changes, waiting)
    for counter, places in waiting.items():
        amounts = {
            place: len(states) for place, states in places.items() if isinstance(place, tuple)
        }
        lasts = pending_changes.numbers.take(counter, amounts)
        for place, states in places.items():
            last = lasts.get(place) if isinstance(place, tuple) else 0
            is_numbered = place is not None and last is not None
            for number, state in enumerate(states, 1 + (last or 0)):
                set_number(counter, state, number if is_numbered else None)
                if isinstance(place, tuple):
                    pending_changes.numbers.record_given(counter, state, place)
                pending_changes.session_state.numbered.append((state, counter.of.key))


def _find_unnumbered(pending_changes: PendingChanges, counter: Number, changed: Moves) -> Places:
    """Return the objects that a flush has to number, by the parent that they will have."""
    session, session_state = pending_changes.session, pending_changes.session_state
    states = list(map(instance_state, session.new))
    mappers = {state.mapper for state in states}
    sources = {mapper for mapper in mappers if counts_as(mapper, counter.source)}
    parents = {mapper for mapper in mappers if counts_as(mapper, counter.parent)}
    new = [state for state in states if state.mapper in sources]
    if not new and not changed:
        return {}
    new_parents = {
        key_of(counter.parent, state): state for state in states if state.mapper in parents
    }
    places: Places = defaultdict(list)
    for state in sorted(new, key=lambda state: state.insert_order or 0):
        if not _will_count(counter, state, None):
            continue
        places[_place(counter, state, new_parents)].append(state)
    deleted = session.deleted
    for source, state, row in changed:
        if row is None or counter not in source.counters or state.obj() in deleted:
            continue
        place = _place(counter, state, new_parents)
        moves = place != counter.named_parent(row) and _moves(counter, state, place)
        counts = _will_count(counter, state, row)
        is_first = counts and not moves and row[counter.of.key] is None and not counter.counts(row)
        if moves or is_first:
            # As the lock shows it: the ORM writes no number that memory has already.
            session_state.show(state, counter.of.key, row[counter.of.key])
            parent = place if moves else counter.named_parent(row)
            places[parent if counts else None].append(state)
    return places


def _will_count(counter: Number, state: InstanceState[Any], row: RowValues | None) -> bool:
    """Return whether an object meets the condition after the flush, as memory knows it.

    What an UPDATE does not write is as in its `row`, and what the database computes is numbered at
    the end of the flush.
    """
    if counter.where is None:
        return True
    values = dict(counter.values_of(state) if row is None else row)
    if row is not None:
        written = counter.tracked & state.committed_state.keys() & state.dict.keys()
        values |= {name: state.dict[name] for name in written}
    for value in values.values():
        if is_expression(value):
            return False
    return counter.counts(values)


def _moves(counter: Number, state: InstanceState[Any], place: Place) -> bool:
    """Return whether the UPDATE of a stored object will write the key of `place`.

    A key that is as it was loaded is not written, though others may have moved the row since.
    """
    if {counter.relationship.key, *counter.foreign_key}.isdisjoint(state.committed_state):
        return False
    loaded = {**state.dict, **state.committed_state}
    is_loaded = all(part in loaded for part in counter.foreign_key)
    return not is_loaded or place != counter.named_parent(loaded)


def _place(
    counter: Number, state: InstanceState[Any], new_parents: Mapping[Key, InstanceState[Any]]
) -> Place:
    """Return the parent that an object will have after the flush, as memory knows it."""
    name, memory = counter.relationship.key, state.dict
    if name in state.committed_state:
        obj = memory.get(name)
        if obj is None:
            return None
        parent = instance_state(obj)
        return parent if parent.key is None else identity(parent)
    key = counter.key_in_memory(memory, {})
    return key if key is None or not new_parents else new_parents.get(key, key)


def _lock_parents_of_trees(
    pending_changes: PendingChanges, waiting: Mapping[Number, Places]
) -> None:
    """Lock the rows of their own table that new objects will count for: before their parents."""
    for source in pending_changes.registry.sources.values():
        connection = pending_changes.connection(source.mapper) if source.self_references else None
        if connection is None or not locks_trees(connection, source):
            continue
        states = (
            state
            for counter, places in waiting.items()
            if counter.source is source.mapper
            for states in places.values()
            for state in states
        )
        rows = TreeRows()
        for state in states:
            for reference in source.self_references:
                if (key := future_key(reference.counter, state)) is not None:
                    rows.joined.append(key)
        if rows.joined:
            lock_tree(connection, source.mapper, (), source.self_references, rows)
