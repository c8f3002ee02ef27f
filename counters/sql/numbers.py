"""The statements that take numbers for rows: the last number under its lock, and the rows' own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, and_, bindparam, case, func, or_, select, true, update
from sqlalchemy.orm import Mapper

from ..declarations.mapped_rows import Key, columns_of, own_key, select_rows
from ..declarations.number import Number
from .recount import Within, key_columns, plain_table, stored_column
from .rows import chunks, in_key_parameters, key_parameters, lock_order, rows_by_key


def lock_last_numbers(
    connection: Connection, mapper: Mapper[Any], names: tuple[str, ...], keys: Sequence[Key]
) -> dict[Key, Any]:
    """Lock parents in the order of their keys; return their attributes `names`, by key.

    On SQLite, where a SELECT locks nothing, they are written: a column to itself.
    """
    statement = _lock_statement(mapper, names, connection.dialect.name == "sqlite")
    width = len(mapper.primary_key)
    rows: dict[Key, Any] = {}
    for batch in chunks(keys, width):
        rows |= rows_by_key(connection.execute(statement, key_parameters(batch)), width, names)
    return rows


@lru_cache(maxsize=256)
def _lock_statement(mapper: Mapper[Any], names: tuple[str, ...], by_update: bool) -> Any:
    parents = plain_table(mapper, names)
    key = key_columns(parents, mapper)
    columns = [*key, *(stored_column(parents, mapper, name) for name in names)]
    condition = in_key_parameters(key)
    if by_update:
        return (
            update(parents).where(condition).values({columns[-1]: columns[-1]}).returning(*columns)
        )
    order = lock_order(mapper.base_mapper.local_table, key)
    return select(*columns).where(condition).order_by(*order).with_for_update(key_share=True)


def store_numbers(
    connection: Connection, counter: Number, numbers: Iterable[tuple[Key, Any]]
) -> None:
    """Write the numbers of stored rows, given by key."""
    parameters = [
        {"tallied_number": number, **{f"tallied_k{n}": part for n, part in enumerate(key)}}
        for key, number in numbers
    ]
    connection.execute(_store_statement(counter), parameters)


@lru_cache(maxsize=256)
def _store_statement(counter: Number) -> Any:
    sources = plain_table(counter.source, [counter.of.key])
    key = key_columns(sources, counter.source)
    column = stored_column(sources, counter.source, counter.of.key)
    same = (part == bindparam(f"tallied_k{n}", type_=part.type) for n, part in enumerate(key))
    return update(sources).where(*same).values({column: bindparam("tallied_number")})


def number_rows(connection: Connection, counter: Number, within: Within) -> None:
    """Number the rows without a number of their own, in the order of their keys.

    A row that has never met the counter's condition has none. Their parents must be locked. Of rows
    with the same number, the first keeps it.
    """
    source, parent = counter.source, counter.parent
    sources = plain_table(source, [counter.of.key, *counter.foreign_key])
    own, number = own_key(source), counter.amount
    foreign = columns_of(source, counter.foreign_key)
    rows = (
        select_rows(
            source,
            *own,
            *(part.label(f"parent_{n}") for n, part in enumerate(foreign)),
            number.label("number"),
            func.row_number().over(partition_by=[*foreign, number], order_by=own).label("place"),
            func.max(number).over(partition_by=foreign).label("greatest"),
            (true() if counter.condition is None else counter.condition).label("counts"),
        )
        .where(within(foreign))
        .subquery("tallied_numbered")
    )
    own, number = key_columns(sources, source), stored_column(sources, source, counter.of.key)
    is_double = and_(rows.c.number.is_not(None), rows.c.place > 1)
    parents = plain_table(parent, [counter.key])
    last = stored_column(parents, parent, counter.key)
    refers = [rows.c[f"parent_{n}"] for n in range(len(foreign))]
    same = (a == b for a, b in zip(key_columns(parents, parent), refers, strict=True))
    keys = [rows.c[part.name] for part in own]
    greatest = func.coalesce(rows.c.greatest, 0)
    start = case((last >= greatest, last), else_=greatest)
    place = func.row_number().over(partition_by=refers, order_by=keys)
    fresh = (
        select(*keys, (start + place).label("number"))
        .join_from(rows, parents, and_(*same))
        .where(or_(and_(rows.c.number.is_(None), rows.c.counts), is_double))
        .subquery("tallied_fresh")
    )
    renumbered = (a == fresh.c[a.name] for a in own)
    connection.execute(update(sources).where(*renumbered).values({number: fresh.c.number}))
