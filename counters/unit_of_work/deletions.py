"""The row counts of a flush's DELETEs: the database may keep some of the rows.

A trigger, a row-level policy, or a ``before_execute`` listener that turns the DELETE into an UPDATE
may keep a row. SQLAlchemy only warns of it (the mapper's ``confirm_deleted_rows``), and fires
``after_delete`` all the same. So the flush checks the row counts, which costs no statement, and
reads the rows again only where they differ. asyncpg has no count for several rows at once.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, event
from sqlalchemy.orm import Mapper


class Deletions:
    """The row counts of the DELETEs that one flush executes, by table."""

    def __init__(self) -> None:
        self._watched: list[Connection] = []
        self._complete: dict[Table, bool] = {}

    def watch(self, connection: Connection) -> None:
        """Check each DELETE that is executed on `connection` from now on."""
        if connection not in self._watched:
            event.listen(connection, "after_execute", self._count_rows)
            self._watched.append(connection)

    def close(self) -> None:
        """Stop checking."""
        while self._watched:
            event.remove(self._watched.pop(), "after_execute", self._count_rows)

    def are_complete(self, mapper: Mapper[Any]) -> bool:
        """Return whether every row of `mapper` is gone that was to be deleted so far.

        The table that holds the whole key decides: a row of a subclass's table refers to it.
        """
        return self._complete.get(mapper.primary_key[0].table, False)

    def _count_rows(
        self,
        connection: Connection,
        statement: Any,
        multiparams: Any,
        params: Any,
        options: Any,
        result: Any,
    ) -> None:
        if getattr(statement, "is_delete", False):
            is_complete = result.rowcount == (len(multiparams) or 1)
            table = statement.table
            self._complete[table] = is_complete and self._complete.get(table, True)
