"""Checks of the indexes, unique ones and others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Column, Connection, Index, Table, UniqueConstraint

from ..counters import Counters
from ..counters.declarations.mapped_rows import column_of
from ..models import Base
from .catalog import Catalog, read_catalog
from .finding import Finding

_CREATE = "Create the index as tallied/models has it; on PostgreSQL, CONCURRENTLY."


def check_unique(catalog: Catalog) -> Iterator[Finding]:
    """Find columns whose values could be stored twice."""
    for table in Base.metadata.tables.values():
        needed = [index.columns for index in table.indexes if index.unique]
        needed += [c.columns for c in table.constraints if isinstance(c, UniqueConstraint)]
        for names in sorted([column.name for column in columns] for columns in needed):
            if _are_there(table, names, catalog) and not any(
                index.is_unique and index.condition is None and set(index.columns) == set(names)
                for index in catalog.indexes.get(table.name, ())
            ):
                yield Finding(
                    "tallied.E015",
                    f"Nothing keeps {table.name} ({', '.join(names)}) unique: its index is missing"
                    " or not valid, and rows may be made twice.",
                    f"Remove what is there twice, if anything is. {_CREATE}",
                )


def check_indexes(connection: Connection, engine: Counters, catalog: Catalog) -> Iterator[Finding]:
    """Find missing indexes, without which results are right but slow."""
    reported: set[tuple[str, str]] = set()
    for counter in engine.declared:
        columns = [column_of(counter.holder, name) for name in counter.foreign_key]
        table, names = columns[0].table, [column.name for column in columns]
        present = catalog
        if table.metadata is not Base.metadata:  # a host's own, which it counts by
            present = read_catalog(connection, [table.name], table.schema)
        if (table.name, names[0]) not in reported and not _leads(table, names, present):
            reported.add((table.name, names[0]))
            yield Finding(
                "tallied.W011",
                f"No valid index of {table.name} starts with {', '.join(names)}, by which {counter}"
                " is recounted: changes get slower as the table grows.",
                _CREATE,
            )
    lacks_trigrams = connection.dialect.name == "postgresql" and not _has_trigrams(connection)
    if lacks_trigrams:
        yield Finding(
            "tallied.W013",
            "PostgreSQL's extension pg_trgm is not installed: a filter by title reads all titles.",
            "Run CREATE EXTENSION pg_trgm, and then create the index"
            " ix_tallied_thread_title_folded as tallied/models/thread.py declares it.",
        )
    for index in _expected_indexes(connection.dialect.name):
        table, names = _table_of(index), [column.name for column in index.columns]
        if (table.name, names[0]) in reported or (lacks_trigrams and "dialect" in index.info):
            continue
        if _are_there(table, names, catalog) and not _is_served(index, catalog):
            yield Finding(
                "tallied.W012",
                f"The index {index.name} of {table.name} is missing, or not valid: lists get"
                " slower as the table grows.",
                _CREATE,
            )


def _expected_indexes(dialect: str) -> Iterator[Index]:
    for table in Base.metadata.tables.values():
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            if not index.unique and index.info.get("dialect", dialect) == dialect:
                yield index


def _are_there(table: Table, names: Sequence[str], catalog: Catalog) -> bool:
    """Return whether the columns exist; another check reports missing ones."""
    return catalog.columns.get(table.name, frozenset()).issuperset(names)


def _leads(table: Table, names: Sequence[str], catalog: Catalog) -> bool:
    if not _are_there(table, names, catalog):
        return True
    return any(
        candidate.is_tree
        and set(candidate.columns[: len(names)]) == set(names)
        and candidate.finds_all_with(names)
        for candidate in catalog.indexes.get(table.name, ())
    )


def _is_served(index: Index, catalog: Catalog) -> bool:
    """Return whether the index or one with the same effect exists, whatever its name."""
    names = tuple(column.name for column in index.columns)
    # A full index is not a replacement for a partial one, in which the rows of a page are adjacent.
    is_full = index.dialect_options["postgresql"]["where"] is None and not index.info
    is_plain = is_full and all(isinstance(part, Column) for part in index.expressions)
    return any(
        candidate.name == index.name
        or (
            is_plain
            and candidate.is_tree
            and candidate.condition is None
            and candidate.columns[: len(names)] == names
        )
        for candidate in catalog.indexes.get(_table_of(index).name, ())
    )


def _table_of(index: Index) -> Table:
    assert index.table is not None
    return index.table


def _has_trigrams(connection: Connection) -> bool:
    query = "SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'"
    return bool(connection.exec_driver_sql(query).scalar_one())
