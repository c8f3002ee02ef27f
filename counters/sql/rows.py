"""Read the stored rows of a source, under their locks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import BindParameter, ColumnElement, Connection, Select, bindparam, tuple_
from sqlalchemy.exc import NoReferenceError
from sqlalchemy.orm import Mapper

from ..declarations.mapped_rows import Key, RowValues, columns_of, select_rows
from .driver import DriverStatement

T = TypeVar("T")

MAX_PARAMETERS = 30_000
"""Both databases take a little over 32,000 parameters in one statement."""


def in_keys(
    columns: Sequence[ColumnElement[Any]], keys: Sequence[Key] | Select[Any] | BindParameter[Any]
) -> ColumnElement[bool]:
    """Return the condition that a row's key is one of `keys`.

    :param keys: key tuples; or a SELECT, or a parameter, that stands for them.
    """
    if isinstance(keys, Select):
        keys = keys.correlate(None)
    if len(columns) > 1:
        return tuple_(*columns).in_(keys)
    return columns[0].in_([key[0] for key in keys] if isinstance(keys, Sequence) else keys)


def in_key_parameters(columns: Sequence[ColumnElement[Any]]) -> ColumnElement[bool]:
    """Return the condition for a cached statement; :func:`key_parameters` has its keys."""
    return in_keys(columns, bindparam("tallied_keys", expanding=True))


def key_parameters(keys: Sequence[Key]) -> dict[str, Any]:
    """Return the parameter of :func:`in_key_parameters`."""
    return {"tallied_keys": [key[0] for key in keys] if len(keys[0]) == 1 else keys}


def lock_order(table: Any, key: Sequence[ColumnElement[Any]]) -> list[ColumnElement[Any]]:
    """Return the order in which rows of `table` are locked: by the columns of their key.

    Where rows refer to rows of their own table, from the greatest key to the smallest: mostly, a
    row is added after the row that it refers to (:mod:`.tree_locks`).
    """
    return [part.desc() for part in key] if refers_to_itself(table) else list(key)


@lru_cache(maxsize=256)
def refers_to_itself(table: Any) -> bool:
    for constraint in getattr(table, "foreign_key_constraints", ()):
        with suppress(NoReferenceError):  # a table that nobody has declared
            if constraint.referred_table is table:
                return True
    return False


def chunks(items: Sequence[T], parameters: int) -> Iterator[Sequence[T]]:
    """Split `items` by the databases' limit of parameters; each takes `parameters` of them."""
    size = MAX_PARAMETERS // parameters
    for start in range(0, len(items), size):
        yield items[start : start + size]


def read(
    connection: Connection,
    mapper: Mapper[Any],
    names: Sequence[str],
    keys: Sequence[Key],
    *,
    lock: bool,
    deleting: bool = False,
) -> dict[Key, RowValues]:
    """Return the attributes `names` of the rows of `mapper` that have one of `keys`.

    With `lock` the rows are locked in one order of their keys, so that two units that
    want the same rows wait for each other instead of deadlocking; against deletion
    and the change of keys too when they are `deleting`. A row that is gone is not in
    what is returned.
    """
    width = len(mapper.primary_key)
    if len(keys) == 1:
        one, parts = _select_one(mapper, tuple(names), lock, deleting)
        parameters = dict(zip(parts, keys[0], strict=True))
        return rows_by_key(one.fetch(connection, parameters), width, names)
    statement = _select(mapper, tuple(names), lock, deleting)
    rows: dict[Key, RowValues] = {}
    for batch in chunks(keys, width):
        rows |= rows_by_key(connection.execute(statement, key_parameters(batch)), width, names)
    return rows


@lru_cache(maxsize=256)
def _select(
    mapper: Mapper[Any], names: tuple[str, ...], lock: bool, deleting: bool
) -> Select[tuple[Any, ...]]:
    key = list(mapper.primary_key)
    rows = select_rows(mapper, *key, *columns_of(mapper, names))
    order = lock_order(mapper.base_mapper.local_table, key)
    statement = rows.where(in_key_parameters(key)).order_by(*order)
    return statement.with_for_update(key_share=not deleting) if lock else statement


@lru_cache(maxsize=256)
def _select_one(
    mapper: Mapper[Any], names: tuple[str, ...], lock: bool, deleting: bool
) -> tuple[DriverStatement, list[str]]:
    """Return the statement for one row, the usual case, and the names of its parameters."""
    key = list(mapper.primary_key)
    parts = [bindparam(f"tallied_k{n}", type_=part.type) for n, part in enumerate(key)]
    statement = select_rows(mapper, *key, *columns_of(mapper, names))
    statement = statement.where(*(a == b for a, b in zip(key, parts, strict=True)))
    if lock:
        statement = statement.with_for_update(key_share=not deleting)
    return DriverStatement(statement), [part.key for part in parts]


def rows_by_key(rows: Any, width: int, names: Sequence[str]) -> dict[Key, RowValues]:
    """Return rows by key: a key of `width` columns, and the values of the attributes `names`."""
    return {tuple(row[:width]): dict(zip(names, row[width:], strict=True)) for row in rows}
