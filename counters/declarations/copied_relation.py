"""Counters that copy a value along a many-to-one relationship from the row that has the counter.

``Sum(Article.comment_count, of=Thread.comment_count, via=Article.thread)``: each article shows the
count of its thread. Such a counter is not changed by differences. It is written as the value that
stands in the referenced row, which the writing transaction has locked *and changed*. The lock keeps
every other writer of that row away until the commit. The change makes transactions with an older
snapshot (REPEATABLE READ) fail. So the last writer of a copy writes the current value.

A copy becomes stale when the copied column changes (a counter by itself, another column as
:class:`ColumnTracker` sees it), and when the row refers to another one, as
:class:`ForeignKeyTracker` sees it. In both cases the referenced row is written, and the copies are
updated after it (:mod:`.copies`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cached_property
from typing import Any

from sqlalchemy.orm import Mapper

from .change import Change
from .counter import Counter
from .mapped_rows import Key, RowValues, key_names

Chained = dict[Mapper[Any], dict[Counter, Counter]]


class InternalCounter(Counter):
    """A counter of internal use: what it tracks is stored in no column, and shown in none."""

    is_copy = False

    def preview(self, value: Any, old: Any, new: Any) -> Any:
        return value


class ForeignKeyTracker(InternalCounter):
    """A foreign key of a copied relation: the row that it newly points to is written."""

    def value(self, row: RowValues) -> Key:
        """Return the key of the row that points."""
        return tuple(row[name] for name in key_names(self.source))

    @cached_property
    def tracked(self) -> frozenset[str]:
        return frozenset((*self.foreign_key, *key_names(self.source)))

    def increment(self, change: Change, value: Any) -> None:
        change.must_write = True

    def decrement(self, change: Change, value: Any) -> None:
        if change.detached is None:
            change.detached = {}
        change.detached.setdefault(self, set()).add(value)


class ColumnTracker(InternalCounter):
    """A copied column that is not a counter: where it changes, its row is written.

    A new row has nobody to copy it yet, and one that is gone nobody any more.
    """

    def __init__(self, counter: Counter) -> None:
        super().__init__(counter.target, via=counter.via, of=counter.of)
        self._copy = counter

    @cached_property
    def holder(self) -> Mapper[Any]:
        return self._copy.source

    @cached_property
    def parent(self) -> Mapper[Any]:
        return self._copy.source

    @cached_property
    def foreign_key(self) -> tuple[str, ...]:
        return key_names(self.holder)

    @cached_property
    def tracked(self) -> frozenset[str]:
        return self._copy.names_read.union(self.foreign_key)

    def value(self, row: RowValues) -> Any:
        """Return what the rows that refer to the row copy."""
        assert self.of is not None
        return (self._copy.counts(row), row[self.of.key])

    def increment(self, change: Change, value: Any) -> None:
        """Do nothing: a new value alone is that of a new row, which nothing copies yet."""

    def decrement(self, change: Change, value: Any) -> None:
        change.must_write = True


class CopiedRelation:
    """One relationship from rows with counters to the row that these copy."""

    def __init__(self, counters: Iterable[Counter], inner: Chained) -> None:
        self.counters = tuple(counters)
        first = self.counters[0]
        self.holder = first.holder
        """The class whose rows point, and have the counters."""
        self.source = first.source
        """The class that they point to."""
        self.names = key_names(self.source)
        self.foreign_key = first.foreign_key
        self.relationship = first.relationship
        self.pointer = ForeignKeyTracker(first.target, via=first.via)
        inner_of = inner.get(self.source, {})
        self.chained = {c: inner_of[c] for c in self.counters if c in inner_of}
        """The counters that are copies of counters, each with the one."""
        self.column_trackers = tuple(
            ColumnTracker(c) for c in self.counters if c not in inner_of or c.where is not None
        )

    def concerns(self, change: Change) -> bool:
        """Return whether `change` of a row makes the copies of those who point to it stale."""
        return change.must_write or any(
            change.added.get(inner)
            or inner in change.new_extreme
            or inner in change.removed_extreme
            or change.is_recounted(inner)
            for inner in self.chained.values()
        )


CopiedRelations = dict[Mapper[Any], tuple[CopiedRelation, ...]]
"""By the class that is pointed to."""


def find_copied_relations(declared: Iterable[Counter], chains: Chained) -> CopiedRelations:
    """Group the counters that are copies by their relationship."""
    groups: dict[Any, list[Counter]] = {}
    for counter in declared:
        if counter.is_copy:
            groups.setdefault((counter.holder, counter.relationship), []).append(counter)
    relations: CopiedRelations = {}
    for counters in groups.values():
        relation = CopiedRelation(counters, chains)
        relations[relation.source] = (*relations.get(relation.source, ()), relation)
    return relations


def tracked_counters(declared: Iterable[Counter], relations: CopiedRelations) -> list[Counter]:
    """Return the counters that rows are tracked by; trackers stand for the copies among them."""
    counters = [counter for counter in declared if not counter.is_copy]
    for of_source in relations.values():
        for relation in of_source:
            counters += [relation.pointer, *relation.column_trackers]
    return counters


def record_difference(counter: Counter, old: Any, new: Any, change: Change) -> None:
    """Enter into `change` that a copy has turned from `old` to `new`, for what is chained to it."""
    if old != new:
        counter.increment(change, new)
        counter.decrement(change, old)


def copied_names(relations: Collection[CopiedRelation]) -> set[str]:
    """Return the attributes that are copied."""
    return {c.of.key for relation in relations for c in relation.counters if c.of is not None}
