"""Checks for a pooler between Tallied and the server that the connections do not suit."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from ..database import Database
from .finding import Finding

ROUNDS = 5
"""How often it is looked whether a connection changes sessions: others may take its last one."""

PATIENCE = 2.0
"""Seconds that a second connection has to begin; a session pool of one gives it none."""

_MISSING_STATEMENT = ("26000", "42P05")
"""PostgreSQL's invalid_sql_statement_name and duplicate_prepared_statement (Appendix A)."""

_UNDECLARED_POOLER = Finding(
    "tallied.W017",
    "The database is behind a pooler that its URL does not name, so each statement is prepared"
    " anew, as a transaction pooler needs it.",
    "Add pgbouncer=true to the URL; or pgbouncer=false, which is faster, if the pooler pools"
    " sessions.",
)

_NAMED = Finding(
    "tallied.E027",
    "The engine's connections go through a transaction pooler, and their prepared statements have"
    " names, by which the pooler's other clients and sessions do not find them.",
    'Pass connect_args={"statement_cache_size": 0, "prepared_statement_cache_size": 0} to'
    " create_async_engine(); or pass the URL with pgbouncer=true in place of the engine.",
)


async def check_pooler(database: Database, connection: AsyncConnection) -> list[Finding]:
    """Find a pooler that the connections do not suit, or that the URL does not name.

    :param connection: one of `database`, in AUTOCOMMIT.
    """
    if database.is_sqlite:
        return []
    if database.connector is not None:
        return [_UNDECLARED_POOLER] if database.connector.has_unnamed_pooler else []
    return [_NAMED] if await _loses_statements(database, connection) else []


async def _loses_statements(database: Database, first: AsyncConnection) -> bool:
    """Return whether transactions are pooled, and statements have names.

    A pooler makes up the process id that it greets a client with. One that pools transactions
    gives the session of a connection that is idle to another, and then another to that one.
    """
    raw = await first.get_raw_connection()
    driver = raw.driver_connection
    assert driver is not None
    try:
        session, _ = await _session(first)
        if session == driver.get_server_pid():
            return False
        for _ in range(ROUNDS):
            async with asyncio.timeout(PATIENCE), database.plain.begin() as second:
                other, is_named = await _session(second)
                current, _ = await _session(first)
            if other == session or current != session:
                return is_named
    except TimeoutError:
        return False
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in _MISSING_STATEMENT:
            return True
        raise
    return False


async def _session(connection: AsyncConnection) -> tuple[int, bool]:
    """Return the process id of the server's session, and whether the statement has a name there."""
    mark = uuid4().hex
    row = await connection.execute(
        text(
            "SELECT pg_backend_pid(), EXISTS (SELECT FROM pg_prepared_statements"
            f" WHERE statement LIKE '%{mark}%')"
        )
    )
    pid, is_named = row.one()
    return pid, is_named
