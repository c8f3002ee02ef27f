"""SQL statements that are compiled once in a process, though each test has its own engine."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from typing import Any

from sqlalchemy.util import LRUCache

from tallied.database import Database
from tallied.database.statement import StatementCache

MAX_STATEMENTS = 1000
"""How many statements of each dialect are kept."""


class DialectCache(LRUCache[tuple[Hashable, ...], Any]):
    """The compiled statements of all engines of one dialect.

    SQLAlchemy's keys begin with the dialect, which each engine has for itself.
    """

    def get(self, key: tuple[Hashable, ...], default: Any = None) -> Any:
        return super().get(key[1:], default)

    def __setitem__(self, key: tuple[Hashable, ...], value: Any) -> None:
        super().__setitem__(key[1:], value)


@cache
def caches(driver: str) -> tuple[DialectCache, StatementCache]:
    """Return the caches of a driver: SQLAlchemy's, and that of Tallied's own reads."""
    return DialectCache(MAX_STATEMENTS), StatementCache(None)


def keep_compiled_statements(database: Database) -> Database:
    """Let a database share its compiled statements with all others of its driver."""
    shared, statements = caches(database.url.drivername)
    for engine in (database.engine, database.reader, database.plain, database._writer):
        engine.sync_engine._compiled_cache = shared
    database._leases._statements = statements
    return database
