"""Does every counter equal its recount? One read-only statement a parent table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Select, and_, func, or_, select
from sqlalchemy.orm import Mapper
from sqlalchemy.sql.selectable import Subquery

from .declare import Additive, Counter, Key
from .write import key_columns, plain_table, stored_column


@dataclass(frozen=True)
class Drift:
    """One counter that does not equal its recount."""

    counter: str
    """Which, such as ``Thread.word_count``."""
    key: Key
    """The parent's primary key."""
    stored: Any
    """What the column holds."""
    true: Any
    """What it should hold."""

    @property
    def difference(self) -> Any:
        """Stored minus true; None where one of them is NULL. A timedelta between times."""
        if self.stored is None or self.true is None:
            return None
        return self.stored - self.true

    def __str__(self) -> str:
        key = ", ".join(map(str, self.key))
        stored, true = _text(self.stored), _text(self.true)
        difference = "" if self.difference is None else f", difference {_signed(self.difference)}"
        return f"{self.counter} of {key}: stored {stored}, true {true}{difference}"


def verify(
    connection: Connection, mapper: Mapper[Any], counters: Sequence[Counter]
) -> Iterator[Drift]:
    """Yield the counters of `mapper` that are wrong, in the order of the parents' keys.

    One statement, so one snapshot: a writer at work is either seen whole or not at all.
    """
    parents = plain_table(mapper, counters)
    key = key_columns(parents, mapper)
    recounted = recount(parents, mapper, counters)
    statement = recounted.where(
        or_(
            *(
                stored_column(parents, counter).is_distinct_from(true)
                for counter, true in zip(counters, recounted.selected_columns[-len(counters) :])
            )
        )
    )
    stored = [stored_column(parents, counter) for counter in counters]
    statement = statement.add_columns(*stored).order_by(*key)
    for row in connection.execute(statement, execution_options={"yield_per": 1000}):
        values = tuple(row)
        trues = values[len(key) : len(key) + len(counters)]
        for counter, true, held in zip(counters, trues, values[-len(counters) :], strict=True):
            if true != held:
                yield Drift(str(counter), values[: len(key)], held, true)


def recount(
    parents: FromClause,
    mapper: Mapper[Any],
    counters: Sequence[Counter],
    within: Callable[[Sequence[ColumnElement[Any]]], ColumnElement[bool]] | None = None,
) -> Select[Any]:
    """Select each parent's key and the true value of each of its counters.

    The sources are aggregated once for each relationship, whatever the number of parents.

    :param parents: the table as :func:`~.write.plain_table` has it, or an alias of it.
    :param within: from key columns to a condition that narrows parents and sources alike.
    """
    key = key_columns(parents, mapper)
    aggregates = {
        via: _aggregate([c for c in counters if c.relationship is via], within)
        for via in dict.fromkeys(counter.relationship for counter in counters)
    }
    trues = []
    for counter in counters:
        true = aggregates[counter.relationship].c[counter.key]
        trues.append(func.coalesce(true, 0) if isinstance(counter, Additive) else true)
    joined: Any = parents
    for aggregate in aggregates.values():
        foreign = list(aggregate.c)[: len(key)]
        joined = joined.outerjoin(
            aggregate, and_(*(a == b for a, b in zip(key, foreign, strict=True)))
        )
    labelled = (t.label(f"true_{c.key}") for t, c in zip(trues, counters, strict=True))
    statement = select(*key, *labelled).select_from(joined)
    return statement if within is None else statement.where(within(key))


def _aggregate(
    counters: Sequence[Counter],
    within: Callable[[Sequence[ColumnElement[Any]]], ColumnElement[bool]] | None,
) -> Subquery:
    source = counters[0].source
    foreign = [source.column_attrs[name].columns[0] for name in counters[0].foreign_key]
    statement = (
        select(*foreign, *(counter.truth().label(counter.key) for counter in counters))
        .select_from(source.persist_selectable)
        .group_by(*foreign)
    )
    return (statement if within is None else statement.where(within(foreign))).subquery()


def _text(value: Any) -> str:
    if value is None:
        return "nothing"
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _signed(value: Any) -> str:
    return f"{value:+}" if isinstance(value, int) else str(value)
