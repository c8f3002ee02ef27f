"""Columns that the database computes from a counter: generated, by trigger, by expression.

The UPDATE of a counter changes them too, and fires no event. Generated columns come back by
RETURNING. A column that a trigger may set after the UPDATE (``server_onupdate=FetchedValue()``),
and a ``column_property()`` over one of these, is read once everything is written, and only for
loaded objects that show it: an expired attribute would be loaded lazily, which fails under asyncio.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Column, Computed, FetchedValue
from sqlalchemy.orm import Mapper
from sqlalchemy.sql.visitors import iterate

from .counter import Counter
from .mapped_rows import column_of


@lru_cache(maxsize=256)
def generated_names(mapper: Mapper[Any], counters: tuple[Counter, ...]) -> tuple[str, ...]:
    """Return the attributes of `mapper` that are generated from `counters`, in their table."""
    generated = _generated_columns(mapper, counters)
    return tuple(prop.key for prop in mapper.column_attrs if prop.columns[0] in generated)


@lru_cache(maxsize=256)
def read_names(
    mapper: Mapper[Any], parent: Mapper[Any], counters: tuple[Counter, ...]
) -> tuple[str, ...]:
    """Return the attributes of `mapper` to read after an UPDATE of `counters`.

    :param parent: the mapper that has the counters, which `mapper` is or inherits from.
    """
    set_by_trigger: set[Any] = {
        column
        for column in parent.local_table.c
        if type(getattr(column, "server_onupdate", None)) is FetchedValue
    }
    changing: set[Any] = {column_of(parent, c.key) for c in counters}
    changing |= set_by_trigger | _generated_columns(parent, counters)
    returned = {*(c.key for c in counters), *generated_names(parent, counters)}
    return tuple(
        prop.key
        for prop in mapper.column_attrs
        if prop.key not in returned and not changing.isdisjoint(iterate(prop.columns[0]))
    )


def _generated_columns(mapper: Mapper[Any], counters: tuple[Counter, ...]) -> set[Any]:
    """Return the columns that are generated from `counters`, or from one another of these.

    What they are generated from is seen by name, since their expression may be plain text.
    """
    names = {column_of(mapper, counter.key).name for counter in counters}
    generated: set[Any] = set()
    while True:
        dependent = {
            column
            for column in mapper.local_table.c
            if isinstance(column, Column)
            and column not in generated
            and isinstance(column.computed, Computed)
            and _mentions(str(column.computed.sqltext), names)
        }
        if not dependent:
            return generated
        generated |= dependent
        names |= {column.name for column in dependent}


def _mentions(expression: str, names: set[str]) -> bool:
    words = {word.lower() for word in re.findall(r"\w+", expression)}
    return any(set(re.findall(r"\w+", name.lower())) <= words for name in names)


def check_generated(counters: Sequence[Counter]) -> Iterator[tuple[str, str, str]]:
    """Yield the counters that depend on what is generated from another: id, sentence, and hint."""
    by_parent: dict[Mapper[Any], tuple[Counter, ...]] = {}
    for counter in counters:
        by_parent[counter.parent] = (*by_parent.get(counter.parent, ()), counter)
    generated = set().union(*(_generated_columns(*item) for item in by_parent.items()))
    for counter in counters:
        for name in counter.names_read:
            if column_of(counter.source, name) in generated:
                yield (
                    "counters.E040",
                    f"{counter} depends on {counter.source.class_.__name__}.{name}, which the "
                    f"database generates from a counter, in an UPDATE that fires no event.",
                    "Depend on the counter itself.",
                )
