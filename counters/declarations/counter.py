"""The base of all counters: a declaration, and what one row contributes to it.

A row is a mapping of the source's tracked attributes to their values. A change of a row is a pair
of these, old and new, either of them None where there is no row. A counter turns each pair into
changes of parents.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement, Dialect
from sqlalchemy.orm import (
    InstanceState,
    InstrumentedAttribute,
    Mapper,
    QueryableAttribute,
    RelationshipProperty,
)
from sqlalchemy.orm.attributes import instance_state
from sqlalchemy.orm.interfaces import MANYTOONE

from .change import Change
from .computation import Computation
from .derivation import DERIVED
from .exactness import is_exact
from .mapped_rows import Key, RowValues, column_of, own_key, with_stored_columns
from .predicate import Predicate

REGISTRIES = "tallied.counters"
"""The key in a property's ``info`` for the registries that its counter was declared to."""


class Counter:
    """A column of a parent that caches something about its sources.

    :param target: the cached column, an attribute of the parent class.
    :param via: the many-to-one relationship from the source class to the parent; or from
        the parent to the one source that it points to, whose column it copies then.
    :param of: the column of the source that is summed or compared.
    :param where: a condition on the source's own columns; rows that do not meet it are
        not counted, and a row that comes to meet it counts as one that comes.
    :raises TypeError: for a column or a relationship that is not an attribute of a mapped class.
    """

    def __init__(
        self,
        target: InstrumentedAttribute[Any],
        *,
        via: InstrumentedAttribute[Any],
        of: InstrumentedAttribute[Any] | None = None,
        where: ColumnElement[bool] | InstrumentedAttribute[bool] | None = None,
    ) -> None:
        for attribute in (target, via) if of is None else (target, via, of):
            if not isinstance(attribute, QueryableAttribute):
                raise TypeError(
                    f"{type(self).__name__} takes columns and relationships as attributes of a "
                    f"mapped class, such as Thread.word_count, not as {type(attribute).__name__}."
                )
        self.target = target
        self.via = via
        self.of = of
        self.where: Any = where

    def __str__(self) -> str:
        return f"{self.target.class_.__name__}.{self.target.key}"

    @cached_property
    def key(self) -> str:
        """The name of the cached attribute on the parent."""
        return self.target.key

    @cached_property
    def relationship(self) -> RelationshipProperty[Any]:
        """The relationship from the source to the parent."""
        prop = self.via.property
        assert isinstance(prop, RelationshipProperty)
        return prop

    @cached_property
    def holder(self) -> Mapper[Any]:
        """The mapper of the class that holds the foreign key: the one that `via` was taken from."""
        mapper: Mapper[Any] = self.via.class_.__mapper__
        return mapper

    @cached_property
    def is_copy(self) -> bool:
        """Whether the class that has the counter has the foreign key (:mod:`.copied_relation`)."""
        prop, target = self.via.property, self.target.class_.__mapper__
        return (
            isinstance(prop, RelationshipProperty)
            and prop.direction is MANYTOONE
            and self.holder.base_mapper is target.base_mapper
            and prop.mapper.base_mapper is not target.base_mapper
        )

    @cached_property
    def parent(self) -> Mapper[Any]:
        """The mapper of the class that holds the counter."""
        return self.holder if self.is_copy else self.relationship.mapper

    @cached_property
    def source(self) -> Mapper[Any]:
        """The mapper of the class that is counted."""
        return self.relationship.mapper if self.is_copy else self.holder

    @cached_property
    def foreign_key(self) -> tuple[str, ...]:
        """The holder's attributes that hold the primary key of the other, in its order."""
        local = {remote: local for local, remote in self.relationship.local_remote_pairs or ()}
        primary_key: Any = self.relationship.mapper.primary_key
        if not local.keys() <= set(primary_key):  # of a subclass's own table
            primary_key = own_key(self.relationship.mapper)
        return tuple(
            self.holder.get_property_by_column(local[column]).key for column in primary_key
        )

    @cached_property
    def single_key(self) -> str | None:
        """The holder's attribute, if a single one holds the primary key of the other."""
        return self.foreign_key[0] if len(self.foreign_key) == 1 else None

    @cached_property
    def predicate(self) -> Predicate | None:
        """The condition of `where`, for an image."""
        return None if self.where is None else Predicate(self.source, self.where)

    @cached_property
    def amount(self) -> Any:
        """Return the stored column behind `of`."""
        assert self.of is not None
        return column_of(self.source, self.of.key)

    @cached_property
    def condition(self) -> ColumnElement[bool] | None:
        """Return the `where` in terms of the stored columns."""
        return None if self.where is None else with_stored_columns(self.source, self.where)

    @cached_property
    def tracked(self) -> frozenset[str]:
        """The source's attributes that this counter depends on."""
        return self.names_read.union(self.foreign_key)

    @cached_property
    def names_read(self) -> frozenset[str]:
        """The source's attributes that it is computed from, and of its condition."""
        names = frozenset[str]() if self.predicate is None else self.predicate.names
        return names if self.of is None else names | {self.of.key}

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """The values of unset tracked attributes in a new row."""
        return {name: _default(column_of(self.source, name)) for name in self.tracked}

    def values_of(self, state: InstanceState[Any]) -> dict[str, Any]:
        """Return the tracked values of an object in memory; None stands for an unknown value."""
        values = dict.fromkeys(self.tracked) if state.key else dict(self.defaults)
        memory = state.dict
        for name in values:
            if name in memory:
                values[name] = memory[name]
        return values

    def parent_in_memory(self, state: InstanceState[Any]) -> Key | InstanceState[Any] | None:
        """Return the parent of a new object: by its object in memory, or else by its key."""
        memory, defaults = state.dict, self.defaults
        obj = memory.get(self.relationship.key)
        if obj is not None:
            return instance_state(obj)
        return self.key_in_memory(memory, defaults)

    def key_in_memory(self, memory: RowValues, defaults: RowValues) -> Key | None:
        """Return the key of the parent that an object names.

        :param defaults: the values of what the object has no value for.
        """
        name = self.single_key
        if name is not None:
            part = memory[name] if name in memory else defaults.get(name)
            return None if part is None else (part,)
        row = {key: memory.get(key, defaults.get(key)) for key in self.foreign_key}
        return self.named_parent(row)

    def is_exact(self, row: RowValues, dialect: Dialect) -> bool:
        """Return whether the database will hold the amount of `image` just as it is."""
        if self.of is None:
            return True
        column = column_of(self.source, self.of.key)
        return is_exact(column.type, row[self.of.key], dialect)

    def counts(self, row: RowValues) -> bool:
        """Return whether a row meets the condition."""
        return self.predicate is None or self.predicate(row)

    def parent_key(self, row: RowValues | None) -> Key | None:
        """Return the key of the parent that a row counts for; None where it counts for none."""
        return None if row is None or not self.counts(row) else self.named_parent(row)

    def named_parent(self, row: RowValues | None) -> Key | None:
        """Return the key of the parent that a row names, whether or not it meets the condition."""
        if row is None:
            return None
        if self.single_key is not None:
            part = row[self.single_key]
            return None if part is None else (part,)
        key = tuple([row[name] for name in self.foreign_key])
        return None if None in key else key

    def value(self, row: RowValues) -> Any:
        """Return what a row contributes."""
        raise NotImplementedError

    def increment(self, change: Change, value: Any) -> None:
        """Enter into `change` that a row with `value` was added."""
        raise NotImplementedError

    def add_rows(self, change: Change, rows: Sequence[RowValues]) -> None:
        """Enter into `change` that `rows` were added, which all count."""
        for row in rows:
            self.increment(change, self.value(row))

    def decrement(self, change: Change, value: Any) -> None:
        """Enter into `change` that a row with `value` was removed."""
        raise NotImplementedError

    def preview(self, value: Any, old: Any, new: Any) -> Any:
        """Return the value to show in place of `value` when `old` is removed and `new` is added.

        Both are None where nothing is removed or added.
        """
        raise NotImplementedError

    @property
    def empty(self) -> Any:
        """The counter of a parent that nothing counts for."""
        raise NotImplementedError

    def aggregate_expression(self) -> ColumnElement[Any]:
        """Return the aggregate that the counter caches; NULL may stand for :attr:`empty`."""
        aggregate = self.aggregate()
        if self.condition is not None:
            aggregate = aggregate.filter(self.condition)
        filtered: ColumnElement[Any] = aggregate
        return filtered

    def aggregate(self) -> Any:
        """Return the aggregate function over all sources of a parent."""
        raise NotImplementedError

    def pass_on(self, inner: Counter, change: Change, stored: Any, to: Change) -> None:
        """Enter into `to` what a `change` of the source's own counter `inner` means to this one.

        :param stored: what `inner` holds now.
        """
        raise NotImplementedError

    def updated(self, column: ColumnElement[Any], change: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the expression that brings the stored `column` up to date with `change`."""
        raise NotImplementedError

    def must_look_up(self, change: Change, stored: Any) -> bool:
        """Return whether to recount the counter of a parent whose column holds `stored` now."""
        return change.is_recounted(self)


def _default(column: Any) -> Any:
    """Return the value of an unset column in a new row; None if only the INSERT knows it."""
    derived: Computation | None = column.info.get(DERIVED)
    if derived is not None:
        value, _ = derived.default()
        return None if value is None else derived.computed(value)
    return column.default.arg if column.default is not None and column.default.is_scalar else None
