"""What a database lets a connection do: whether its tables are there and may be written."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sqlalchemy import (
    ARRAY,
    Connection,
    String,
    bindparam,
    delete,
    false,
    inspect,
    table,
    text,
)
from sqlalchemy.exc import DBAPIError

from .failures import asks_for_retry, is_read_only


@dataclass(frozen=True)
class TableAccess:
    """What a connection may do with some tables."""

    mode: str = ""
    """Why nothing at all may be written, such as ``it is a standby server``; else empty."""

    missing: frozenset[str] = frozenset()
    """The tables that are not there."""

    denied: Mapping[str, list[str]] = field(default_factory=dict)
    """The tables by the privilege that the role lacks on them: INSERT, UPDATE or DELETE."""


def read_table_access(
    connection: Connection, tables: Collection[str], schema: str | None = None
) -> TableAccess:
    """Return what `connection`, which must be in AUTOCOMMIT, may do with `tables`.

    It takes one statement on PostgreSQL, and two on SQLite, of which one would delete nothing: a
    file may be read-only by its rights, by its URL and by its file system, and ``BEGIN IMMEDIATE``
    then begins a reader silently. Where another connection writes for longer than this
    one's ``busy_timeout``, the file counts as writable.

    :param schema: where the tables are; by default, where their bare names lead.
    """
    if connection.dialect.name == "sqlite":
        existing = set(tables).intersection(inspect(connection).get_table_names(schema))
        refuses = any(_refuses_changes(connection, name, schema) for name in sorted(existing)[:1])
        mode = "its file, its folder or its URL is read-only" if refuses else ""
        return TableAccess(mode, frozenset(tables) - existing)
    rows = connection.execute(_QUESTION, {"names": list(tables), "schema": schema}).all()
    denied = {
        privilege: names
        for privilege in ("INSERT", "UPDATE", "DELETE")
        if (names := [row.name for row in rows if getattr(row, privilege.lower()) is False])
    }
    missing = frozenset(row.name for row in rows if row.oid is None)
    return TableAccess(rows[0].mode if rows else "", missing, denied)


def _refuses_changes(connection: Connection, name: str, schema: str | None) -> bool:
    try:
        connection.execute(delete(table(name, schema=schema)).where(false()))
    except DBAPIError as error:
        if is_read_only(error):
            return True
        if not asks_for_retry(error):
            raise
    return False


# A privilege on some columns counts: which columns a role needs is up to the statements. The
# functions take a list of privileges, too, of which any one would do.
_QUESTION = text("""
SELECT n.name, t.oid, has_any_column_privilege(t.oid, 'INSERT') AS insert,
    has_any_column_privilege(t.oid, 'UPDATE') AS update,
    has_table_privilege(t.oid, 'DELETE') AS delete,
    CASE WHEN pg_is_in_recovery() THEN 'it is a standby server'
    WHEN CAST(current_setting('transaction_read_only') AS boolean)
    THEN 'its transactions are read-only by default (default_transaction_read_only)'
    ELSE '' END AS mode
FROM unnest(:names) AS n (name) CROSS JOIN LATERAL (SELECT CAST(to_regclass(CASE
    WHEN CAST(:schema AS text) IS NULL THEN quote_ident(n.name)
    ELSE quote_ident(:schema) || '.' || quote_ident(n.name) END) AS oid) AS oid) AS t
""").bindparams(bindparam("names", type_=ARRAY(String)))
