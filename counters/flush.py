"""Exact in the database: from what a flush does to rows, to one UPDATE a parent table.

The order of a flush:

1. ``before_flush``: the rows that will be edited, moved or deleted are locked and read
   (:mod:`.rows`). An insert costs nothing here.
2. ``before_insert`` of a new parent: it is given what its new sources amount to, so
   that its INSERT holds the right value.
3. ``after_insert``, ``after_update``, ``after_delete`` of a source: the difference
   between what the row holds now and what it held under its lock is entered.
4. ``after_flush``: the differences are written and what comes back is shown
   (:mod:`.write`).

Step 2 is a guess, which step 3 corrects: the value guessed is taken off the
difference that the parent's sources turn out to make.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection
from sqlalchemy.orm import InstanceState, Mapper, Session, UOWTransaction
from sqlalchemy.orm.attributes import instance_state, set_committed_value

from .declare import Change, Counter, Extreme, Image, Key, count_row
from .rows import read
from .write import write

if TYPE_CHECKING:
    from .engine import Counters
    from .ledger import Ledger


class Source:
    """A class whose rows are counted, and the counters that they count for."""

    def __init__(self, mapper: Mapper[Any], counters: Iterable[Counter]) -> None:
        self.mapper = mapper
        self.counters = tuple(counters)
        self.names = tuple(sorted(frozenset().union(*(c.tracked for c in self.counters))))
        self.relationships = tuple({c.relationship.key for c in self.counters})

    def changed(self, state: InstanceState[Any]) -> set[str]:
        """The tracked attributes of `state` that the flush writes."""
        return {name for name in self.names if state.attrs[name].history.has_changes()}

    def is_touched(self, state: InstanceState[Any]) -> bool:
        """Whether the flush may change what the row of `state` counts for."""
        return any(
            state.attrs[name].history.has_changes() for name in self.names + self.relationships
        )

    def image(self, state: InstanceState[Any]) -> dict[str, Any] | None:
        """What the row holds now as far as memory knows; None where it does not."""
        dict_ = state.dict
        if any(name not in dict_ for name in self.names):
            return None
        return {name: dict_[name] for name in self.names}


class Flush:
    """What one flush of one session does to counted rows."""

    def __init__(
        self, engine: Counters, ledger: Ledger, session: Session, context: UOWTransaction
    ) -> None:
        self.engine = engine
        self.ledger = ledger
        self.session = session
        self.context = context
        self.changes: dict[Mapper[Any], dict[Key, Change]] = defaultdict(
            lambda: defaultdict(Change)
        )
        self._locked: dict[tuple[Source, Key], Image | None] = {}
        self._unread: dict[Source, dict[Key, Image | None]] = defaultdict(dict)
        self._changed: dict[InstanceState[Any], set[str]] = {}
        self._born: list[tuple[Mapper[Any], InstanceState[Any], dict[Counter, Any]]] = []
        self._newborn: dict[tuple[Mapper[Any], Key], InstanceState[Any]] = {}
        self._dead: set[tuple[Mapper[Any], Key]] = set()
        self._arrivals: dict[tuple[Counter, Any], list[Any]] | None = None

    def connection(self, mapper: Mapper[Any]) -> Connection:
        """The session's own connection: executing on it cannot re-enter the flush."""
        return self.session.connection(bind_arguments={"mapper": mapper})

    # Sources

    def lock_known(self) -> None:
        """Lock what is known before the flush to be edited, moved or deleted."""
        edited = [
            (source, state)
            for obj in self.session.dirty
            if (source := self.engine.source_of(state := instance_state(obj)))
            and source.is_touched(state)
        ]
        deleted = [
            (source, state)
            for obj in self.session.deleted
            if (source := self.engine.source_of(state := instance_state(obj)))
        ]
        self._lock(edited, deleted)

    def lock_late(self, source: Source, state: InstanceState[Any]) -> None:
        """Lock `state`, and all that has come into the flush since it began.

        Orphans, objects whose parent is deleted, and what other listeners have changed.
        """
        if (source, _identity(state)) in self._locked:
            return
        edited: list[tuple[Source, InstanceState[Any]]] = []
        deleted: list[tuple[Source, InstanceState[Any]]] = []
        for other, (is_delete, list_only) in self.context.states.items():
            its = self.engine.source_of(other)
            if its is None or other.key is None or list_only:
                continue
            if (its, _identity(other)) not in self._locked:
                if is_delete:
                    deleted.append((its, other))
                elif its.is_touched(other):
                    edited.append((its, other))
        self._lock(edited, deleted)

    def _lock(
        self,
        edited: list[tuple[Source, InstanceState[Any]]],
        deleted: list[tuple[Source, InstanceState[Any]]],
    ) -> None:
        wanted: dict[Source, list[Key]] = defaultdict(list)
        for source, state in edited + deleted:
            wanted[source].append(_identity(state))
        for source in sorted(wanted, key=lambda each: each.mapper.class_.__name__):
            keys = wanted[source]
            images = read(
                self.connection(source.mapper),
                source.mapper,
                source.names,
                keys,
                lock=True,
                deleting=bool(deleted),
            )
            for key in keys:
                self._locked[source, key] = images.get(key)

    def inserted(self, source: Source, state: InstanceState[Any]) -> None:
        """A row was inserted, or took the place of one with the same key that was deleted."""
        key = _key_of(source.mapper, state)
        self._enter(source, key, self._locked.pop((source, key), None), source.image(state))

    def updating(self, source: Source, state: InstanceState[Any]) -> None:
        """A row is about to be updated."""
        self._changed[state] = source.changed(state)
        if self._changed[state]:
            self.lock_late(source, state)

    def updated(self, source: Source, state: InstanceState[Any]) -> None:
        """A row was updated; what the UPDATE did not name is still what its lock showed.

        An SQL expression that was assigned is gone from memory by now, or has been
        replaced by what the database made of it.
        """
        if state.key is None:  # SQLAlchemy has turned a DELETE and an INSERT into one UPDATE
            self.inserted(source, state)
            return
        key = _identity(state)
        changed = self._changed.pop(state) | source.changed(state)
        old = self._locked.get((source, key))
        if old is None or not changed:
            return
        if all(name in state.dict for name in changed):
            new = {**old, **{name: state.dict[name] for name in changed}}
            self._enter(source, key, old, new)
        else:
            self._enter(source, key, old, None)

    def deleted(self, source: Source, state: InstanceState[Any]) -> None:
        """A row was deleted, unless it was gone before."""
        key = _identity(state)
        count_row(self.changes, source.counters, self._locked.pop((source, key), None), None)

    def _enter(self, source: Source, key: Key, old: Image | None, new: Image | None) -> None:
        if new is None:
            self._unread[source][key] = old
        else:
            count_row(self.changes, source.counters, old, new)

    # Parents

    def bear(self, mapper: Mapper[Any], state: InstanceState[Any]) -> None:
        """Give a new parent what its new sources amount to, before its INSERT."""
        counters = self.engine.counters_of(mapper)
        self.ledger.forget_preview(state)
        if self._takes_over_a_row(mapper, state):
            key = _key_of(mapper, state)
            self._newborn[mapper, key] = state
            self.changes[mapper][key].must_write = True
            return
        given: dict[Counter, Any] = {}
        for counter in counters:
            given[counter] = self._initial(counter, state)
            self.ledger.show(state, counter.key, given[counter])
        self._born.append((mapper, state, given))

    def _takes_over_a_row(self, mapper: Mapper[Any], state: InstanceState[Any]) -> bool:
        """Whether the INSERT will be an UPDATE of a row with the same key that is deleted."""
        key = _key_of(mapper, state)
        if None in key:
            return False
        existing = self.session.identity_map.get(mapper.identity_key_from_primary_key(key))
        return existing is not None and existing is not state.obj()

    def _initial(self, counter: Counter, state: InstanceState[Any]) -> Any:
        change = Change()
        arrivals = self._arriving()
        for parent in (state, _key_of(counter.parent, state)):
            for value in arrivals.get((counter, parent), ()):
                counter.put(change, value)
        if isinstance(counter, Extreme):
            return change.risen.get(counter)
        return change.added.get(counter, counter.empty)

    def _arriving(self) -> dict[tuple[Counter, Any], list[Any]]:
        """What the flush's new sources bring, by counter and parent; found once a flush."""
        if self._arrivals is None:
            self._arrivals = defaultdict(list)
            for obj in self.session.new:
                state = instance_state(obj)
                source = self.engine.source_of(state)
                for counter in source.counters if source else ():
                    image = {name: state.dict.get(name) for name in counter.tracked}
                    parent = state.dict.get(counter.relationship.key)
                    at = counter.parent_key(image) if parent is None else instance_state(parent)
                    self._arrivals[counter, at].append(counter.value(image))
        return self._arrivals

    def bury(self, mapper: Mapper[Any], state: InstanceState[Any]) -> None:
        """A parent was deleted; its counters went with it."""
        self._dead.add((mapper, _identity(state)))

    # The end

    def finish(self) -> None:
        """Write all differences, and show what the database answers."""
        for source, rows in self._unread.items():
            images = read(
                self.connection(source.mapper), source.mapper, source.names, list(rows), lock=False
            )
            for key, old in rows.items():
                count_row(self.changes, source.counters, old, images.get(key))
        for mapper, state, given in self._born:
            key = _key_of(mapper, state)
            self._newborn[mapper, key] = state
            self._take_off(self.changes[mapper][key], given)
        for mapper in self.engine.parents:
            changes = {
                key: change
                for key, change in self.changes[mapper].items()
                if change and (mapper, key) not in self._dead
            }
            if changes:
                self._write(mapper, changes)
        self.ledger.take_back_previews()

    @staticmethod
    def _take_off(change: Change, given: dict[Counter, Any]) -> None:
        for counter, value in given.items():
            if isinstance(counter, Extreme):
                if counter.best(value, change.risen.get(counter)) == value:
                    change.risen.pop(counter, None)
            else:
                counter.take(change, value)

    def _write(self, mapper: Mapper[Any], changes: dict[Key, Change]) -> None:
        counters = self.engine.counters_of(mapper)
        connection = self.connection(mapper)
        for key, values in write(connection, mapper, counters, changes).items():
            self.ledger.wrote(mapper, key, values)
            state = self._newborn.get((mapper, key)) or self._loaded(mapper, key)
            if state is not None:
                self._show(state, values)

    def _loaded(self, mapper: Mapper[Any], key: Key) -> InstanceState[Any] | None:
        identity = mapper.identity_key_from_primary_key(key)
        parent = self.session.identity_map.get(identity)
        return None if parent is None else instance_state(parent)

    def _show(self, state: InstanceState[Any], values: dict[str, Any]) -> None:
        self.ledger.forget_preview(state)
        for name, value in values.items():
            self.ledger.show(state, name, value)


def _identity(state: InstanceState[Any]) -> Key:
    assert state.key is not None
    return tuple(state.key[1])


def _key_of(mapper: Mapper[Any], state: InstanceState[Any]) -> Key:
    return tuple(mapper.primary_key_from_instance(state.obj()))
