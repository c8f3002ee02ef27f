"""Checks of the tables: migrations, columns and foreign keys."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from ..counters import Counters
from ..errors import ConfigurationError
from ..migrations.revisions import read_state_on
from ..models import Base
from .catalog import Catalog, read_catalog
from .finding import Finding
from .indexes import check_indexes, check_unique

_RESTORE = "Restore it by the migrations that created the tables, or from a backup."


def check_tables(
    connection: Connection, engine: Counters, schema: str | None = None
) -> Iterator[Finding]:
    """Find missing tables, columns and migrations.

    :param engine: the counters that are in use.
    :param schema: where Tallied's tables are; by default, where their bare names lead.
    """
    catalog = read_catalog(connection, Base.metadata.tables, schema)
    revision = _check_revision(connection, catalog, schema)
    if revision is not None:
        yield revision
        return
    yield from _check_columns(catalog)
    yield from _check_keys(catalog)
    yield from check_unique(catalog)
    yield from check_indexes(connection, engine, catalog)


def _check_revision(connection: Connection, catalog: Catalog, schema: str | None) -> Finding | None:
    try:
        state = read_state_on(connection, schema)
    except ConfigurationError as error:
        return Finding("tallied.E012", str(error), "Run the newer Tallied, or restore a backup.")
    # A host that creates the tables by its own migrations has no revision of Tallied.
    if state.current is None and not catalog.columns:
        return Finding(
            "tallied.E010",
            "The database has not been set up for Tallied.",
            "Run `tallied migrate`.",
        )
    if state.current is not None and not state.is_newest:
        return Finding(
            "tallied.E011",
            f"The database is at revision {state.current}, and this Tallied needs {state.newest}.",
            "Run `tallied migrate`.",
        )
    return None


def _check_columns(catalog: Catalog) -> Iterator[Finding]:
    for name, table in Base.metadata.tables.items():
        if name not in catalog.columns:
            yield Finding("tallied.E013", f"The table {name} is missing.", _RESTORE)
            continue
        for column in table.c:
            if column.name not in catalog.columns[name]:
                what = f"The column {name}.{column.name} is missing."
                yield Finding("tallied.E014", what, _RESTORE)


def _check_keys(catalog: Catalog) -> Iterator[Finding]:
    for name, table in Base.metadata.tables.items():
        for key in sorted(table.foreign_keys, key=lambda key: key.parent.name):
            column, to = key.parent.name, key.column.table.name
            deletion = key.ondelete or "NO ACTION"
            if column not in catalog.columns.get(name, ()):
                continue  # which has been told
            if (name, column, to, deletion) not in catalog.keys:
                yield Finding(
                    "tallied.E018",
                    f"{name}.{column} has no foreign key to {to} with ON DELETE {deletion}, by"
                    " which a deletion is counted.",
                    "Remove the rows that refer to nothing, if there are any, and add the key.",
                )
