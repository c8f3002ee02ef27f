"""The kinds of counters: counts, sums, and extremes."""

from __future__ import annotations

from collections.abc import Sequence
from operator import ge, gt, le, lt
from typing import Any, ClassVar

from sqlalchemy import ColumnElement, case, func
from sqlalchemy.orm import InstrumentedAttribute

from .change import Change
from .counter import Counter
from .mapped_rows import RowValues
from .special_values import comparable, is_finite


class Additive(Counter):
    """A counter that changes by differences."""

    def increment(self, change: Change, value: Any) -> None:
        change.added[self] += value

    def decrement(self, change: Change, value: Any) -> None:
        change.added[self] -= value

    def preview(self, value: Any, old: Any, new: Any) -> Any:
        return value + (new or 0) - (old or 0)

    @property
    def empty(self) -> Any:
        return 0

    def updated(self, column: ColumnElement[Any], change: ColumnElement[Any]) -> ColumnElement[Any]:
        return column + change

    def pass_on(self, inner: Counter, change: Change, stored: Any, to: Change) -> None:
        if change.is_recounted(inner):
            to.recount(self)
        elif isinstance(inner, Additive):
            to.added[self] += change.added.get(inner, 0)


class Count(Additive):
    """How many sources a parent has: ``Count(Thread.comment_count, via=Comment.thread)``."""

    def __init__(
        self,
        target: InstrumentedAttribute[Any],
        *,
        via: InstrumentedAttribute[Any],
        where: ColumnElement[bool] | InstrumentedAttribute[bool] | None = None,
    ) -> None:
        super().__init__(target, via=via, where=where)

    def value(self, row: RowValues) -> int:
        return 1

    def add_rows(self, change: Change, rows: Sequence[RowValues]) -> None:
        change.added[self] += len(rows)

    def aggregate(self) -> Any:
        return func.count()


class CounterOfColumn(Counter):
    """A counter that is computed from a column of its sources."""

    of: InstrumentedAttribute[Any]

    def __init__(
        self,
        target: InstrumentedAttribute[Any],
        *,
        of: InstrumentedAttribute[Any],
        via: InstrumentedAttribute[Any],
        where: ColumnElement[bool] | InstrumentedAttribute[bool] | None = None,
    ) -> None:
        super().__init__(target, via=via, of=of, where=where)


class Sum(CounterOfColumn, Additive):
    """The sum of a column of the sources; NULL counts as 0.

    ``Sum(Thread.word_count, of=Comment.word_count, via=Comment.thread)``
    """

    def value(self, row: RowValues) -> Any:
        value = row[self.of.key]
        return 0 if value is None else value

    def add_rows(self, change: Change, rows: Sequence[RowValues]) -> None:
        key = self.of.key
        values = [row[key] for row in rows]
        if {int}.issuperset(map(type, values)):
            change.added[self] += sum(values)
        else:
            super().add_rows(change, rows)

    def increment(self, change: Change, value: Any) -> None:
        if type(value) is int or is_finite(value):
            change.added[self] += value
        else:
            change.recount(self)

    def decrement(self, change: Change, value: Any) -> None:
        if is_finite(value):
            super().decrement(change, value)
        else:
            change.recount(self)

    def aggregate(self) -> Any:
        return func.sum(self.amount)


class Extreme(CounterOfColumn):
    """The greatest or smallest value of a column of the sources; NULL where there is none.

    A value that comes costs one comparison. Only when the current extreme leaves or
    falls back is that one parent looked up again, under its lock.
    """

    most_extreme: ClassVar[Any]
    is_more_extreme: ClassVar[Any]
    is_at_least: ClassVar[Any]
    function: ClassVar[Any]

    def value(self, row: RowValues) -> Any:
        return row[self.of.key]

    def best(self, one: Any, other: Any) -> Any:
        """Return the more extreme of two values, either of which may be None."""
        if one is None or (other is not None and self._exceeds(other, one)):
            return other
        return one

    def _exceeds(self, one: Any, other: Any) -> bool:
        return bool(type(self).is_more_extreme(comparable(one), comparable(other)))

    def increment(self, change: Change, value: Any) -> None:
        if value is not None:
            change.new_extreme[self] = self.best(change.new_extreme.get(self), value)

    def add_rows(self, change: Change, rows: Sequence[RowValues]) -> None:
        key = self.of.key
        values = [value for row in rows if (value := row[key]) is not None]
        if values:
            # NaN is none of them: a flush reads such rows before it counts them.
            self.increment(change, self.most_extreme(values))

    def decrement(self, change: Change, value: Any) -> None:
        if value is not None:
            change.removed_extreme[self] = self.best(change.removed_extreme.get(self), value)

    def preview(self, value: Any, old: Any, new: Any) -> Any:
        return self.best(value, new)

    @property
    def empty(self) -> None:
        return None

    def aggregate(self) -> Any:
        return type(self).function(self.amount)

    def pass_on(self, inner: Counter, change: Change, stored: Any, to: Change) -> None:
        if isinstance(inner, Extreme) and (
            inner in change.new_extreme or inner in change.removed_extreme
        ):
            self.increment(to, stored)
            self.decrement(to, change.removed_extreme.get(inner))

    def updated(self, column: ColumnElement[Any], change: ColumnElement[Any]) -> ColumnElement[Any]:
        # NULL, where there was none yet, falls to the change too.
        return case((type(self).is_at_least(column, change), column), else_=change)

    def must_look_up(self, change: Change, stored: Any) -> bool:
        """Return whether the extreme may have left a parent whose column holds `stored` now."""
        removed = change.removed_extreme.get(self)
        if removed is None or stored is None:
            return removed is not None
        try:
            return not self._exceeds(stored, removed)
        except TypeError:  # the columns' types differ, such as times with a zone and without
            return True


class Max(Extreme):
    """The greatest value of a column of the sources."""

    most_extreme = max
    is_more_extreme = gt
    is_at_least = ge
    function = func.max


class Min(Extreme):
    """The smallest value of a column of the sources."""

    most_extreme = min
    is_more_extreme = lt
    is_at_least = le
    function = func.min


class Latest(Max):
    """The latest time: ``Latest(Thread.last_comment_at, of=…created_at, via=Comment.thread)``."""


class First(Min):
    """The first time: ``First(Thread.first_comment_at, of=…created_at, via=Comment.thread)``."""
