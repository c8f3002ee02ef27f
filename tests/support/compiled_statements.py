"""SQL statements that are compiled once in a process, though each test has its own engine."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache, wraps
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
def caches(driver: str, schema: str | None) -> tuple[DialectCache, StatementCache]:
    """Return the caches of a driver: SQLAlchemy's, and that of Tallied's own reads."""
    return DialectCache(MAX_STATEMENTS), StatementCache(schema)


def keep_compiled_statements() -> None:
    """Let all databases of this process share their compiled statements by driver."""
    open_database = Database.__init__

    @wraps(open_database)
    def open_with_caches(database: Database, *arguments: Any, **options: Any) -> None:
        open_database(database, *arguments, **options)
        if database.is_ours:
            shared, statements = caches(database.url.drivername, database.schema)
            for engine in (database.engine, database.reader, database.plain, database._writer):
                engine.sync_engine._compiled_cache = shared
            database._leases._statements = statements

    Database.__init__ = open_with_caches  # type: ignore[method-assign]
