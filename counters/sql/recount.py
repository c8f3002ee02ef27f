"""The recount of counters in SQL, and the statement that repairs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from operator import eq
from typing import Any, TypeAlias

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    FromClause,
    MetaData,
    Select,
    Subquery,
    Table,
    and_,
    case,
    func,
    or_,
    select,
    tuple_,
    type_coerce,
    update,
)
from sqlalchemy.orm import Mapper
from sqlalchemy.sql.dml import ReturningUpdate

from ..declarations.counter import Counter
from ..declarations.kinds import Additive
from ..declarations.mapped_rows import (
    Key,
    RowValues,
    column_of,
    columns_of,
    kind_criteria,
    own_key,
    select_rows,
)
from ..declarations.number import Number
from .rows import rows_by_key

Within: TypeAlias = Callable[[Sequence[ColumnElement[Any]]], ColumnElement[bool]]
"""From key columns to the condition that narrows parents and sources alike."""


def plain_table(mapper: Mapper[Any], names: Iterable[str]) -> Table:
    """Return the table of a parent with its key and the attributes `names`, without defaults.

    An UPDATE of the mapped table would fire its ``onupdate`` defaults, and a counter is
    no reason to change ``updated_at`` or a version.
    """
    return _plain_table(mapper, tuple(dict.fromkeys(names)))


@lru_cache(maxsize=256)
def _plain_table(mapper: Mapper[Any], names: tuple[str, ...]) -> Table:
    """Return one table for equal arguments, so that SQLAlchemy's cache of statements hits."""
    mapped: Any = mapper.local_table
    columns = {part.name: part.type for part in own_key(mapper)}
    for name in names:
        stored = column_of(mapper, name)
        columns[stored.name] = stored.type
    return Table(
        mapped.name,
        MetaData(),
        *(Column(name, type_) for name, type_ in columns.items()),
        schema=mapped.schema,
    )


def stored_column(parents: FromClause, mapper: Mapper[Any], name: str) -> ColumnElement[Any]:
    """Return the column of :func:`plain_table` that holds the attribute `name`."""
    column: ColumnElement[Any] = parents.c[column_of(mapper, name).name]
    return column


def key_columns(parents: FromClause, mapper: Mapper[Any]) -> list[ColumnElement[Any]]:
    """Return the columns of :func:`plain_table` that hold the key."""
    return [parents.c[part.name] for part in own_key(mapper)]


def after_key(columns: Sequence[ColumnElement[Any]], key: Key) -> ColumnElement[bool]:
    """Return the condition that a row comes after `key` in the order of the keys."""
    return columns[0] > key[0] if len(columns) == 1 else tuple_(*columns) > key


def recount_query(
    parents: FromClause,
    mapper: Mapper[Any],
    counters: Sequence[Counter],
    within: Within | None = None,
) -> Select[Any]:
    """Select each parent's key and the true value of each of its counters, as ``true_…``.

    The sources are aggregated once for each class and relationship, whatever the number of parents.

    :param parents: :func:`plain_table`, or an alias of it.
    """
    key = key_columns(parents, mapper)
    groups: dict[Any, list[Counter]] = {}
    for counter in counters:
        groups.setdefault((counter.source, counter.relationship), []).append(counter)
    aggregates = {group: _aggregate(members, within) for group, members in groups.items()}
    true_columns = []
    for counter in counters:
        true: Any = aggregates[counter.source, counter.relationship].c[counter.key]
        if isinstance(counter, Number):
            unnumbered = aggregates[counter.source, counter.relationship].c[_missing_label(counter)]
            stored = stored_column(parents, mapper, counter.key)
            true = counter.recounted(stored, true, unnumbered)
        elif isinstance(counter, Additive):
            true = func.coalesce(true, 0)
        true_columns.append(true.label(f"true_{counter.key}"))
    joined: Any = parents
    for aggregate in aggregates.values():
        foreign = list(aggregate.c)[: len(key)]
        joined = joined.outerjoin(
            aggregate, and_(*(a == b for a, b in zip(key, foreign, strict=True)))
        )
    statement = select(*key, *true_columns).select_from(joined)
    return statement if within is None else statement.where(within(key))


def drift_query(
    parents: FromClause,
    mapper: Mapper[Any],
    counters: Sequence[Counter],
    within: Within | None = None,
) -> Select[Any]:
    """Select the parents that have a wrong counter: the key, the true and the stored values.

    On SQLite, where a Numeric is a float, a last digit may make a row look wrong; what
    SQLAlchemy makes of the two values does not differ then.
    """
    recounted = recount_query(parents, mapper, counters, within)
    key = key_columns(parents, mapper)
    true_columns = list(recounted.selected_columns)[-len(counters) :]
    stored = [stored_column(parents, mapper, counter.key) for counter in counters]
    wrong = (
        column.is_distinct_from(true) for column, true in zip(stored, true_columns, strict=True)
    )
    # By the type of the column that holds it: on SQLite, another's times may have a time zone.
    alike = (
        type_coerce(true, column.type).label(f"true_{counter.key}")
        for counter, true, column in zip(counters, true_columns, stored, strict=True)
    )
    columns = recounted.with_only_columns(*key, *alike, *stored)
    return columns.where(or_(*wrong)).order_by(*key)


def _aggregate(counters: Sequence[Counter], within: Within | None) -> Subquery:
    """Select one row for each parent that has sources, with its aggregates."""
    if counters[0].is_copy:
        return _select_copies(counters, within)
    source = counters[0].source
    foreign = columns_of(source, counters[0].foreign_key)
    statement = select_rows(
        source,
        *(part.label(f"parent_{number}") for number, part in enumerate(foreign)),
        *(counter.aggregate_expression().label(counter.key) for counter in counters),
        *(c.unnumbered().label(_missing_label(c)) for c in counters if isinstance(c, Number)),
    ).group_by(*foreign)
    return (statement if within is None else statement.where(within(foreign))).subquery()


def _missing_label(counter: Counter) -> str:
    return f"unnumbered_{counter.key}"


def _select_copies(counters: Sequence[Counter], within: Within | None) -> Subquery:
    """Select one row for each parent that refers to a row, with the values that it copies."""
    holder, pointed = counters[0].holder, counters[0].source
    own = list(holder.primary_key)
    foreign = columns_of(holder, counters[0].foreign_key)
    same = map(eq, foreign, pointed.primary_key)
    copies: list[ColumnElement[Any]] = []
    for counter in counters:
        of = counter.amount
        copies.append(
            (of if counter.condition is None else case((counter.condition, of))).label(counter.key)
        )
    statement = select_rows(
        holder, *(part.label(f"parent_{number}") for number, part in enumerate(own)), *copies
    ).join_from(
        holder.persist_selectable,
        pointed.persist_selectable,
        and_(*same, *kind_criteria(pointed)),
    )
    return (statement if within is None else statement.where(within(own))).subquery()


def repair(
    connection: Connection,
    mapper: Mapper[Any],
    counters: Sequence[Counter],
    within: Within,
    *,
    answer: Sequence[str] = (),
    only_wrong: bool = True,
) -> dict[Key, RowValues]:
    """Set the counters of some parents to their recount.

    The parents must be locked by an *earlier* statement: this one's snapshot is then
    younger than the locks (READ COMMITTED), so what a writer has committed is seen, and
    what it has not yet counted it will add to the repaired value when it gets the lock.

    :param answer: attributes to return, beside the counters.
    :param only_wrong: leave the rows alone that are right.
    :returns: the values of the parents that were set, by key.
    """
    statement = repair_statement(mapper, counters, within, answer=answer, only_wrong=only_wrong)
    names = [*(counter.key for counter in counters), *answer]
    return rows_by_key(connection.execute(statement), len(mapper.primary_key), names)


def repair_statement(
    mapper: Mapper[Any],
    counters: Sequence[Counter],
    within: Within,
    *,
    answer: Sequence[str] = (),
    only_wrong: bool = True,
) -> ReturningUpdate[Any]:
    """Return the statement of :func:`repair`."""
    names = [*(counter.key for counter in counters), *answer]
    parents = plain_table(mapper, names)
    key = key_columns(parents, mapper)
    numbers = [counter.key for counter in counters if isinstance(counter, Number)]
    recounted = recount_query(
        plain_table(mapper, numbers).alias("tallied_parent"), mapper, counters, within
    ).subquery("tallied_truth")
    stored = [stored_column(parents, mapper, counter.key) for counter in counters]
    true_columns = [recounted.c[f"true_{counter.key}"] for counter in counters]
    statement = update(parents).where(*(part == recounted.c[part.name] for part in key))
    if only_wrong:
        wrong = (a.is_distinct_from(b) for a, b in zip(stored, true_columns, strict=True))
        statement = statement.where(or_(*wrong))
    return statement.values(dict(zip(stored, true_columns, strict=True))).returning(
        *key, *(stored_column(parents, mapper, name) for name in names)
    )
