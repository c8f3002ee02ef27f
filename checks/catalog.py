"""The columns, indexes and foreign keys of a database, read in three statements.

SQLAlchemy's inspector does not report whether PostgreSQL can use an index (``indisvalid``:
a failed CREATE INDEX CONCURRENTLY leaves an unusable one behind), nor SQLite's indexes on
expressions, and it is slower at the start of the server.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, text


@dataclass(frozen=True)
class FoundIndex:
    """An index, also of a primary key or a unique constraint."""

    name: str
    columns: tuple[str | None, ...]
    """The columns in order; None for an expression."""
    is_unique: bool
    is_tree: bool
    """Whether it is ordered, so that its first columns can be looked up alone."""
    condition: str | None = None
    """The condition of a partial index, which does not find every row."""

    def finds_all_with(self, columns: Sequence[str]) -> bool:
        """Return whether it finds every row in which these columns have a value."""
        conditions = (f"{column} IS NOT NULL" for column in columns)
        return self.condition is None or self.condition.strip("()") in conditions


@dataclass(frozen=True)
class Catalog:
    """The columns, usable indexes and foreign keys of existing tables."""

    columns: Mapping[str, frozenset[str]]
    indexes: Mapping[str, Sequence[FoundIndex]]
    keys: frozenset[tuple[str, str, str, str]]
    """The foreign keys: a table, its column, the table referred to, and what a deletion does."""


def read_columns(
    connection: Connection, tables: Collection[str], schema: str | None = None
) -> dict[str, set[str]]:
    """Return the columns of the existing tables among `tables`, in one statement.

    :param schema: where they are; by default, where their bare names lead.
    """
    columns: dict[str, set[str]] = defaultdict(set)
    is_sqlite = connection.dialect.name == "sqlite"
    query = _of_sqlite(connection, _SQLITE_COLUMNS, schema) if is_sqlite else _PG_COLUMNS
    values = {"tables": sorted(tables), "schema": schema or "main" if is_sqlite else schema}
    named: BindParameter[Any] = bindparam("tables", expanding=True)
    for table, column in connection.execute(text(query).bindparams(named), values):
        columns[table].add(column)
    return columns


def read_catalog(
    connection: Connection, tables: Collection[str], schema: str | None = None
) -> Catalog:
    """Return what the database has of `tables`.

    :param schema: where they are; by default, where their bare names lead.
    """
    if connection.dialect.name == "postgresql":
        indexes, keys = _PG_INDEXES, _PG_KEYS
        values: dict[str, object] = {"schema": schema}
    else:
        indexes, keys = (
            _of_sqlite(connection, query, schema) for query in (_SQLITE_INDEXES, _SQLITE_KEYS)
        )
        values = {"schema": schema or "main"}
    columns = read_columns(connection, tables, schema)
    found_indexes: dict[Any, list[str | None]] = defaultdict(list)
    named: BindParameter[Any] = bindparam("tables", expanding=True)
    values["tables"] = sorted(tables)
    for *index, column in connection.execute(text(indexes).bindparams(named), values):
        found_indexes[tuple(index)].append(column)
    by_table: dict[str, list[FoundIndex]] = defaultdict(list)
    for (table, name, unique, tree, condition), names in found_indexes.items():
        by_table[table].append(FoundIndex(name, tuple(names), bool(unique), bool(tree), condition))
    found_keys = connection.execute(text(keys).bindparams(named), values)
    return Catalog(
        {name: frozenset(columns_of_table) for name, columns_of_table in columns.items()},
        by_table,
        frozenset((table, column, to, deletion) for table, column, to, deletion in found_keys),
    )


def _of_sqlite(connection: Connection, query: str, schema: str | None) -> str:
    """Return the query for an attached database, whose own sqlite_master lists its tables."""
    quoted = connection.dialect.identifier_preparer.quote(schema or "main")
    return query.replace("sqlite_master", f"{quoted}.sqlite_master")


_SQLITE_COLUMNS = """
SELECT m.name, c.name FROM sqlite_master AS m, pragma_table_info(m.name, :schema) AS c
WHERE m.type = 'table' AND m.name IN :tables
"""

_SQLITE_INDEXES = """
SELECT m.name, l.name, l."unique", 1,
    CASE WHEN l.partial THEN (SELECT substr(s.sql, instr(s.sql, ' WHERE ') + 7)
        FROM sqlite_master AS s WHERE s.type = 'index' AND s.name = l.name) END,
    i.name
FROM sqlite_master AS m, pragma_index_list(m.name, :schema) AS l,
    pragma_index_info(l.name, :schema) AS i
WHERE m.type = 'table' AND m.name IN :tables
ORDER BY m.name, l.name, i.seqno
"""

_SQLITE_KEYS = """
SELECT m.name, k."from", k."table", k.on_delete
FROM sqlite_master AS m, pragma_foreign_key_list(m.name, :schema) AS k
WHERE m.type = 'table' AND m.name IN :tables
"""

_PG_PLACE = """
    t.relname IN :tables AND t.relkind IN ('r', 'p') AND CASE WHEN CAST(:schema AS text) IS NULL
    THEN pg_table_is_visible(t.oid) ELSE t.relnamespace = to_regnamespace(quote_ident(:schema)) END
"""

_PG_COLUMNS = f"""
SELECT CAST(t.relname AS text), CAST(a.attname AS text)
FROM pg_class AS t JOIN pg_attribute AS a ON a.attrelid = t.oid
WHERE {_PG_PLACE} AND a.attnum > 0 AND NOT a.attisdropped
"""

# pg_attribute of the index has one row for each of its columns; what is only INCLUDEd of them
# comes after indnkeyatts.
_PG_INDEXES = f"""
SELECT CAST(t.relname AS text), CAST(i.relname AS text), x.indisunique, m.amname = 'btree',
    pg_get_expr(x.indpred, x.indrelid), CAST(c.attname AS text)
FROM pg_class AS t JOIN pg_index AS x ON x.indrelid = t.oid
    JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_am AS m ON m.oid = i.relam
    JOIN pg_attribute AS k ON k.attrelid = i.oid AND k.attnum BETWEEN 1 AND x.indnkeyatts
    LEFT JOIN pg_attribute AS c ON c.attrelid = t.oid AND c.attnum = x.indkey[k.attnum - 1]
        AND c.attnum <> 0
WHERE {_PG_PLACE} AND x.indisvalid
ORDER BY t.relname, i.relname, k.attnum
"""

# One that is NOT VALID yet holds for every row that is written from now on.
_PG_KEYS = f"""
SELECT CAST(t.relname AS text), CAST(a.attname AS text), CAST(r.relname AS text),
    CASE k.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'r' THEN 'RESTRICT'
    WHEN 'd' THEN 'SET DEFAULT' ELSE 'NO ACTION' END
FROM pg_class AS t JOIN pg_constraint AS k ON k.conrelid = t.oid AND k.contype = 'f'
    JOIN pg_class AS r ON r.oid = k.confrelid
    JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = ANY(k.conkey)
WHERE {_PG_PLACE}
"""
