"""The key of a mapped class, in its own table."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Mapper


def own_key(mapper: Mapper[Any]) -> list[Any]:
    """The columns of the mapper's own table that hold its primary key, in the mapper's order.

    They differ from ``mapper.primary_key`` in a subclass with a table of its own.
    """
    table: Any = mapper.local_table
    found: list[Any] = []
    for column in mapper.primary_key:
        equivalent = next(
            (own for own in table.primary_key if own is column or own.references(column)), None
        )
        if equivalent is None:  # more than one step up
            equivalent = list(table.primary_key)[len(found)]
        found.append(equivalent)
    return found
