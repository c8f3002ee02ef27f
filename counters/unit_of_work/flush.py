"""The changes of counted rows by one flush, up to one UPDATE a parent table.

The order of a flush:

1. ``before_flush``: the rows that will be edited, moved or deleted are locked and read
   (:mod:`.rows`). An insert costs nothing here.
2. ``before_insert`` of a new parent: its counters are set to what its new sources amount to, so
   that its INSERT has the right values.
3. ``after_insert``, ``after_update``, ``after_delete`` of a source: the difference between the new
   row and the row under its lock is entered. ``before_delete`` of rows from which the database's
   own cascades start: the rows that they reach are locked, and read again at the end
   (:mod:`.cascades`).
4. ``after_flush``: the differences are written, and the returned values are shown
   (:mod:`.pending_changes`, :mod:`.counter_updates`).

Step 2 is an estimate, which step 3 corrects: the initial values are subtracted from the
differences.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import starmap
from operator import attrgetter
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.orm import InstanceState, Mapper, Session, UOWTransaction
from sqlalchemy.orm.attributes import instance_state
from sqlalchemy.orm.base import NO_VALUE

from ...errors import UncountedStatementError
from ..declarations.change import Change
from ..declarations.counter import Counter
from ..declarations.kinds import Additive, Extreme
from ..declarations.mapped_rows import Key, RowValues, counts_as, key_names
from ..declarations.object_state import identity, key_of, takes_over_row
from ..registry.counter_registry import CounterRegistry
from ..registry.source import Source
from ..session.binds import write_bind
from ..session.state import SessionState
from ..sql.rows import read
from .cascades import reach
from .counting import NewRows
from .deletions import Deletions
from .locking import lock_children_first, lock_referenced_rows
from .numbering import number_objects
from .numbers import is_unnumbered
from .pending_changes import PendingChanges
from .self_references import lock_changed_rows, locks_trees

Pair = tuple[Source, InstanceState[Any]]


class Flush(PendingChanges):
    """The changes of counted rows by one flush of one session."""

    def __init__(
        self,
        registry: CounterRegistry,
        session_state: SessionState,
        session: Session,
        context: UOWTransaction,
    ) -> None:
        super().__init__(registry, session_state, session)
        self.context = context
        self._locked: dict[tuple[Source, Key], RowValues | None] = {}
        self._read: list[tuple[Source, InstanceState[Any], RowValues | None]] = []
        """The objects to edit or delete, each with its row under its lock."""
        self._changed: dict[InstanceState[Any], frozenset[str]] = {}
        self._inserted_parents: list[
            tuple[Mapper[Any], InstanceState[Any], dict[Counter, Any]]
        ] = []
        self._contributions: dict[tuple[Counter, Any], list[Any]] | None = None
        self._reached: set[Mapper[Any]] = set()
        self._dialects: dict[Mapper[Any], Dialect] = {}
        self._new_rows = NewRows()
        self.deletions = Deletions()

    def dialect(self, mapper: Mapper[Any]) -> Dialect:
        """Return the dialect of the database that holds the rows of `mapper`."""
        if mapper not in self._dialects:
            self._dialects[mapper] = write_bind(self.session, mapper).dialect
        return self._dialects[mapper]

    # Sources

    def lock_changed_rows(self) -> None:
        """Lock the rows that are known before the flush to be edited, moved or deleted."""
        # The properties search, and make sets of their own, each time.
        all_deleted = self.session.deleted if self.session._deleted else ()
        dirty = self.session.dirty if self.session.identity_map.check_modified() else ()
        if all_deleted:
            lock_children_first(self.registry, self.session_state, self.session)
        edited = [
            (source, state)
            for obj in dirty
            if (source := self.registry.source_of(state := instance_state(obj)))
            and source.is_touched(state)
        ]
        deleted = [
            (source, state)
            for obj in all_deleted
            if (source := self.registry.source_of(state := instance_state(obj)))
        ]
        if edited or deleted or self.registry.copied_relations:
            self._lock(edited, deleted)
        if self.registry.numbers:
            number_objects(self, self._read)

    def lock_remaining(self, source: Source, state: InstanceState[Any]) -> None:
        """Lock `state`, and all that has come into the flush since it began.

        Orphans, objects whose parent is deleted, and what other listeners have changed.
        """
        if (source, identity(state)) in self._locked:
            return
        edited: list[Pair] = []
        deleted: list[Pair] = []
        for other, (is_delete, list_only) in self.context.states.items():
            other_source = self.registry.source_of(other)
            if other_source is None or other.key is None or list_only:
                continue
            if (other_source, identity(other)) not in self._locked:
                if is_delete:
                    deleted.append((other_source, other))
                elif other_source.is_touched(other):
                    edited.append((other_source, other))
        self._lock(edited, deleted)

    def _lock(self, edited: list[Pair], deleted: list[Pair]) -> None:
        states: dict[Source, list[InstanceState[Any]]] = defaultdict(list)
        for source, state in edited + deleted:
            states[source].append(state)
        gone = {state for _, state in deleted}
        in_order = sorted(states, key=attrgetter("name"))
        for source in in_order:
            if not source.has_copied_relation:
                self._lock_rows(source, states[source], gone)
        if self.registry.copied_relations:
            lock_referenced_rows(self, edited)
        for source in in_order:
            if source.has_copied_relation:
                self._lock_rows(source, states[source], gone)
        for source, state in edited + deleted:
            self._read.append((source, state, self._locked[source, identity(state)]))

    def _lock_rows(
        self,
        source: Source,
        states: Sequence[InstanceState[Any]],
        deleted: Collection[InstanceState[Any]],
    ) -> None:
        connection = self.connection(source.mapper)
        unread: dict[Key, InstanceState[Any]] = {}
        for state in states:
            key = identity(state)
            row = self._locked[source, key] = self.session_state.locked_rows.get(
                source, key, connection
            )
            if row is None:
                unread[key] = state
        if not unread:
            return
        if locks_trees(connection, source):
            objects = list(unread.values())
            rows = lock_changed_rows(connection, source, self.session, objects, deleted)
        else:
            rows = read(
                connection,
                source.mapper,
                source.names,
                list(unread),
                lock=True,
                deleting=bool(deleted),
            )
        self._locked |= {(source, key): row for key, row in rows.items()}

    def inserted(self, source: Source, state: InstanceState[Any]) -> None:
        """Count a row that was inserted."""
        new = source.inserted_values(state, self.dialect)
        if source.numbers and is_unnumbered(source, None, new):
            self.inserted_states[source.mapper, key_of(source.mapper, state)] = state
        elif new is not None and not self._locked and not self._unread:
            self._new_rows.add(source, new)
            return
        self._count_inserted(source, state, new)

    def _count_inserted(
        self, source: Source, state: InstanceState[Any], new: RowValues | None
    ) -> None:
        """Count a new row, which may replace a deleted one with the same key."""
        key = key_of(source.mapper, state)
        self._enter(source, key, self._locked.pop((source, key), None), new)

    def updating(self, source: Source, state: InstanceState[Any]) -> None:
        """Lock a row that is about to be updated."""
        self._changed[state] = source.changed(state)
        if self._changed[state]:
            self.lock_remaining(source, state)

    def updated(self, source: Source, state: InstanceState[Any]) -> None:
        """Count an updated row; columns that the UPDATE did not name are as the lock showed them.

        An SQL expression that was assigned is gone from memory by now, or has been
        replaced by what the database made of it.
        """
        if state.key is None:  # SQLAlchemy has turned a DELETE and an INSERT into one UPDATE
            new = source.written_values(state, source.names, self.dialect)
            self._count_inserted(source, state, new)
            return
        key = identity(state)
        changed = source.changed(state, self._changed.pop(state, frozenset()))
        if not changed:
            return
        if (source, key) not in self._locked:
            raise UncountedStatementError(
                f"{source.mapper.class_.__name__} {key} was changed by a before_update listener "
                f"that runs after the counters': register it before Counters.install()."
            )
        old = self._locked[source, key]
        if old is None:
            return
        written = source.written_values(state, changed, self.dialect)
        new_key = key_of(source.mapper, state)
        new = None if written is None else {**old, **written}
        if new is not None and source.numbers and self.numbers.is_given(source, state, new):
            self.count_or_read(source, new_key, old, new)
        else:
            self._enter(source, new_key, old, new)

    def deleted(self, source: Source, state: InstanceState[Any]) -> None:
        """Count a deleted row, unless it was missing before or a trigger has kept it."""
        key = identity(state)
        old = self._locked.pop((source, key), None)
        if self.deletions.are_complete(source.mapper):
            self.count(source, old, None)
        else:
            self.read_later(source, key, old)

    def _enter(
        self, source: Source, key: Key, old: RowValues | None, new: RowValues | None
    ) -> None:
        if new is None:
            self.read_later(source, key, old)
        elif source.numbers and is_unnumbered(source, old, new):
            self.numbers.add(source, key, old, new)
        else:
            self.count_or_read(source, key, old, new)

    # Parents

    def set_initial_counters(self, mapper: Mapper[Any], state: InstanceState[Any]) -> None:
        """Set the counters of a new parent to what its new sources amount to, before its INSERT."""
        self.session_state.forget_preview(state)
        if self.session.identity_map and takes_over_row(mapper, state):
            key = key_of(mapper, state)
            self.inserted_states[mapper, key] = state
            self.change_of(mapper, key).must_write = True
            return
        if not self._new_contributions():
            self.session_state.show_new(state, self.registry.empty_counters(mapper))
            self._inserted_parents.append((mapper, state, {}))
            return
        counters = self.registry.counters_of(mapper)
        initial = {counter: self._initial(counter, state) for counter in counters}
        shown = {counter.key: value for counter, value in initial.items()}
        self.session_state.show_new(state, shown)
        self._inserted_parents.append((mapper, state, initial))

    def _initial(self, counter: Counter, state: InstanceState[Any]) -> Any:
        contributions = self._new_contributions()
        change = Change()
        for parent in (state, key_of(counter.parent, state)):
            for value in contributions.get((counter, parent), ()):
                counter.increment(change, value)
        if isinstance(counter, Additive):
            return change.added.get(counter, counter.empty)
        return change.new_extreme.get(counter, counter.empty)

    def _new_contributions(self) -> dict[tuple[Counter, Any], list[Any]]:
        """Return the contributions of the flush's new sources to its new parents."""
        if self._contributions is None:
            contributions = self._contributions = defaultdict(list)
            classes = {type(obj) for obj in self.session.new}
            parents = {
                mapper
                for mapper in self.registry.parents
                if any(issubclass(class_, mapper.class_) for class_ in classes)
            }
            for obj in self.session.new:
                state = instance_state(obj)
                source = self.registry.source_of(state)
                for counters in source.previewed_groups if source else ():
                    if counters[0].parent in parents:
                        self._contribute(contributions, counters, state)
        return self._contributions

    def _contribute(
        self,
        contributions: dict[tuple[Counter, Any], list[Any]],
        counters: Sequence[Counter],
        state: InstanceState[Any],
    ) -> None:
        """Enter what a new source contributes to a parent that may be new.

        :param counters: some that share a relationship.
        """
        at = counters[0].parent_in_memory(state)
        for counter in counters if at is not None else ():
            row = counter.values_of(state)
            if counter.counts(row) and counter.is_exact(row, self.dialect(counter.source)):
                contributions[counter, at].append(counter.value(row))

    def refuse_new_key(self, mapper: Mapper[Any], state: InstanceState[Any]) -> None:
        """Refuse to change the key of a parent, whose sources the database would move along."""
        changed = [name for name in key_names(mapper) if name in state.committed_state]
        if any(state.attrs[name].history.deleted for name in changed):
            raise UncountedStatementError(
                f"The primary key of {mapper.class_.__name__} {identity(state)} was changed; "
                f"make a new one and move its rows there."
            )

    # What is deleted

    def mark_parent_deleted(self, mapper: Mapper[Any], state: InstanceState[Any]) -> None:
        """Record a deleted parent, whose counters need no update, unless a trigger has kept it."""
        if self.deletions.are_complete(mapper):
            self.deleted_parents.add((mapper, identity(state)))

    def reach(self, mapper: Mapper[Any]) -> None:
        """Lock what the database's cascades will reach from the deleted rows of `mapper`."""
        if mapper in self._reached:
            return
        self._reached.add(mapper)
        keys: list[Key] = []
        counted: set[tuple[Any, Key]] = set()
        for state, (is_delete, list_only) in self.context.states.items():
            if is_delete and not list_only and state.key is not None:
                counted.update((table, identity(state)) for table in state.mapper.tables)
                if counts_as(state.mapper, mapper):
                    keys.append(identity(state))
        reach(self, mapper, keys, counted)

    # The end

    def write_pending_changes(self) -> None:
        """Subtract the initial counters of new parents, write the rest, and show the result."""
        self._new_rows.count(self._changes)
        for mapper in {m for m, _, initial in self._inserted_parents if any(initial.values())}:
            self.connection(mapper)  # raises where sources are not in the parent's database
        for mapper, state, initial in self._inserted_parents:
            key = key_of(mapper, state)
            self.inserted_states[mapper, key] = state
            for counter, value in initial.items():
                if value or not isinstance(counter, Additive):
                    _take_off(self.change_of(mapper, key), counter, value)
        self.deletions.close()
        super().write_pending_changes()

    def end_previews(self) -> None:
        """Show the stored values of loaded parents whose previews came to nothing.

        Another session has made the same change of a row before, and so has changed its parent.
        """
        states = self.session_state.unwritten_previews(self.session) if self._read else []
        if states and self.session_state.paused is None and any(starmap(_is_stale, self._read)):
            unwritten: dict[Mapper[Any], dict[Key, InstanceState[Any]]] = defaultdict(dict)
            for state in states:
                for mapper in self.registry.parents:
                    if counts_as(state.mapper, mapper):
                        unwritten[mapper][identity(state)] = state
            for mapper, by_key in unwritten.items():
                names = [counter.key for counter in self.registry.counters_of(mapper)]
                stored = read(self.connection(mapper), mapper, names, list(by_key), lock=False)
                for key, row in stored.items():
                    self.session_state.forget_preview(by_key[key])
                    for name, value in row.items():
                        self.session_state.show(by_key[key], name, value)
        super().end_previews()


def _is_stale(source: Source, state: InstanceState[Any], row: RowValues | None) -> bool:
    """Return whether an object was loaded before its row got the values that it was locked with."""
    if row is None:
        return True
    committed, memory = state.committed_state, state.dict
    loaded = {name: committed.get(name, memory.get(name, NO_VALUE)) for name in source.names}
    return any(row[name] != value for name, value in loaded.items() if value is not NO_VALUE)


def _take_off(change: Change, counter: Counter, value: Any) -> None:
    if isinstance(counter, Extreme) and change.new_extreme.get(counter) == value:
        change.new_extreme.pop(counter, None)  # the INSERT holds it already
    else:
        counter.decrement(change, value)
