"""Write the changes of rows to counters, at the end of a flush or of a counted statement.

The parents' tables are written in one fixed order, the inner counters of a chain first, so that the
new value of a thread's counter is passed on to its forum at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import InstanceState, Mapper, Session
from sqlalchemy.orm.attributes import instance_state

from ..declarations.change import Change
from ..declarations.copied_relation import CopiedRelation, record_difference
from ..declarations.counter import Counter
from ..declarations.dependent_columns import generated_names, read_names
from ..declarations.mapped_rows import Key, RowValues
from ..registry.counter_registry import CounterRegistry
from ..registry.source import Source
from ..session.binds import only_bind, write_connection
from ..session.state import SessionState
from ..sql.copies import Answers, lock_copies, refresh_copies
from ..sql.counter_updates import write
from ..sql.rows import read
from .counting import count_row
from .numbers import Numbers, is_unnumbered


class PendingChanges:
    """The changes of rows, until they are written to the rows' parents."""

    def __init__(
        self, registry: CounterRegistry, session_state: SessionState, session: Session
    ) -> None:
        self.registry = registry
        self.session_state = session_state
        self.session = session
        self.deleted_parents: set[tuple[Mapper[Any], Key]] = set()
        """Parents that the database has deleted, and their counters with them.

        It spares an UPDATE that would find no row. A parent that a trigger or a listener may have
        kept is not among them: it is written to, and where it is gone, nothing happens.
        """
        self.is_shared = False
        """Whether it is of a statement whose listeners have executed others that are counted."""
        self.row_connection: Connection | None = None
        """The connection that the last rows were written on."""
        self._connection: Connection | None = None
        """The connection of a session that writes everything to one database."""
        self.inserted_states: dict[tuple[Mapper[Any], Key], InstanceState[Any]] = {}
        """Parents that were inserted, which the session's identity map does not know yet."""
        self._changes: dict[Mapper[Any], dict[Key, Change]] = defaultdict(
            lambda: defaultdict(Change)
        )
        self._unread: dict[Source, dict[Key, RowValues | None]] = defaultdict(dict)
        self._stale: dict[tuple[Mapper[Any], Mapper[Any]], dict[Key, InstanceState[Any]]] = {}
        """Objects that show what is to be read, by their class and the one with the counters."""

    @cached_property
    def numbers(self) -> Numbers:
        """The numbers that the rows take."""
        return Numbers(self.registry, self.session_state, self.session)

    def connection(self, mapper: Mapper[Any]) -> Connection:
        """Return the session's own connection; executing on it cannot re-enter the flush."""
        connection = self._connection
        if connection is None:
            has_one_bind = only_bind(self.session) is not None
            connection = self.row_connection if has_one_bind else None
            if connection is None:
                connection = write_connection(self.session, mapper, self.registry.partners)
            if has_one_bind:
                self._connection = connection
        return connection

    def count(self, source: Source, old: RowValues | None, new: RowValues | None) -> None:
        """Enter that a row of `source` has changed from `old` to `new`; None stands for no row."""
        count_row(self._changes, source.groups, old, new)

    def count_or_read(
        self, source: Source, key: Key, old: RowValues | None, new: RowValues | None
    ) -> None:
        """Count a row, unless it will be read later and counted then."""
        if not any(s.mapper is source.mapper and key in rows for s, rows in self._unread.items()):
            self.count(source, old, new)

    def read_later(self, source: Source, key: Key, old: RowValues | None) -> None:
        """Schedule a row that was `old` to be read and counted before the changes are written."""
        self._unread[source].setdefault(key, old)

    def change_of(self, mapper: Mapper[Any], key: Key) -> Change:
        """Return the change of one parent, which is created if there is none."""
        return self._changes[mapper][key]

    def detached(self, relation: CopiedRelation) -> list[Key]:
        """Return the keys of the rows that have ceased to point where they did."""
        keys: dict[Key, None] = {}
        for change in self._changes[relation.source].values():
            keys |= dict.fromkeys((change.detached or {}).get(relation.pointer, ()))
        return [key for key in keys if (relation.holder, key) not in self.deleted_parents]

    def write_pending_changes(self) -> None:
        """Write all changes, and show what the database answers."""
        for source, rows in self._unread.items():
            connection = self.connection(source.mapper)
            stored_rows = read(connection, source.mapper, source.names, list(rows), lock=False)
            for key, old in rows.items():
                new = stored_rows.get(key)
                if source.numbers and is_unnumbered(source, old, new) and new is not None:
                    self.numbers.add(source, key, old, new)
                else:
                    self.count(source, old, new)
            missing = rows.keys() - stored_rows.keys()
            if missing and source.self_references:
                self.deleted_parents.update((source.mapper.base_mapper, key) for key in missing)
        for source, key, old, new in self.numbers.store() if self.registry.numbers else ():
            self.count(source, old, new)
            self._show_numbers(source, key, new)
        for mapper in self.registry.parents:
            changes = self._changes_to_write(mapper) if mapper in self._changes else {}
            if changes and self.session_state.paused is not None:
                self.session_state.paused[mapper].update(changes)
            elif changes:
                self._write(mapper, changes)
            for relation in self.registry.copied_relations.get(mapper, ()):
                self._update_copies(relation, changes)
        self.show_dependents()
        self.end_previews()

    def _changes_to_write(self, mapper: Mapper[Any]) -> dict[Key, Change]:
        changes = self._changes[mapper]
        if all(changes.values()) and not self.deleted_parents:
            return changes  # A key takes its time to be hashed.
        deleted = self.deleted_parents
        return {k: change for k, change in changes.items() if change and (mapper, k) not in deleted}

    def end_previews(self) -> None:
        """Take back the previews that nothing has confirmed."""
        self.session_state.discard_previews(self.session)

    def _show_numbers(self, source: Source, key: Key, row: RowValues) -> None:
        mapper = source.mapper
        state = self.inserted_states.get((mapper, key))
        if state is None:
            obj = self.session.identity_map.get(mapper.identity_key_from_primary_key(key))
            if obj is None:
                return
            state = instance_state(obj)
        for counter in source.numbers:
            self.session_state.show(state, counter.of.key, row[counter.of.key])
            self.session_state.numbered.append((state, counter.of.key))

    def _write(self, mapper: Mapper[Any], changes: dict[Key, Change]) -> None:
        counters = self.registry.counters_of(mapper)
        chained = self.registry.chained(mapper)
        also = self.registry.dependencies_on(mapper)
        answers = write(self.connection(mapper), mapper, counters, changes, also)
        for key, answer in answers.items():
            for outer, inner in chained.items():
                self.pass_on(outer, inner, changes[key], answer)
            self.show(mapper, key, answer)

    def _update_copies(self, relation: CopiedRelation, changes: Mapping[Key, Change]) -> None:
        """Update the copies of rows that have just been written.

        :param changes: what was done to those rows.
        """
        holder, registry = relation.holder, self.registry
        keys = [key for key, change in changes.items() if relation.concerns(change)]
        detached = self.detached(relation)
        if self.session_state.paused is not None:  # those that point elsewhere are found at its end
            self.session_state.paused[holder].update(dict.fromkeys(detached))
            return
        if not keys and not detached:
            return
        chained = {o: i for o, i in registry.chained(holder).items() if i in relation.counters}
        counters = registry.counters_of(holder)
        names = [c.key for c in counters] + [name for outer in chained for name in outer.tracked]
        names += generated_names(holder, counters)
        connection = self.connection(holder)
        old: Answers = {}
        if chained or (len(keys) + len(detached) > 1 and connection.dialect.name != "sqlite"):
            old = lock_copies(connection, relation, keys, detached)
        for key, answer in refresh_copies(connection, relation, keys, detached, names).items():
            change = Change()
            if key in old:
                for inner in {*chained.values()}:
                    record_difference(inner, old[key][inner.key], answer[inner.key], change)
                for outer, inner in chained.items():
                    self.pass_on(outer, inner, change, answer)
            self.show(holder, key, answer)

    def pass_on(self, outer: Counter, inner: Counter, change: Change, answer: RowValues) -> None:
        """Pass the change of the source's own counter on to the next counter of the chain."""
        parent = outer.parent_key(answer)
        if parent is not None:
            outer.pass_on(inner, change, answer[inner.key], self._changes[outer.parent][parent])

    def show(self, mapper: Mapper[Any], key: Key, answer: RowValues) -> None:
        """Show what the database holds in memory, where the parent is loaded.

        :param answer: the counters and what is generated from them, by attribute name.
        """
        counters = self.registry.counters_of(mapper)
        values = {counter.key: answer[counter.key] for counter in counters}
        self.session_state.record_written(mapper, key, values, counters)
        state = self.inserted_states.get((mapper, key)) if self.inserted_states else None
        if state is None:
            identity = mapper.identity_key_from_primary_key(key)
            parent = self.session.identity_map.get(identity)
            # A relationship to a subclass may have led to a row of its base.
            if not isinstance(parent, mapper.class_):
                self.session_state.record_unloaded(identity)
                return
            state = instance_state(parent)
        self.session_state.forget_preview(state)
        if any(_shows(state, name) for name in read_names(state.mapper, mapper, counters)):
            self._stale.setdefault((state.mapper, mapper), {})[key] = state
        for name, value in values.items():
            self.session_state.show(state, name, value)
        for name in generated_names(mapper, counters):
            if name in state.dict:
                self.session_state.show(state, name, answer[name])

    def show_dependents(self) -> None:
        """Read and show what the database has made of the counters, now that all is written."""
        for (mapper, parent), states in self._stale.items():
            dependent = read_names(mapper, parent, self.registry.counters_of(parent))
            names = [n for n in dependent if any(_shows(state, n) for state in states.values())]
            rows = read(self.connection(mapper), mapper, names, list(states), lock=False)
            for key, row in rows.items():
                for name in row:
                    if _shows(states[key], name):
                        self.session_state.show(states[key], name, row[name])
        self._stale.clear()


def _shows(state: InstanceState[Any], name: str) -> bool:
    """Return whether an object shows an attribute, or did until the flush.

    The flush expires the expressions of an object that it has looked at.
    """
    return name in state.dict or (not state.expired and name in state.expired_attributes)
