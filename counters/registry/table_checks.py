"""Check that counted rows and counters are stored in tables, which nothing else writes.

A class may be mapped to a join, a SELECT or a union. Statements on the tables behind it do not name
the class, and no counter can be written to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import Table
from sqlalchemy.orm import Mapper

from ..declarations.counter import Counter
from ..declarations.mapped_rows import column_of
from .findings import Finding
from .resolution import all_mappers


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


def check_tables(sources: Mapping[Mapper[Any], Iterable[Counter]]) -> Iterator[Finding]:
    """Find other ways to write the rows of `sources`, which fire no event.

    A ``secondary``, a ``post_update``, and a second class on one table.
    """
    tracked = {
        column_of(mapper, name)
        for mapper, counters in sources.items()
        for counter in counters
        for name in counter.tracked
    }
    tables = {table for source in sources for table in source.tables}
    for mapper in all_mappers():
        related = any(mapper.isa(source) or source.isa(mapper) for source in sources)
        if not related and tables & set(mapper.tables):
            yield (
                "counters.E018",
                f"{mapper.class_.__name__} is mapped to a table whose rows are counted by another "
                f"class.",
                "Map one class to the table, or let one inherit from the other.",
            )
        for relationship in mapper.relationships:
            if relationship.secondary in tables and not relationship.viewonly:
                yield (
                    "counters.E019",
                    f"{relationship} writes rows of {relationship.secondary} that are counted, "
                    f"and no event tells of them.",
                    "Make the relationship viewonly, and write association objects.",
                )
            written = {foreign for _, foreign in relationship.synchronize_pairs}
            if relationship.post_update and not relationship.viewonly and tracked & written:
                yield (
                    "counters.E002",
                    f"{relationship} has post_update and writes a column that is counted by, in an "
                    f"UPDATE that fires no event.",
                    "Take post_update off the relationship, or make it viewonly.",
                )
