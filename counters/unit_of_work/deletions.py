"""The row counts of a flush's DELETEs: the database may keep some of the rows.

A trigger, a row-level policy, or a ``before_execute`` listener that turns the DELETE into an UPDATE
may keep a row. SQLAlchemy only warns of it (the mapper's ``confirm_deleted_rows``), and fires
``after_delete`` all the same. So the flush checks the row counts, which costs no statement, and
reads the rows again only where they differ. asyncpg has no count for several rows at once.

They are counted by an ``execute`` that the connection has until the flush ends: to add a listener
of ``after_execute`` to a connection, and to remove it, takes longer than to execute the DELETE.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, CursorResult, Table
from sqlalchemy.orm import Mapper


class Deletions:
    """The row counts of the DELETEs that one flush executes, by table."""

    def __init__(self) -> None:
        self._watched: dict[Connection, _CountingExecute] = {}
        self._complete: dict[Table, bool] = {}

    def watch(self, connection: Connection) -> None:
        """Check each DELETE that is executed on `connection` from now on."""
        if connection not in self._watched:
            execute = vars(connection).get("execute")
            if not isinstance(execute, _CountingExecute):
                execute = _CountingExecute(connection)
            self._watched[connection] = execute
            execute.deletions.append(self)

    def close(self) -> None:
        """Stop checking."""
        while self._watched:
            _, execute = self._watched.popitem()
            execute.deletions.remove(self)
            if not execute.deletions:
                execute.restore()

    def are_complete(self, mapper: Mapper[Any]) -> bool:
        """Return whether every row of `mapper` is gone that was to be deleted so far.

        The table that holds the whole key decides: a row of a subclass's table refers to it.
        """
        return self._complete.get(mapper.primary_key[0].table, False)

    def count(self, table: Table, *, is_complete: bool) -> None:
        """Record whether a DELETE has deleted all rows that it named."""
        self._complete[table] = is_complete and self._complete.get(table, True)


class _CountingExecute:
    """The ``execute`` of a connection that tells the deletions of flushes what it has deleted.

    Two engines may flush on one connection at a time.
    """

    def __init__(self, connection: Connection) -> None:
        self._attributes = vars(connection)
        self._former = self._attributes.get("execute")  # a host's own, which its tests may set
        self._execute = connection.execute
        self._attributes["execute"] = self
        self.deletions: list[Deletions] = []

    def restore(self) -> None:
        """Let the connection execute as before."""
        if self._attributes.get("execute") is self:
            del self._attributes["execute"]
            if self._former is not None:
                self._attributes["execute"] = self._former

    def __call__(self, *arguments: Any, **options: Any) -> CursorResult[Any]:
        result = self._execute(*arguments, **options)
        context: Any = getattr(result, "context", None)  # a default is executed to a value
        # It tells of the statement as executed, which a listener may have changed.
        if context is not None and context.isdelete:
            is_complete = result.rowcount == len(context.compiled_parameters)
            for deletions in self.deletions:
                deletions.count(context.invoked_statement.table, is_complete=is_complete)
        return result
