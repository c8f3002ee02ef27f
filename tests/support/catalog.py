"""The tables of a database as the database itself and SQLAlchemy describe them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, inspect, text

from tallied.database import Database
from tallied.migrations.runner import VERSION_TABLE


def catalog(connection: Connection) -> list[tuple[Any, ...]]:
    """Return all that the database knows of its tables, constraints and indexes, by name."""
    if connection.dialect.name == "sqlite":
        result = connection.execute(text("SELECT type, name, sql FROM sqlite_master"))
    else:
        result = connection.execute(
            text(
                "SELECT 'index', indexname::text, indexdef FROM pg_indexes"
                " WHERE schemaname = 'public'"
                " UNION ALL SELECT 'constraint', conname::text, pg_get_constraintdef(oid)"
                " FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
                " UNION ALL SELECT 'column', table_name || '.' || column_name, concat_ws(' ',"
                " data_type, character_maximum_length, is_nullable,"
                " column_default) FROM information_schema.columns WHERE table_schema = 'public'"
            )
        )
    # SQLite keeps the very text of each statement, and so its whitespace.
    return sorted(
        tuple(" ".join(str(value).split()) for value in row)
        for row in result
        if VERSION_TABLE not in row[1]
    )


def described(connection: Connection) -> Any:
    """Return the tables as SQLAlchemy reads them, in no order: what a migration adds comes last."""
    result: dict[str, Any] = {}
    inspector = inspect(connection)
    for name in sorted(set(inspector.get_table_names()) - {VERSION_TABLE}):
        result[name] = {
            "columns": sorted(map(repr, inspector.get_columns(name))),
            # On SQLite, the name of one that came with its column is not found.
            "keys": sorted(repr({**key, "name": None}) for key in inspector.get_foreign_keys(name)),
            "indexes": sorted(
                repr({**index, "dialect_options": texts(index.get("dialect_options", {}))})
                for index in inspector.get_indexes(name)
            ),
            "primary key": repr(inspector.get_pk_constraint(name)),
            "unique": sorted(map(repr, inspector.get_unique_constraints(name))),
        }
    return result


def texts(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the options of an index with the texts of their conditions."""
    return {name: str(value) for name, value in options.items()}


def as_made(connection: Connection) -> Any:
    """Return the result of :func:`described`, and on PostgreSQL the catalog."""
    more = catalog(connection) if connection.dialect.name == "postgresql" else []
    return described(connection), more


async def read(database: Database, function: Any) -> Any:
    async with database.engine.connect() as connection:
        return await connection.run_sync(function)
