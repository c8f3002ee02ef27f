"""Compare every counter with its recount, by one read-only statement a class of parents.

The statement recounts all parents, and returns only those that are wrong. It takes no lock, so no
writer waits. One statement is one snapshot (PostgreSQL's documentation, 13.2; "Isolation In
SQLite"), which has both the rows and the counters of a transaction or neither, so the report is
true even while others write.

A long snapshot has a price: PostgreSQL cannot vacuum rows that were deleted since, and SQLite
cannot reset its write-ahead log. For a big table, verify a sample or a part of the parents at a
time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, select
from sqlalchemy.orm import Mapper

from ..declarations.counter import Counter
from ..declarations.derived import Derived
from ..declarations.mapped_rows import Key, primary_key
from ..declarations.special_values import are_same
from ..registry.counter_registry import CounterRegistry
from ..sql.recount import Within, drift_query, plain_table
from .selection import (
    Condition,
    CounterSelection,
    Named,
    choose,
    parents_in,
    rows_in,
    sample_parents,
)
from .transactions import transactional

STREAMED = 500
"""How many rows are in memory at a time."""


@dataclass(frozen=True)
class Drift:
    """One counter that differs from its recount, or one wrong derived column."""

    counter: str
    """Which, such as ``Thread.word_count``."""
    key: Key
    """The primary key of the row that holds it."""
    stored: Any
    """The value in the column."""
    true: Any
    """The value that it should have."""

    @property
    def difference(self) -> Any:
        """Stored minus true; None where one is NULL, or of texts. A timedelta between times."""
        try:
            return self.stored - self.true
        except TypeError:
            return None

    def __str__(self) -> str:
        key = ", ".join(map(str, self.key))
        stored, true = _text(self.stored), _text(self.true)
        difference = (
            "" if self.difference is None else f", difference {_with_sign(self.difference)}"
        )
        return f"{self.counter} of {key}: stored {stored}, true {true}{difference}"


def verify(
    registry: CounterRegistry,
    connection: Connection,
    *,
    only: Iterable[Named] = (),
    where: Condition | None = None,
    sample: int | None = None,
    derived: bool = True,
) -> Iterator[Drift]:
    """Verify counters; see :meth:`.Counters.verify`."""
    selection = choose(registry, only, derived)
    if where is not None:
        selection.one_class()
    return _verify(connection, selection, where, sample)


def _verify(
    connection: Connection,
    selection: CounterSelection,
    where: Condition | None,
    sample: int | None,
) -> Iterator[Drift]:
    is_complete = where is None and sample is None
    with transactional(connection):
        for mapper, counters in selection.counters.items():
            for within in _parts(connection, mapper, where, sample):
                yield from verify_counters(connection, mapper, counters, within)
                if within is None:
                    continue
                for derived in selection.amounts:
                    counted = rows_in(derived, mapper, counters, within)
                    yield from verify_amounts(connection, derived, counted)
        for derived in selection.amounts if is_complete or not selection.counters else ():
            for within in _parts(connection, derived.mapper, where, sample):
                condition = None if within is None else within(primary_key(derived.mapper))
                yield from verify_amounts(connection, derived, condition)


def _parts(
    connection: Connection, mapper: Mapper[Any], where: Condition | None, sample: int | None
) -> Iterator[Within | None]:
    if sample is None:
        yield parents_in(mapper, where)
    else:
        yield from sample_parents(connection, mapper, where, sample)


def verify_counters(
    connection: Connection,
    mapper: Mapper[Any],
    counters: Sequence[Counter],
    within: Within | None = None,
) -> Iterator[Drift]:
    """Yield the counters of `mapper` that are wrong, in the order of the parents' keys."""
    if within is None:
        statement = _whole_drift_query(mapper, tuple(counters))
    else:
        statement = _drift_query(mapper, tuple(counters), within)
    width, number = len(mapper.primary_key), len(counters)
    for row in connection.execute(statement, execution_options={"yield_per": STREAMED}):
        key, values = tuple(row[:width]), row[width:]
        for counter, true, stored in zip(counters, values[:number], values[number:], strict=True):
            if not are_same(true, stored):
                yield Drift(str(counter), key, stored, true)


def _drift_query(
    mapper: Mapper[Any], counters: tuple[Counter, ...], within: Within | None = None
) -> Select[Any]:
    parents = plain_table(mapper, [counter.key for counter in counters]).alias("parent")
    return drift_query(parents, mapper, counters, within)


_whole_drift_query = lru_cache(64)(_drift_query)
"""Return one query for equal arguments, so that it is built and compiled once."""


def verify_amounts(
    connection: Connection, derived: Derived, condition: ColumnElement[bool] | None = None
) -> Iterator[Drift]:
    """Yield the rows whose amount is not what Python computes for them.

    All rows are read, but few are in memory at a time: on PostgreSQL they come through a
    cursor of the server.

    :param condition: which rows to look at; all of them where it is None.
    """
    statement = select(*primary_key(derived.mapper), derived.of, derived.target)
    if condition is not None:
        statement = statement.where(condition)
    for row in connection.execute(statement, execution_options={"yield_per": STREAMED}):
        *key, value, stored = row
        true = derived.computed(value)
        if not are_same(true, stored):
            yield Drift(str(derived), tuple(key), stored, true)


def _text(value: Any) -> str:
    if value is None:
        return "nothing"
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _with_sign(value: Any) -> str:
    return f"{value:+}" if isinstance(value, int) else str(value)
