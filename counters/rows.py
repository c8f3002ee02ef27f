"""What the rows of a source really hold, read under their lock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, tuple_
from sqlalchemy import select as core_select
from sqlalchemy.orm import Mapper

from .declare import Image, Key

MOST_PARAMETERS = 30_000
"""Both databases take a little over 32,000 parameters in one statement."""


def in_keys(columns: Sequence[ColumnElement[Any]], keys: Sequence[Key]) -> ColumnElement[bool]:
    """The condition that a row's key is one of `keys`."""
    if len(columns) == 1:
        return columns[0].in_([key[0] for key in keys])
    return tuple_(*columns).in_(keys)


def chunks(keys: Sequence[Key], parameters: int) -> Iterator[Sequence[Key]]:
    """`keys` in as many pieces as the databases' limit demands, `parameters` to a key."""
    size = MOST_PARAMETERS // parameters
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def read(
    connection: Connection,
    mapper: Mapper[Any],
    names: Sequence[str],
    keys: Sequence[Key],
    *,
    lock: bool,
    deleting: bool = False,
) -> dict[Key, Image]:
    """The attributes `names` of the rows of `mapper` that have one of `keys`.

    With `lock` the rows are locked in the order of their keys, so that two units that
    want the same rows wait for each other instead of deadlocking; against deletion
    and the change of keys too when they are `deleting`. A row that is gone is not in
    what is returned.
    """
    primary_key = mapper.primary_key
    columns = [mapper.column_attrs[name].columns[0] for name in names]
    images: dict[Key, Image] = {}
    for some in chunks(sorted(keys), len(primary_key)):
        statement = (
            core_select(*primary_key, *columns)
            .select_from(mapper.persist_selectable)
            .where(in_keys(primary_key, some))
            .order_by(*primary_key)
        )
        if lock:
            statement = statement.with_for_update(key_share=not deleting)
        for row in connection.execute(statement):
            images[tuple(row[: len(primary_key)])] = dict(
                zip(names, row[len(primary_key) :], strict=True)
            )
    return images
