"""The check that what is counted, and what counts, is stored in tables.

A class may be mapped to a join, a view-like SELECT or a union. Statements on the tables behind
it name another thing than the class, and no counter can be written to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Table
from sqlalchemy.orm import Mapper

from ..declarations.counter import Counter


def check_mapped_tables(counter: Counter) -> Iterator[tuple[str, str, str]]:
    """Yield a finding for each class of `counter` that is not mapped to a table."""
    for mapper in dict.fromkeys((counter.source, counter.parent)):
        for part in _of_one_row(mapper):
            if not isinstance(part.local_table, Table):
                yield (
                    "counters.E035",
                    f"{part.class_.__name__}, which {counter} needs, is mapped to a join, a SELECT "
                    f"or a union, not to a table.",
                    "Map the class to one table, and reach the other by a relationship or by "
                    "joined inheritance.",
                )


def _of_one_row(mapper: Mapper[Any]) -> Iterator[Mapper[Any]]:
    """Yield the mappers whose tables hold a part of a row that is of the class of `mapper`."""
    step: Mapper[Any] | None = mapper
    while step is not None:
        yield step
        step = None if step.concrete else step.inherits
    yield from (
        descendant
        for descendant in mapper.self_and_descendants
        if descendant.inherits and not descendant.concrete
    )
