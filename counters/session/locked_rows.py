"""Rows that the session has locked itself: the flush need not lock and read them again.

A unit that first locks a row, looks at it and then changes it would have it read twice.
What :func:`lock` has read is still what the row holds at the next flush if

- the row lock was held all the time, so that nobody else has changed the row: it ends with
  the transaction, and with the savepoint that it was taken in;
- this session has not changed it either: no flush and no statement that writes has come
  between, and what they leave behind is forgotten.

Where that is not certain, the flush reads the row as it does any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Mapper

from ..declarations.mapped_rows import Key, RowValues
from ..registry.source import Source


class LockedRows:
    """What the rows held that one session has locked since it last wrote."""

    def __init__(self) -> None:
        self._rows: dict[tuple[Source, Key], tuple[RowValues, Any, Any]] = {}
        self._marked_for_deletion: dict[tuple[Mapper[Any], Key], tuple[Any, Any]] = {}

    def keep(self, source: Source, key: Key, image: RowValues, connection: Connection) -> None:
        """Record the values of a row that was just locked on `connection`."""
        self._rows[source, key] = (image, *_within(connection))

    def get(self, source: Source, key: Key, connection: Connection) -> RowValues | None:
        """Return the values of a row if it has been locked since they were read; else None."""
        image, *within = self._rows.get((source, key), (None,))
        return image if within and _is_held(within, connection) else None

    def mark_for_deletion(self, mapper: Mapper[Any], key: Key, connection: Connection) -> None:
        """Record that a row was just locked to be deleted, after the rows that count for it."""
        self._marked_for_deletion[mapper, key] = _within(connection)

    def is_marked_for_deletion(self, mapper: Mapper[Any], key: Key, connection: Connection) -> bool:
        """Return whether the row has been locked to be deleted, and still is."""
        within = self._marked_for_deletion.get((mapper, key))
        return within is not None and _is_held(within, connection)

    def forget(self) -> None:
        """Forget all rows, since the session has written or ended its transaction."""
        self._rows.clear()
        self._marked_for_deletion.clear()


def _within(connection: Connection) -> tuple[Any, Any]:
    return connection.get_transaction(), connection.get_nested_transaction()


def _is_held(within: Sequence[Any], connection: Connection) -> bool:
    """Return whether locks that were taken in a transaction and savepoint are held."""
    transaction, savepoint = within
    if transaction is not connection.get_transaction() or not is_open(transaction):
        return False
    return savepoint is None or is_open(savepoint)


def is_open(transaction: Any) -> bool:
    """Return whether the locks of a transaction, or of a savepoint by itself, are held."""
    return bool(transaction.is_active)
