"""A class whose rows are counted, and what one of its rows contributes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeAlias

from sqlalchemy import Dialect, FetchedValue
from sqlalchemy.orm import InstanceState, Mapper
from sqlalchemy.orm.base import PASSIVE_NO_INITIALIZE

from ..declarations.copied_relation import ColumnTracker, ForeignKeyTracker, InternalCounter
from ..declarations.counter import Counter
from ..declarations.exactness import is_exact, plain_kind
from ..declarations.mapped_rows import column_of
from ..declarations.number import Number
from ..sql.tree_locks import SelfReference

Names: TypeAlias = frozenset[str]
DialectOf: TypeAlias = Callable[[Mapper[Any]], Dialect]
"""Returns the dialect of the database that holds the rows of a class."""


class Source:
    """A class whose rows are counted, and the counters that they count for."""

    def __init__(self, mapper: Mapper[Any], counters: Iterable[Counter]) -> None:
        self.mapper = mapper
        self.name = str(mapper)
        self.counters = tuple(counters)
        self.groups = by_relationship(self.counters)
        self.group_readers = tuple(map(_group_reader, self.groups))
        """Of each group, what reads the key of the parent and what its conditions look at."""
        self.names = tuple(sorted(frozenset().union(*(c.tracked for c in self.counters))))
        self.relationships = tuple(
            {c.relationship.key: None for c in self.counters if not isinstance(c, ColumnTracker)}
        )
        self._tracked = frozenset(self.names)
        self._touching = self._tracked.union(self.relationships)
        self.numbers = tuple(c for c in self.counters if isinstance(c, Number))
        self.previewed = tuple(c for c in self.counters if not isinstance(c, InternalCounter))
        """The counters that a change of an object shows in."""
        self.previewed_groups = by_relationship(self.previewed)
        self.self_references = tuple(
            SelfReference(group) for group in self.previewed_groups if _is_within(mapper, group[0])
        )
        """The foreign keys by which its rows count for rows of their own table."""
        self.has_copied_relation = any(isinstance(c, ForeignKeyTracker) for c in self.counters)
        """Whether its rows hold the foreign key of a link."""
        self.implicit = frozenset(
            name for name in self.names if _changes_by_itself(column_of(mapper, name))
        )
        """The tracked attributes that any UPDATE may change: ``onupdate``, generated columns."""
        self._null_if_unset = frozenset(
            name for name in self.names if _is_null_if_unset(column_of(mapper, name))
        )
        self._by_trigger = _by_trigger(self.names, mapper, lambda each: each.server_default)
        self._by_trigger_on_update = _by_trigger(
            self.names, mapper, lambda each: each.server_onupdate
        )
        types = {name: column_of(mapper, name).type for name in self.names}
        self._types = {name: (type_, plain_kind(type_)) for name, type_ in types.items()}

    def changed(self, state: InstanceState[Any], known: Names = frozenset()) -> Names:
        """Return the tracked attributes of `state` that the flush writes.

        :param known: those of which that has been seen before.
        """
        changed = known.union(_changed(state, self._tracked - known))
        return changed | self.implicit if state.modified else changed

    def is_touched(self, state: InstanceState[Any], names: Names | None = None) -> bool:
        """Return whether the flush may change what the row of `state` counts for.

        :param names: the attributes that matter; all that are tracked if there are none.
        """
        if self.implicit and state.modified:
            return True
        return any(_changed(state, names or self._touching))

    def written_values(
        self,
        state: InstanceState[Any],
        names: Iterable[str],
        dialect_of: DialectOf,
    ) -> dict[str, Any] | None:
        """Return the values of `names` as they were just written to the row.

        None where memory does not know it to the last digit: the database computed it,
        or may have rounded it.
        """
        if self._by_trigger_on_update and not self._by_trigger_on_update.isdisjoint(names):
            return None
        return self._values(state.dict, names, dialect_of, frozenset())

    def inserted_values(
        self, state: InstanceState[Any], dialect_of: DialectOf
    ) -> dict[str, Any] | None:
        """Return all tracked values of a row that was just inserted; see :meth:`written_values`.

        SQLAlchemy inserts NULL where nothing was set and the column has no default. What was
        set to an SQL expression has been expired by now.
        """
        if self._by_trigger:
            return None
        unset = self._null_if_unset
        if unset and state.expired_attributes:
            unset -= state.expired_attributes
        return self._values(state.dict, self.names, dialect_of, unset)

    def _values(
        self,
        memory: Mapping[str, Any],
        names: Iterable[str],
        dialect_of: DialectOf,
        null_if_unset: frozenset[str],
    ) -> dict[str, Any] | None:
        values: dict[str, Any] = {}
        for name in names:
            if name not in memory:
                if name not in null_if_unset:
                    return None
                values[name] = None
                continue
            value = values[name] = memory[name]
            type_, kind = self._types[name]
            is_plain = value is None or type(value) is kind
            if not is_plain and not is_exact(type_, value, dialect_of(self.mapper)):
                return None
        return values


def _group_reader(counters: Sequence[Counter]) -> Callable[[Mapping[str, Any]], Any]:
    """Return a function that returns the values of a row on which it depends what it counts for."""
    predicates = (counter.predicate for counter in counters)
    names = set().union(*(predicate.names for predicate in predicates if predicate is not None))
    return itemgetter(*counters[0].foreign_key, *sorted(names))


def _is_within(mapper: Mapper[Any], counter: Counter) -> bool:
    """Return whether the rows of `mapper` and those of the counter are in one table, and whole."""
    return list(mapper.tables) == list(counter.parent.tables) == [mapper.local_table]


def _changed(state: InstanceState[Any], names: Names) -> Iterator[str]:
    # A history takes its time, and what has none is not in there.
    for name in names.intersection(state.committed_state):
        if state.get_history(name, PASSIVE_NO_INITIALIZE).has_changes():
            yield name


def _changes_by_itself(column: Any) -> bool:
    return column.onupdate is not None or column.server_onupdate is not None


def _is_null_if_unset(column: Any) -> bool:
    has_default = column.default is not None or column.server_default is not None
    return not (column.primary_key or has_default or column.type.should_evaluate_none)


def _by_trigger(
    names: Iterable[str], mapper: Mapper[Any], default: Callable[[Any], Any]
) -> frozenset[str]:
    """Return the attributes that a trigger sets, as a bare ``FetchedValue`` declares.

    What RETURNING tells of them may not be the last word: on SQLite it comes before the trigger.
    """
    columns = ((name, column_of(mapper, name)) for name in names)
    return frozenset(name for name, column in columns if type(default(column)) is FetchedValue)


Groups: TypeAlias = tuple[tuple[Counter, ...], ...]
"""Counters in groups that share a relationship, and so the parent of a row."""


def by_relationship(counters: Iterable[Counter]) -> Groups:
    """Group `counters` by their relationship, and so by the parent of a row."""
    groups: dict[Any, list[Counter]] = {}
    for counter in counters:  # a subclass may name the columns of the key in its own way
        shared = (counter.relationship, counter.parent, counter.foreign_key)
        groups.setdefault(shared, []).append(counter)
    return tuple(map(tuple, groups.values()))
